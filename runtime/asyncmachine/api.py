"""The borders of the runtime: what a machine, local or remote, offers, and what a tracer receives.

:class:`MachineApi` is what :class:`asyncmachine.Machine` and the mirror of a remote machine share.
It is in three parts, because that is how it is used: reading (:class:`Readable`), waiting
(:class:`Waitable`) and mutating (:class:`Mutable`).

Mutations are plain calls on a local machine and messages on a remote one, so what they return is
always awaitable::

    result = await machine.add("Foo")     # local or remote
    result = local_machine.add("Foo")     # local only: already there

Rules are those of ``docs/spec/machine.md``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, final

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from asyncmachine.schema import Schema

__all__ = [
    "CANCELED",
    "EXECUTED",
    "MachineApi",
    "Mutable",
    "Query",
    "Readable",
    "Result",
    "States",
    "TimeIndex",
    "Tracer",
    "Waitable",
]

States: TypeAlias = "str | Sequence[str]"
"""One state name, or several in a list."""


class Result:
    """How a mutation ended: executed, canceled, or queued behind the one now running.

    ``bool(result)`` is "not canceled". A queued result carries the queue tick at which it will have
    been processed; awaiting it waits for that and returns the final result. Awaiting any other
    result returns it at once.
    """

    __slots__ = ("_settle", "_subject", "tick")

    def __init__(
        self, tick: int, settle: Callable[..., Awaitable[Result]] | None = None, *subject: object
    ) -> None:
        self.tick = tick
        self._settle = settle
        self._subject = subject  # what settle is called with

    @property
    def executed(self) -> bool:
        """Accepted and applied."""
        return self.tick == 0

    @property
    def canceled(self) -> bool:
        """Refused by a relation, a veto, a failure, a limit, or disposal."""
        return self.tick == 1

    @property
    def queued(self) -> bool:
        """Not processed yet; ``tick`` says when it will be."""
        return self.tick > 1

    def __bool__(self) -> bool:
        return self.tick != 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Result) and other.tick == self.tick

    def __hash__(self) -> int:
        return self.tick

    def __repr__(self) -> str:
        if self.tick > 1:
            return f"Queued({self.tick})"
        return "CANCELED" if self.tick else "EXECUTED"

    def __await__(self) -> Generator[Any, Any, Result]:
        if self._settle is not None:
            return (yield from self._settle(*self._subject).__await__())
        return self


EXECUTED = Result(0)
CANCELED = Result(1)


@final
class TimeIndex:
    """The logical clock of a machine at one moment: a tick per state. Odd means active.

    Compares equal to another one with the same ticks; supports ``time["Foo"]``.
    """

    __slots__ = ("schema", "ticks")

    def __init__(self, schema: Schema, ticks: tuple[int, ...]) -> None:
        self.schema = schema
        self.ticks = ticks

    def __getitem__(self, state: str) -> int:
        return self.ticks[self.schema.position(state)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TimeIndex) and other.ticks == self.ticks

    def __hash__(self) -> int:
        return hash(self.ticks)

    def __repr__(self) -> str:
        named = zip(self.schema.names, self.ticks, strict=True)
        return f"({' '.join(f'{n}:{t}' for n, t in named if t)})"

    def is_active(self, *states: str) -> bool:
        """Whether all of *states* were active at this moment."""
        return all(self[s] & 1 for s in states)

    def active_states(self) -> tuple[str, ...]:
        """Names of the active states, in index order."""
        return tuple(n for n, t in zip(self.schema.names, self.ticks, strict=True) if t & 1)

    def as_dict(self) -> dict[str, int]:
        """State name -> tick."""
        return dict(zip(self.schema.names, self.ticks, strict=True))


Query: TypeAlias = Callable[[TimeIndex], bool]


class Readable(Protocol):
    """Checks against the logical clock. All are answered locally and never wait.

    Each raises :class:`~asyncmachine.errors.UnknownState` for a name the schema does not have.
    """

    @property
    def id(self) -> str: ...
    @property
    def schema(self) -> Schema: ...
    @property
    def disposed(self) -> bool: ...
    def is_active(self, *states: str) -> bool: ...
    def is_inactive(self, *states: str) -> bool: ...
    def any_active(self, *states: str) -> bool: ...
    def __contains__(self, state: object) -> bool: ...
    def tick(self, state: str) -> int: ...
    def time(self, *states: str) -> tuple[int, ...]: ...
    def clock(self) -> TimeIndex: ...
    def active_states(self) -> tuple[str, ...]: ...


class Waitable(Protocol):
    """One-shot waits. Each returns an awaitable that gives the clock at the moment it fired.

    The subscription begins with the call, not with the ``await``. Cancelling the awaiting task
    unsubscribes. Disposal of the machine raises
    :class:`~asyncmachine.errors.MachineDisposed` in whoever waits.
    """

    def when(self, *states: str) -> Awaitable[TimeIndex]: ...
    def when_not(self, *states: str) -> Awaitable[TimeIndex]: ...
    def when_tick(self, state: str, tick: int) -> Awaitable[TimeIndex]: ...
    def when_next(self, state: str) -> Awaitable[TimeIndex]: ...
    def when_query(self, query: Query) -> Awaitable[TimeIndex]: ...
    def when_error(self) -> Awaitable[TimeIndex]: ...
    def when_disposed(self) -> Awaitable[None]: ...
    def scope(self, state: str) -> AbstractContextManager[Any]: ...


class Mutable(Protocol):
    """Requests to change states. ``await`` them, see the module's docstring."""

    def add(self, *states: States, **args: Any) -> Awaitable[Result]: ...
    def remove(self, *states: States, **args: Any) -> Awaitable[Result]: ...
    def set(self, *states: States, **args: Any) -> Awaitable[Result]: ...
    def toggle(self, *states: States, **args: Any) -> Awaitable[Result]: ...
    def add_error(self, error: BaseException, state: str = ..., **args: Any) -> Awaitable[Result]: ...
    def can_add(self, *states: States, **args: Any) -> Awaitable[Result]: ...
    def can_remove(self, *states: States, **args: Any) -> Awaitable[Result]: ...


