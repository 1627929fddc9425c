from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asyncmachine.machine import Machine
from asyncmachine.schema import EXCEPTION, Schema, State, find_problems
from asyncmachine.testing.strategies import Step, definitions, schemas, scripts, steps


@given(definitions())
def test_definitions_have_no_problems(states: dict[str, State]) -> None:
    assert find_problems(states, {}) == []
    assert 2 <= len(states) <= 7


@given(schemas(max_states=4, auto=False, multi=False))
def test_limits_are_kept(schema: Schema) -> None:
    mine = [state for name, state in schema.states.items() if name != EXCEPTION]
    assert len(mine) <= 4
    assert not any(state.auto or state.multi for state in mine)


@given(schemas(), scripts())
def test_scripts_play_on_any_machine(schema: Schema, script: list[Step]) -> None:
    machine = Machine(schema)
    for step in script:
        result = step.play(machine)
        called = step.called(schema)
        if step.kind == "add" and result.executed and not any(s.auto for s in schema.states.values()):
            assert machine.is_active(*called)
        for name in machine.active_states():
            assert machine.is_active(*schema.states[name].require)


def test_every_kind_of_relation_and_property_is_drawn() -> None:
    seen: set[str] = set()

    @given(schemas())
    def look(schema: Schema) -> None:
        for state in schema.states.values():
            names = ("require", "add", "remove", "after", "auto", "multi")
            seen.update(name for name in names if getattr(state, name))

    look()
    assert len(seen) == 6


@given(st.data())
def test_steps_count_round_and_round(data: st.DataObject) -> None:
    step = data.draw(steps(max_states=50))
    schema = Schema("Two", {"A": State(), "B": State()})
    assert step.called(schema) == tuple(("A", "B", "Exception")[p % 3] for p in step.places)
