"""Reading and waiting: the half of ``MachineApi`` that local machines and mirrors share."""

from __future__ import annotations

import sys
from asyncio import Future, current_task, get_running_loop
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol, cast

import anyio

from asyncmachine._core.scopes import Token
from asyncmachine._core.waits import ACTIVE, ARGS, INACTIVE, QUERY, TICK, Wait
from asyncmachine.api import Query, TimeIndex
from asyncmachine.errors import UnknownState
from asyncmachine.schema import EXCEPTION, Schema

__all__ = ["Hub", "Pending", "Reads", "View", "unknown"]


class Hub(Protocol):
    """What a view looks at: the clock of a machine, and its waits and scopes.

    ``ticks`` is one list for the life of the machine, changed in place.
    """

    schema: Schema
    machine_id: str
    ticks: list[int]
    disposed: bool

    def add_wait(self, wait: Wait) -> None: ...
    def discard_wait(self, wait: Wait) -> None: ...
    def token(self, state: int) -> Token: ...


_modules = sys.modules


def _sleep() -> tuple[Future[None] | anyio.Event, Iterable[Any]]:
    """What wakes the running task, and what it has to ``yield from`` until then.

    On asyncio it is a future, which takes one generator; ``anyio.Event`` takes three coroutines and 1.5
    times as long.
    """
    try:
        loop = get_running_loop()
    except RuntimeError:
        loop = None
    if loop is None or ("trio" in _modules and current_task(loop) is None):  # trio may be a guest in the loop
        event = anyio.Event()
        return event, event.wait().__await__()
    future: Future[None] = Future(loop=loop)
    return future, future


class Pending(Wait):
    """A wait that can be awaited, by any number of tasks. Gives the clock at the moment it fired.

    When the last awaiting task is cancelled, the subscription ends; awaiting again subscribes again.
    """

    __slots__ = ()

    def wake(self) -> None:
        """See the base."""
        for sleeper in self.sleepers or ():
            if not isinstance(sleeper, Future):
                sleeper.set()
            elif not sleeper.done():  # else its task is cancelled already
                sleeper.set_result(None)

    def cancel(self) -> None:
        """Unsubscribe without waiting."""
        self.left = True
        self.hub.discard_wait(self)

    def __await__(self) -> Generator[Any, Any, TimeIndex]:
        if not self.done and not (self.left and self._again()):
            sleeper, asleep = _sleep()
            if self.sleepers is None:
                self.sleepers = [sleeper]
            else:
                self.sleepers.append(sleeper)
            try:
                yield from asleep
            finally:
                if not self.done:
                    self._leave(sleeper)
        if self.error is not None:
            raise self.error
        return self.time or TimeIndex(self.hub.schema, tuple(self.hub.ticks))

    def _again(self) -> bool:
        """Subscribe again. Whether it is done at once."""
        self.left = False
        self.hub.add_wait(self)
        return self.done

    def _leave(self, sleeper: Future[None] | anyio.Event) -> None:
        """A task was cancelled while it waited."""
        sleepers = self.sleepers
        if sleepers is not None:
            sleepers.remove(sleeper)
            if not sleepers:
                self.sleepers = None
                self.cancel()


def unknown(schema: Schema, name: object) -> UnknownState:
    """The error for a name that *schema* does not have."""
    return UnknownState(name, schema.name, schema.names)


_NO_STATE: Final = cast("str", object())


