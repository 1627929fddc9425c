"""What a caller asks for: a mutation, where it came from, and how it ended."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from asyncmachine.api import Result

if TYPE_CHECKING:
    from asyncmachine._core.waits import Wait

__all__ = ["ADD", "CURRENT", "HEALTH_STATES", "KIND_NAMES", "REMOVE", "SET", "Kind", "Mutation", "Source"]

Kind: TypeAlias = Literal[0, 1, 2]
ADD: Final = 0
REMOVE: Final = 1
SET: Final = 2
KIND_NAMES: Final = ("add", "remove", "set")

HEALTH_STATES: Final = frozenset({"Heartbeat", "Healthcheck"})
"""Adding exactly one of these never triggers an auto mutation: they tick for ever and mean nothing else."""


class Source(NamedTuple):
    """The transition in which a mutation was made.

    ``transition`` is its id, ``tick`` the queue tick of its machine at that time. ``trace`` is its context
    in a distributed trace, if a tracer has set one; it is carried along and means nothing here.
    """

    machine: str
    transition: str
    tick: int
    trace: str = ""


CURRENT: ContextVar[Any] = ContextVar("asyncmachine_transition", default=None)
"""The running ``Transition``; inherited by tasks of its handlers, so that mutations know their cause."""

NO_ARGS: Final[Mapping[str, Any]] = {}


class Mutation(Result):
    """One request in the queue; also what its caller gets, as long as it waits there.

    To be both spares an object for each mutation that a handler makes. Two of them are never equal.

    Attributes:
        called: indexes of the states asked for, in the order of the call, without duplicates.
        tick: queue tick at which it will have been processed; 0 for prepended ones.
        auto: made by the machine itself, for its auto states; accepted partially.
        check: a dry run, without effect.
        result: how it ended; None until then.
        waiters: who waits for that.
        engine: whose queue it waits in, for those who wait; None otherwise.
    """

    __slots__ = ("args", "auto", "called", "check", "engine", "kind", "result", "source", "waiters")

    def __init__(
        self,
        kind: Kind,
        called: tuple[int, ...],
        args: Mapping[str, Any] = NO_ARGS,
        source: Source | None = None,
        auto: bool = False,
        check: bool = False,
    ) -> None:
        self.kind: Kind = kind
        self.called = called
        self.args = args
        self.source = source
        self.engine: Any = None
        self.auto = auto
        self.check = check
        self.tick = 0
        self.result: Result | None = None
        self.waiters: list[Wait] | None = None

    def __eq__(self, other: object) -> bool:
        return other is self if isinstance(other, Mutation) else Result.__eq__(self, other)

    __hash__ = Result.__hash__

    def __await__(self) -> Generator[Any, Any, Result]:
        """The final result; without a shell, what is known of it."""
        if self.result is None and self.engine.settle is not None:
            yield from self.engine.settle(self).__await__()
        return self if self.result is None else self.result

    @property
    def done(self) -> bool:
        """Whether it was processed."""
        return self.result is not None

    def finish(self, result: Result) -> list[Wait]:
        """Set the final result; returns the waits that it fires."""
        self.result = result
        fired, self.waiters = self.waiters or [], None
        for wait in fired:
            wait.done = True
        return fired
