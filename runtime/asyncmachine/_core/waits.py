"""One-shot waits on the clock, indexed by state, so that a transition looks only at those it may fire.

A wait for several states hangs at one of them, whichever it still waits for: as long as that one does not
move, the wait cannot fire. When it does, the wait either fires or moves on to the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from asyncmachine.api import Query, TimeIndex
from asyncmachine.schema import Schema, iter_bits

__all__ = ["ACTIVE", "ARGS", "INACTIVE", "QUERY", "TICK", "Wait", "Waits"]

INACTIVE: Final = 0  # none of the states is active
ACTIVE: Final = 1  # all of the states are active
TICK: Final = 2  # the state's tick has reached a value
ARGS: Final = 3  # the state was activated, or called again, with these args
QUERY: Final = 4  # a predicate over the clock holds


class Wait:
    """A subscription. Fires once, with the clock at that moment, or fails.

    Subclasses override :meth:`wake` to tell whoever waits.

    Attributes:
        states: indexes of the states it looks at; one for a tick or args, none for a query.
        at: index of the state it hangs at.
        hub: where it is subscribed; only subclasses need to know.
        left: unsubscribed before it was done.
        sleepers: who waits for it, in the terms of a subclass. When nobody does, it is not woken.
    """

    __slots__ = (
        "args",
        "at",
        "done",
        "error",
        "hub",
        "kind",
        "left",
        "query",
        "sleepers",
        "states",
        "tick",
        "time",
    )

    def __init__(self, kind: int, states: tuple[int, ...], hub: Any = None, tick: int = 0) -> None:
        self.kind = kind
        self.states = states
        self.hub = hub
        self.tick = tick
        self.at = -1
        self.args: Mapping[str, Any] | None = None
        self.query: Query | None = None
        self.done = False
        self.left = False
        self.time: TimeIndex | None = None
        self.error: Exception | None = None
        self.sleepers: list[Any] | None = None

    def wake(self) -> None:
        """Called by the shell after the drain in which the wait fired or failed."""

    def pending(self, ticks: Sequence[int]) -> int:
        """Index of a state that it still waits for; -1 if its condition holds. Not for ticks and queries."""
        kind = self.kind
        for state in self.states:
            if ticks[state] & 1 != kind:  # INACTIVE is 0, ACTIVE is 1, ARGS neither
                return state
        return -1


_NONE: Final[dict[Wait, None]] = {}
"""What no machine has before its first wait for a query. Never changed."""


class Waits:
    """All pending waits of one machine.

    Attributes:
        mask: states at which some wait hangs.
        args_mask: states at which some wait for args hangs; may hold too many, never too few.
        queries: waits on predicates: evaluated after every change. A predicate that raises fails
            its own wait only.
    """

    __slots__ = ("_by_state", "_schema", "args_mask", "mask", "queries")

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._by_state: dict[int, dict[Wait, None]] = {}
        self.queries = _NONE
        self.mask = self.args_mask = 0

    def add(self, wait: Wait, ticks: Sequence[int]) -> None:
        """Register; fires at once when its condition already holds (never for args and queries)."""
        kind = wait.kind
        if kind == TICK:
            state = wait.states[0]
            if ticks[state] >= wait.tick:
                state = -1
        elif kind == QUERY:
            if self.queries is _NONE:
                self.queries = {}
            self.queries[wait] = None
            return
        else:
            state = wait.pending(ticks)
            if kind == ARGS:
                self.args_mask |= 1 << state
        if state < 0:
            wait.time = TimeIndex(self._schema, tuple(ticks))
            wait.done = True
            return
        wait.at = state
        by_state = self._by_state
        if state in by_state:
            by_state[state][wait] = None
        else:
            by_state[state] = {wait: None}
            self.mask |= 1 << state

    def discard(self, wait: Wait) -> None:
        """Unsubscribe; harmless when it has fired."""
        if wait.kind == QUERY:
            self.queries.pop(wait, None)
        elif (waits := self._by_state.get(wait.at)) is not None:
            waits.pop(wait, None)
            if not waits:
                self._forget(wait.at)

    def _forget(self, state: int) -> None:
        """No wait hangs at *state* any more."""
        del self._by_state[state]
        if self._by_state:
            self.mask &= ~(1 << state)
            self.args_mask &= self.mask
        else:  # nearly always
            self.mask = self.args_mask = 0

    def changed(
        self, touched: int, ticks: Sequence[int], *, pulsed_on: int = 0, pulsed_off: int = 0
    ) -> list[Wait]:
        """Fire what holds now, after states *touched* (a mask) have moved.

        Args:
            pulsed_on: states which were active for a moment in between, when several transitions
                were merged: they fire waits for that one state.
            pulsed_off: the same for inactive.
        """
        pulsed = (pulsed_off, pulsed_on) if pulsed_on | pulsed_off else None
        return self.moved(iter_bits(touched & self.mask), ticks, pulsed)

    def moved(
        self, states: Iterable[int], ticks: Sequence[int], pulsed: tuple[int, int] | None = None
    ) -> list[Wait]:
        """Like :meth:`changed`, given the indexes of the states; *pulsed* are off and on."""
        fired: list[Wait] = []
        time: TimeIndex | None = None
        for state in states:
            waits = self._by_state.get(state)
            if waits is None:
                continue
            tick, kept = ticks[state], False
            for wait in waits:
                kind = wait.kind
                if kind == TICK:
                    if tick < wait.tick:
                        kept = True
                        continue
                elif (tick & 1 != kind or len(wait.states) > 1) and self._stays(wait, ticks, pulsed):
                    kept = True
                    continue
                if time is None:
                    time = TimeIndex(self._schema, tuple(ticks))
                wait.time = time
                wait.done = True
                fired.append(wait)
            if kept:
                self._keep(state, waits, ticks)
            else:  # nearly always
                self._forget(state)
        if self.queries:
            fired += self._ask(ticks, time)
        return fired

    def _stays(self, wait: Wait, ticks: Sequence[int], pulsed: tuple[int, int] | None) -> bool:
        """Whether *wait* has to wait on, perhaps for another one of its states."""
        kind = wait.kind
        if kind == ARGS:
            return True
        pending = wait.pending(ticks)
        if pending < 0 or (pulsed and all(pulsed[kind] >> i & 1 for i in wait.states)):
            return False
        wait.at = pending
        return True

    def _keep(self, state: int, waits: dict[Wait, None], ticks: Sequence[int]) -> None:
        """Of these, which hang at *state*, drop what has fired and hang the others where they belong now."""
        if all(w.at == state and not w.done for w in waits):
            return
        self._forget(state)
        for wait in waits:
            if not wait.done:
                self.add(wait, ticks)

    def called(self, states: Sequence[int], args: Mapping[str, Any], ticks: Sequence[int]) -> list[Wait]:
        """Fire the waits for args of these states, which were activated or re-entered with *args*."""
        fired: list[Wait] = []
        for state in states:
            for wait in tuple(self._by_state.get(state, ())):
                wanted = wait.args if wait.kind == ARGS else None
                if wanted is not None and all(k in args and args[k] == v for k, v in wanted.items()):
                    self._fire(wait, TimeIndex(self._schema, tuple(ticks)))
                    fired.append(wait)
        return fired

    def fail_all(self, error: Exception) -> list[Wait]:
        """Fail every pending wait: the machine is disposed of, or the mirror is lost."""
        failed = [w for waits in self._by_state.values() for w in waits]
        failed += self.queries
        self._by_state, self.queries = {}, _NONE
        self.mask = self.args_mask = 0
        for wait in failed:
            wait.error = error
            wait.done = True
        return failed

    def _ask(self, ticks: Sequence[int], time: TimeIndex | None) -> list[Wait]:
        fired: list[Wait] = []
        time = time or TimeIndex(self._schema, tuple(ticks))
        for wait in list(self.queries):
            if wait.query is None:
                continue
            try:
                holds = wait.query(time)
            except Exception as error:
                self.discard(wait)
                wait.error, wait.done = error, True
                fired.append(wait)
                continue
            if holds:
                self._fire(wait, time)
                fired.append(wait)
        return fired

    def _fire(self, wait: Wait, time: TimeIndex) -> None:
        self.discard(wait)
        wait.time = time
        wait.done = True