class Reads:
    """Reads. Every method that takes state names raises ``UnknownState`` for unknown ones."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._ticks = hub.ticks
        self._index = hub.schema.index

    @property
    def id(self) -> str:
        """Identifier, unique among the machines of a system."""
        return self._hub.machine_id

    @property
    def schema(self) -> Schema:
        """The schema this machine runs."""
        return self._hub.schema

    @property
    def disposed(self) -> bool:
        """Whether the machine is gone: mutations are canceled, waits fail."""
        return self._hub.disposed

    def is_active(self, state: str = _NO_STATE, *more: str) -> bool:
        """Whether all of these states are active."""
        # Asked more often than anything else, mostly about one state: without a loop it takes half as long.
        try:
            if not self._ticks[self._index[state]] & 1:
                return False
        except KeyError:
            if state is _NO_STATE:
                return True
            raise unknown(self.schema, state) from None
        return not more or all(map(self.is_active, more))

    def is_inactive(self, *states: str) -> bool:
        """Whether none of *states* is active."""
        return not self.any_active(*states)

    def any_active(self, *states: str) -> bool:
        """Whether at least one of *states* is active."""
        ticks, index = self._ticks, self._index
        try:
            return any(ticks[index[state]] & 1 for state in states)
        except KeyError as error:
            raise unknown(self.schema, error.args[0]) from None

    def __contains__(self, state: object) -> bool:
        return bool(self._ticks[self.schema.position(state)] & 1)  # type: ignore[arg-type]  # may be no name

    def tick(self, state: str) -> int:
        """The tick of one state: odd while it is active."""
        try:
            return self._ticks[self._index[state]]
        except KeyError:
            raise unknown(self.schema, state) from None

    def time(self, *states: str) -> tuple[int, ...]:
        """Ticks of *states*, or of all states in index order."""
        return tuple(self.tick(s) for s in states) if states else tuple(self._ticks)

    def clock(self) -> TimeIndex:
        """All ticks, by name."""
        return TimeIndex(self.schema, tuple(self._ticks))

    def active_states(self) -> tuple[str, ...]:
        """Names of the active states, in index order."""
        return tuple(n for n, t in zip(self.schema.names, self._ticks, strict=True) if t & 1)

    def inspect(self, *states: str) -> str:
        """Activity, tick, properties and relations of *states*, or of all, as lines of text."""
        return "\n".join(line for name in states or self.schema.names for line in self._rows(name))

    def _rows(self, name: str) -> Iterator[str]:
        tick = self.tick(name)
        state = self.schema.states[name]
        rows = {"Tick": str(tick), "Auto": "true" * state.auto, "Multi": "true" * state.multi}
        rows |= {relation.capitalize(): " ".join(targets) for relation, targets in state.relations()}
        yield f"{tick & 1} {name}"
        for label, value in rows.items():
            if value:
                yield f"    |{label:<9}{value}"

    def __str__(self) -> str:
        named = zip(self.schema.names, self._ticks, strict=True)
        return f"({' '.join(f'{n}:{t}' for n, t in named if t & 1)})"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self}>"


class View(Reads):
    """Reads and waits."""

    _gone: anyio.Event | None = None  # made when somebody waits for it

    def _indexes(self, states: tuple[str, ...]) -> tuple[int, ...]:
        index = self._index
        try:
            return (index[states[0]],) if len(states) == 1 else tuple([index[s] for s in states])
        except (KeyError, TypeError):
            self.schema.mask(states)  # which says what is wrong with them
            raise

    def _subscribe(self, kind: int, states: tuple[int, ...], tick: int = 0) -> Pending:
        hub = self._hub
        pending = Pending(kind, states, hub, tick)
        hub.add_wait(pending)
        return pending

    def when(self, *states: str) -> Pending:
        """Until all of *states* are active at once."""
        return self._subscribe(ACTIVE, self._indexes(states))

    def when_not(self, *states: str) -> Pending:
        """Until none of *states* is active."""
        return self._subscribe(INACTIVE, self._indexes(states))

    def when_tick(self, state: str, tick: int) -> Pending:
        """Until the tick of *state* is at least *tick*."""
        return self._subscribe(TICK, self._indexes((state,)), tick)

    def when_next(self, state: str) -> Pending:
        """Until the next activation, or re-entry, of *state*; not the present one."""
        tick = self.tick(state)
        return self._subscribe(TICK, (self._index[state],), tick + 1 | 1)  # as ``next_active``

    def when_args(self, state: str, **args: Any) -> Pending:
        """Until *state* is activated, or called again, by a mutation with at least these args."""
        pending = Pending(ARGS, (self.schema.position(state),), self._hub)
        pending.args = args
        self._hub.add_wait(pending)
        return pending

    def when_query(self, query: Query) -> Pending:
        """Until *query* holds, asked after each change, first after the next one."""
        pending = Pending(QUERY, (), self._hub)
        pending.query = query
        self._hub.add_wait(pending)
        return pending

    def when_error(self) -> Pending:
        """Until Exception is active."""
        return self.when(EXCEPTION)

    async def when_disposed(self) -> None:
        """Until the machine is gone."""
        if not self.disposed:
            if self._gone is None:
                self._gone = anyio.Event()
            await self._gone.wait()

    def _wake_disposed(self) -> None:
        if self._gone is not None:
            self._gone.set()

    @contextmanager
    def scope(self, state: str) -> Iterator[anyio.CancelScope]:
        """A cancel scope that ends with the present tick of *state*, active or not.

        Leaving it early is fine. Being cancelled by it is not an error: the block just ends.
        """
        token = self._hub.token(self.schema.position(state))
        with anyio.CancelScope() as scope:
            token.attach(scope)
            try:
                yield scope
            finally:
                token.detach(scope)
