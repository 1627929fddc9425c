"""Hypothesis strategies: schemas, and scripts of mutations to play on their machines.

::

    @given(schemas(), scripts())
    def test_what_is_required_is_active(schema, script):
        machine = Machine(schema)
        for step in script:
            step.play(machine)
            for name in machine.active_states():
                assert machine.is_active(*schema.states[name].require)
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, overload

from hypothesis import strategies as st

from asyncmachine.api import MachineApi, Result
from asyncmachine.schema import Schema, State

if TYPE_CHECKING:
    from asyncmachine.machine import Machine

__all__ = ["MutationKind", "Step", "definitions", "schemas", "scripts", "steps"]

MutationKind: TypeAlias = Literal["add", "remove", "set"]


@dataclass(frozen=True)
class Step:
    """A mutation for any schema: ``places`` are indexes of states, counted round and round."""

    kind: MutationKind
    places: tuple[int, ...]

    def called(self, schema: Schema) -> tuple[str, ...]:
        """Names of the states that it calls."""
        names = schema.names
        return tuple(names[place % len(names)] for place in self.places)

    @overload
    def play(self, machine: Machine) -> Result: ...
    @overload
    def play(self, machine: MachineApi) -> Awaitable[Result]: ...
    def play(self, machine: MachineApi) -> Awaitable[Result]:
        """Mutate; what the machine answers."""
        mutate = {"add": machine.add, "remove": machine.remove, "set": machine.set}[self.kind]
        return mutate(*self.called(machine.schema))


@st.composite
def definitions(
    draw: st.DrawFn, *, max_states: int = 7, auto: bool = True, multi: bool = True
) -> dict[str, State]:
    """The states of a valid schema, named S0, S1 and so on, two at least.

    Require and After point backwards in a drawn order, so there are no cycles. About a quarter of all
    possible relations are there; a fifth of the states are auto, a fifth multi, unless turned off.
    """
    names = [f"S{i}" for i in range(draw(st.integers(2, max_states)))]
    order = draw(st.permutations(names))
    before = {name: order[: order.index(name)] for name in names}

    def some(pool: list[str]) -> tuple[str, ...]:
        every = 2 ** len(pool) - 1
        mask = draw(st.integers(0, every)) & draw(st.integers(0, every))  # about a quarter of them
        return tuple(name for i, name in enumerate(pool) if mask >> i & 1)

    states: dict[str, State] = {}
    for name in names:
        require = some(before[name])
        states[name] = State(
            auto=auto and draw(st.integers(0, 4)) == 0,
            multi=multi and draw(st.integers(0, 4)) == 0,
            require=require,
            add=some(names),
            remove=tuple(r for r in some(names) if r not in require),
            after=some(before[name]),
        )
    return states


def schemas(
    *, name: str = "Drawn", max_states: int = 7, auto: bool = True, multi: bool = True
) -> st.SearchStrategy[Schema]:
    """Schemas of :func:`definitions`; each has Exception too."""
    drawn = definitions(max_states=max_states, auto=auto, multi=multi)
    return drawn.map(lambda states: Schema(name, states))


_KINDS = st.sampled_from(cast("list[MutationKind]", ["add", "add", "remove", "set"]))


def steps(*, max_states: int = 8) -> st.SearchStrategy[Step]:
    """Mutations of one to three states, half of them adds; *max_states* of the schemas they are for."""
    places = st.lists(st.integers(0, max_states - 1), min_size=1, max_size=3)
    return st.builds(Step, _KINDS, places.map(tuple))


def scripts(*, max_size: int = 12, max_states: int = 8) -> st.SearchStrategy[list[Step]]:
    """Up to *max_size* :func:`steps`."""
    return st.lists(steps(max_states=max_states), max_size=max_size)