class MachineApi(Readable, Waitable, Mutable, Protocol):
    """A machine, wherever it runs."""

    def when_args(self, state: str, **args: Any) -> Awaitable[TimeIndex]: ...
    def bind(self, handlers: object) -> Any: ...
    def unbind(self, handlers: object) -> None: ...
    def trace(self, tracer: Tracer) -> None: ...
    def untrace(self, tracer: Tracer) -> None: ...


class Tracer:
    """Base of tracers: every hook does nothing. Attach with ``machine.trace(tracer)``.

    Hooks are called synchronously, in order of attachment, and must not block. They may mutate: the
    mutation is queued. A tracer that raises is detached and reported. Arguments are records of
    ``asyncmachine._core.trace``; they are typed loosely here, since this module is below them.
    """

    def machine_init(self, machine: Any) -> None:
        """The tracer was attached."""

    def mutation_queued(self, machine: Any, mutation: Any) -> None:
        """A mutation was appended or prepended to the queue, before it is processed."""

    def transition_start(self, machine: Any, transition: Any) -> None:
        """Relations are resolved; handlers follow. Also for transitions that were rejected."""

    def handler_start(self, machine: Any, transition: Any, name: str) -> None:
        """A handler is about to run."""

    def handler_end(self, machine: Any, transition: Any, name: str, seconds: float) -> None:
        """A handler ran, or raised."""

    def transition_finals(self, machine: Any, transition: Any) -> None:
        """Accepted, clocks have ticked; final handlers follow."""

    def transition_end(self, machine: Any, transition: Any) -> None:
        """The transition is over, whatever its result."""

    def queue_end(self, machine: Any) -> None:
        """The queue was drained."""

    def clock_moved(self, machine: Any) -> None:
        """Some tick has moved since the last call; once per drain, after it.

        A tracer that overrides only this hook costs next to nothing: no records are made for it.
        """

    def transition_counted(self, machine: Any, plan: Any, auto: bool, accepted: bool, seconds: float) -> None:
        """There was a transition. Without handlers it is told of just before it takes place, in 0 seconds.

        *plan* has ``kind``, ``called`` and ``enters``, as numbers. Like ``clock_moved``, this and
        ``handler_counted`` need no records, so they cost little.
        """

    def handler_counted(self, machine: Any, name: str, seconds: float) -> None:
        """A handler ran, or raised."""

    def machine_dispose(self, machine: Any) -> None:
        """The machine is disposed of."""

    def report(self, machine: Any, kind: str, details: Mapping[str, Any]) -> None:
        """Something worth a log line: a slow handler, an error in ``exception_state``..."""
