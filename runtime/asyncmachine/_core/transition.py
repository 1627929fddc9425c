"""One transition as a record: what was asked, what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from asyncmachine._core.mutation import KIND_NAMES, Mutation, Source

if TYPE_CHECKING:
    from asyncmachine._core.plans import Plan
    from asyncmachine.schema import Schema

__all__ = ["Memory", "Stop", "Transition", "Undone"]


class Stop(NamedTuple):
    """A transition that a handler stopped. ``error`` tells what it raised, "" if it refused."""

    plan: Plan
    number: int
    source: Source | None
    handler: str
    error: str


class Undone(NamedTuple):
    """A move that was rolled back, because this handler failed."""

    plan: Plan
    number: int
    source: Source | None
    handler: str


Memory: TypeAlias = "Plan | tuple[Plan, int, Source | None] | Undone | None"
"""What a machine remembers of the last move of a state: its plan; with the number and the source of the
transition if there was a record of one. None: it has not moved, or was restored."""


class Transition:
    """The record that handlers and tracers see. Changes while the transition runs.

    Attributes:
        id: unique within the process, ``<machine id>/<number>``.
        machine_id: the machine it belongs to.
        plan: the resolved plan; replaced when an auto transition is accepted in part.
        accepted: False once a relation, veto or failure has stopped it.
        stopped_by: name of the handler that vetoed or failed, or "" (then: by relations).
        error: the exception that a handler raised, or None.
        time_before, time_after: ticks in index order; empty unless a tracer is attached.
        made: its ``source``, once somebody has asked for it.
        queue_len: mutations still waiting when it began.
        trace: for tracers: what the sources that name it carry along.
    """

    __slots__ = (
        "accepted",
        "error",
        "machine_id",
        "made",
        "mutation",
        "number",
        "plan",
        "queue_len",
        "schema",
        "stopped_by",
        "time_after",
        "time_before",
        "trace",
    )

    def __init__(self, number: int, machine_id: str, schema: Schema, mutation: Mutation, plan: Plan) -> None:
        self.number = number
        self.machine_id = machine_id
        self.schema = schema
        self.mutation = mutation
        self.plan = plan
        self.accepted = plan.accepted
        self.stopped_by = ""
        self.error: Exception | None = None
        self.time_before: tuple[int, ...] = ()
        self.time_after: tuple[int, ...] = ()
        self.queue_len = 0
        self.trace = ""
        self.made: Source | None = None

    def _names(self, states: tuple[int, ...]) -> tuple[str, ...]:
        names = self.schema.names
        return tuple(names[i] for i in states)

    @property
    def id(self) -> str:
        """See the class."""
        return f"{self.machine_id}/{self.number}"

    @property
    def source(self) -> Source:
        """How mutations made by its handlers name it."""
        if self.made is None:  # made once: a handler may make a thousand mutations
            self.made = Source(self.machine_id, self.id, self.mutation.tick, self.trace)
        return self.made

    @property
    def kind(self) -> str:
        """``add``, ``remove`` or ``set``."""
        return KIND_NAMES[self.mutation.kind]

    @property
    def called(self) -> tuple[str, ...]:
        """States asked for."""
        return self._names(self.mutation.called)

    @property
    def before(self) -> tuple[str, ...]:
        """States active before, in their order."""
        return self._names(self.plan.source.active)

    @property
    def target(self) -> tuple[str, ...]:
        """States active after, in their order, if it is accepted."""
        return self._names(self.plan.target)

    @property
    def enters(self) -> tuple[str, ...]:
        """States that activate, or re-enter, in handler order."""
        return self._names(self.plan.enters)

    @property
    def exits(self) -> tuple[str, ...]:
        """States that deactivate, in handler order."""
        return self._names(self.plan.exits)

    def __repr__(self) -> str:
        auto = ":auto" if self.mutation.auto else ":check" if self.mutation.check else ""
        verdict = "" if self.accepted else " canceled"
        return f"<{self.id} [{self.kind}{auto}] {' '.join(self.called)}{verdict}>"
