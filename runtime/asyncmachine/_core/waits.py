"""One-shot waits on the clock, indexed by state, so that a transition looks only at those it may fire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from asyncmachine.api import Query, Result, TimeIndex
from asyncmachine.schema import Schema, iter_bits

__all__ = ["ACTIVE", "ARGS", "INACTIVE", "QUERY", "TICK", "Wait", "Waits"]

ACTIVE: Final = 0  # all of the states are active
INACTIVE: Final = 1  # none of the states is active
TICK: Final = 2  # the state's tick has reached a value
ARGS: Final = 3  # the state was activated, or called again, with these args
QUERY: Final = 4  # a predicate over the clock holds


class Wait:
    """A subscription. Fires once, with the clock at that moment, or fails.

    Subclasses override :meth:`wake` to tell whoever waits.
    """

    __slots__ = ("args", "done", "error", "kind", "mask", "query", "result", "tick", "time")

    def __init__(self, kind: int, mask: int) -> None:
        self.kind = kind
        self.mask = mask
        self.tick = 0
        self.args: Mapping[str, Any] | None = None
        self.query: Query | None = None
        self.done = False
        self.time: TimeIndex | None = None
        self.result: Result | None = None
        self.error: Exception | None = None

    def wake(self) -> None:
        """Called by the shell after the drain in which the wait fired or failed."""


_NONE: Final[dict[Wait, None]] = {}
_NONE_BY_STATE: Final[dict[int, dict[Wait, None]]] = {}
"""What no machine has before its first wait. Never changed: they spare most machines two dicts."""


def _bits(mask: int) -> Iterable[int]:
    """Positions of the set bits. Most waits look at one state, for which no generator is needed."""
    return iter_bits(mask) if mask & (mask - 1) else (mask.bit_length() - 1,) if mask else ()


class Waits:
    """All pending waits of one machine.

    Attributes:
        mask: states that some wait looks at.
        args_mask: states that some wait for args looks at; may hold too many, never too few.
        queries: waits on predicates: evaluated after every change. A predicate that raises fails
            its own wait only.
    """

    __slots__ = ("_by_state", "_schema", "args_mask", "mask", "queries")

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._by_state = _NONE_BY_STATE
        self.queries = _NONE
        self.mask = self.args_mask = 0

    def add(self, wait: Wait, ticks: Sequence[int]) -> None:
        """Register; fires at once when its condition already holds (never for args and queries)."""
        if wait.kind == QUERY:
            if self.queries is _NONE:
                self.queries = {}
            self.queries[wait] = None
        elif wait.kind != ARGS and self._holds(wait, ticks):
            self._fire(wait, TimeIndex(self._schema, tuple(ticks)))
        else:
            if self._by_state is _NONE_BY_STATE:
                self._by_state = {}
            by_state = self._by_state
            for state in _bits(wait.mask):
                if state in by_state:
                    by_state[state][wait] = None
                else:
                    by_state[state] = {wait: None}
            self.mask |= wait.mask
            if wait.kind == ARGS:
                self.args_mask |= wait.mask

    def discard(self, wait: Wait) -> None:
        """Unsubscribe; harmless when it has fired."""
        if wait.kind == QUERY:
            self.queries.pop(wait, None)
        for state in _bits(wait.mask):
            waits = self._by_state.get(state)
            if waits is not None:
                waits.pop(wait, None)
                if not waits:
                    del self._by_state[state]
                    self.mask &= ~(1 << state)
                    self.args_mask &= self.mask

    def changed(
        self, touched: int, ticks: Sequence[int], *, pulsed_on: int = 0, pulsed_off: int = 0
    ) -> list[Wait]:
        """Fire what holds now, after states *touched* (a mask) have moved.

        Args:
            pulsed_on: states which were active for a moment in between, when several transitions
                were merged: they fire waits for that one state.
            pulsed_off: the same for inactive.
        """
        fired: list[Wait] = []
        time: TimeIndex | None = None
        for state in _bits(touched & self.mask):
            for wait in list(self._by_state.get(state, ())):
                kind = wait.kind
                pulsed = pulsed_on if kind == ACTIVE else pulsed_off if kind == INACTIVE else 0
                if kind != ARGS and (self._holds(wait, ticks) or wait.mask & pulsed == wait.mask):
                    time = time or TimeIndex(self._schema, tuple(ticks))
                    self._fire(wait, time)
                    fired.append(wait)
        if self.queries:
            fired += self._ask(ticks, time)
        return fired

    def called(self, states: Sequence[int], args: Mapping[str, Any], ticks: Sequence[int]) -> list[Wait]:
        """Fire the waits for args of these states, which were activated or re-entered with *args*."""
        fired: list[Wait] = []
        for state in states:
            for wait in list(self._by_state.get(state, ())):
                wanted = wait.args if wait.kind == ARGS else None
                if wanted is not None and all(k in args and args[k] == v for k, v in wanted.items()):
                    self._fire(wait, TimeIndex(self._schema, tuple(ticks)))
                    fired.append(wait)
        return fired

    def fail_all(self, error: Exception) -> list[Wait]:
        """Fail every pending wait: the machine is disposed of, or the mirror is lost."""
        failed = {w: None for waits in self._by_state.values() for w in waits}
        failed |= self.queries
        self._by_state, self.queries = _NONE_BY_STATE, _NONE
        self.mask = self.args_mask = 0
        for wait in failed:
            wait.error = error
            wait.done = True
        return list(failed)

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

    def _holds(self, wait: Wait, ticks: Sequence[int]) -> bool:
        if wait.kind == TICK:
            return ticks[wait.mask.bit_length() - 1] >= wait.tick
        wanted = 1 if wait.kind == ACTIVE else 0
        left = wait.mask
        while left:  # as ``all()`` over a generator this took twice as long, of all that waking takes
            low = left & -left
            if ticks[low.bit_length() - 1] & 1 != wanted:
                return False
            left ^= low
        return True

    def _fire(self, wait: Wait, time: TimeIndex) -> None:
        if self.mask or self.queries:  # else it was never added
            self.discard(wait)
        wait.time = time
        wait.done = True
