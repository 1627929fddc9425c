"""What a mutation does to a machine that has no handlers, on the runtime's own resolver. Pure.

A configuration is a bit mask of active states. The runtime keeps them in an order too, but that
decides nothing but the order of handlers: active states never remove each other and imply nothing,
so which of them is looked at first makes no difference to what is active afterwards.

A mutation looks at few states: those that it may activate, what these require, who removes them,
whom they remove, and who depends on those. This is its *cone*. What it does depends on nothing
outside of it, so an answer of the resolver serves all configurations that agree inside of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from asyncmachine._core.mutation import ADD, KIND_NAMES, REMOVE, SET, Kind
from asyncmachine._core.plans import Node, Plan, PlanCache
from asyncmachine._core.relations import Step as Decision
from asyncmachine._core.relations import mask_of
from asyncmachine.schema import Schema, iter_bits

__all__ = ["ADD", "REMOVE", "SET", "STAY", "Decision", "Delta", "Kind", "Move", "Step", "Stepper", "Table"]

Delta: TypeAlias = tuple[int, int, bool]
"""``(keep, put, follows)``: the next configuration is ``active & keep | put``; whether auto states follow."""

STAY: Final[Delta] = (-1, 0, False)
"""No tick moves."""


@dataclass(frozen=True, slots=True)
class Move:
    """One mutation: its kind, and the indexes of the called states in the order of the call."""

    kind: Kind
    called: tuple[int, ...]

    def words(self, schema: Schema) -> str:
        """``add Foo Bar``."""
        return " ".join([KIND_NAMES[self.kind], *(schema.names[i] for i in self.called)])


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one mutation.

    Attributes:
        accepted: by relations.
        ticked: whether any tick moved; a called active Multi state moves without a change of ``after``.
        middle: the configuration after the mutation itself.
        after: the one in which the machine comes to rest, after its auto states.
        rejected: mask of the called states that relations did not let in.
    """

    accepted: bool
    ticked: bool
    middle: int
    after: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Table:
    """The answers for one mutation: ``known[active & cone]`` if it is there, else ``ask(active)``."""

    cone: int
    known: dict[int, Delta]
    ask: Callable[[int], Delta]


class Stepper:
    """Steps of the machines of one schema.

    Attributes:
        asked: how often the resolver was asked.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.asked = 0
        self._cache = PlanCache(schema)  # its own: the one of the schema belongs to running machines
        self._removers = self._cache.resolver.removers
        self._dependents = _dependents(schema)

    def step(self, active: int, move: Move) -> Step:
        """One mutation of a machine at rest, and the auto transition that follows it."""
        plan = self._plan(active, move)
        middle = plan.node.mask
        after = self.settle(middle) if plan.may_auto else middle
        return Step(plan.accepted, plan.changed, middle, after, mask_of(plan.rejected))

    def settle(self, active: int) -> int:
        """The configuration after one auto transition."""
        self.asked += 1
        plan = self._cache.auto_plan(self._node(active))
        return active if plan is None else plan.node.mask

    def why(self, active: int, move: Move) -> tuple[Decision, ...]:
        """What the resolver decided on the way to the outcome of a mutation."""
        states = tuple(iter_bits(active))
        return self._cache.resolver.resolve(states, move.called, move.kind).steps

    def ticks(self, active: int, move: Move) -> bool:
        """Whether a mutation moves a tick after which auto states follow."""
        return self._plan(active, move).may_auto

    def _plan(self, active: int, move: Move) -> Plan:
        self.asked += 1
        return self._cache.build(self._node(active), move.kind, move.called)

    @staticmethod
    def _node(active: int) -> Node:
        # Not interned: there are more configurations than any machine will visit.
        return Node(tuple(iter_bits(active)))

    # -- tables --------------------------------------------------------------------------------

    def table(self, move: Move, part: int) -> Table:
        """The answers for a mutation of states in *part*, an independent part, see ``explore.parts_of``."""
        cone = self.cone(move) & part
        known: dict[int, Delta] = {}

        def ask(active: int) -> Delta:
            plan = self._plan(active, move)
            delta = STAY
            if plan.changed:
                after = plan.node.mask
                delta = (part & ~(active & ~after), after & ~active, plan.may_auto)
            known[active & cone] = delta
            return delta

        return Table(cone, known, ask)

    def auto_table(self, part: int) -> Table:
        """The same for the auto transition; what it does outside of *part* is left out."""
        cone = self._add_cone(self.schema.masks.auto & part) & part
        known: dict[int, Delta] = {}

        def ask(active: int) -> Delta:
            after = self.settle(active) & part
            delta = known[active & cone] = (part & ~(active & ~after), after & ~active, False)
            return delta

        return Table(cone, known, ask)

    def cone(self, move: Move) -> int:
        """Mask of all states that decide what a mutation does, or that it may move."""
        called = mask_of(move.called)
        if move.kind == REMOVE:
            return called | self._all(self._dependents, called)
        if move.kind == SET:
            return (1 << len(self.schema)) - 1
        return self._add_cone(called)

    def _add_cone(self, called: int) -> int:
        masks = self.schema.masks
        listed, todo = called, called
        while todo:
            todo = self._all(masks.add, todo) & ~listed
            listed |= todo
        near = listed | self._all(masks.require, listed) | self._all(self._removers, listed)
        return near | self._all(self._dependents, self._all(masks.remove, listed))

    @staticmethod
    def _all(table: Sequence[int], states: int) -> int:
        """The union of *table* over these states."""
        mask = 0
        for i in iter_bits(states):
            mask |= table[i]
        return mask


def _dependents(schema: Schema) -> list[int]:
    """Per state, itself and all that require it, also through others."""
    direct = [0] * len(schema)
    for i, required in enumerate(schema.masks.require):
        for other in iter_bits(required):
            direct[other] |= 1 << i
    found = [1 << i for i in range(len(schema))]
    for i in range(len(schema)):
        todo = found[i]
        while todo:
            reached = 0
            for other in iter_bits(todo):
                reached |= direct[other]
            todo = reached & ~found[i]
            found[i] |= todo
    return found
