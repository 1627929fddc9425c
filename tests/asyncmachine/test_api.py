from __future__ import annotations

import pytest

from asyncmachine.api import CANCELED, EXECUTED, Result, TimeIndex, Tracer
from asyncmachine.errors import UnknownState
from asyncmachine.schema import Schema, State

SCHEMA = Schema("Test", {"A": State(), "B": State()})


@pytest.mark.parametrize(
    ("result", "executed", "canceled", "queued", "text"),
    [
        (EXECUTED, True, False, False, "EXECUTED"),
        (CANCELED, False, True, False, "CANCELED"),
        (Result(7), False, False, True, "Queued(7)"),
    ],
)
def test_results(result: Result, executed: bool, canceled: bool, queued: bool, text: str) -> None:
    assert (result.executed, result.canceled, result.queued) == (executed, canceled, queued)
    assert bool(result) is not canceled
    assert repr(result) == text


def test_results_are_equal_by_tick() -> None:
    assert Result(0) == EXECUTED != CANCELED
    assert {Result(5), Result(5)} == {Result(5)}
    assert EXECUTED != 0


@pytest.mark.anyio
async def test_awaiting_a_final_result_gives_it_and_a_queued_one_settles() -> None:
    async def settle() -> Result:
        return CANCELED

    assert await EXECUTED is EXECUTED
    assert await Result(3) == Result(3)
    assert await Result(3, settle) is CANCELED


def test_a_time_index_reads_ticks_by_name() -> None:
    time = TimeIndex(SCHEMA, (3, 2, 0))
    assert (time["A"], time["B"]) == (3, 2)
    assert time.is_active("A")
    assert not time.is_active("A", "B")
    assert time.active_states() == ("A",)
    assert time.as_dict() == {"A": 3, "B": 2, "Exception": 0}
    assert repr(time) == "(A:3 B:2)"
    with pytest.raises(UnknownState):
        _ = time["C"]


def test_time_indexes_are_equal_by_ticks() -> None:
    assert TimeIndex(SCHEMA, (1, 0, 0)) == TimeIndex(SCHEMA, (1, 0, 0)) != TimeIndex(SCHEMA, (2, 0, 0))
    assert hash(TimeIndex(SCHEMA, (1, 0, 0))) == hash(TimeIndex(SCHEMA, (1, 0, 0)))
    assert TimeIndex(SCHEMA, (1, 0, 0)) != (1, 0, 0)


def test_every_hook_of_the_base_tracer_does_nothing() -> None:
    from asyncmachine.machine import Machine

    machine, plain = Machine(SCHEMA), Machine(SCHEMA)
    machine.trace(tracer := Tracer())
    for m in (machine, plain):
        m.add("A")
        m.toggle("A", "B")
    assert machine.time() == plain.time()
    assert machine._engine.tracers.items == (tracer,)
    machine.dispose()
    assert machine._engine.tracers.items == (tracer,)
