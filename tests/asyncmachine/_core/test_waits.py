from __future__ import annotations

import pytest

from asyncmachine._core.waits import ACTIVE, ARGS, INACTIVE, QUERY, TICK, Wait, Waits
from asyncmachine.api import TimeIndex
from asyncmachine.schema import Schema, State, iter_bits

SCHEMA = Schema("Test", {"A": State(), "B": State(), "C": State()})
A, B, C = 0b001, 0b010, 0b100  # as masks
IDLE = (0, 0, 0, 0)


def subscribed(kind: int, mask: int, ticks: tuple[int, ...] = IDLE, **fields: object) -> tuple[Waits, Wait]:
    waits, wait = Waits(SCHEMA), Wait(kind, tuple(iter_bits(mask)))
    for name, value in fields.items():
        setattr(wait, name, value)
    waits.add(wait, ticks)
    return waits, wait


def test_active_needs_all_of_its_states_at_once() -> None:
    waits, wait = subscribed(ACTIVE, A | B)
    assert waits.changed(A, (1, 0, 0, 0)) == []
    assert waits.changed(A | B, (2, 1, 0, 0)) == []
    assert waits.changed(A, (3, 1, 0, 0)) == [wait]
    assert wait.done
    assert wait.time == TimeIndex(SCHEMA, (3, 1, 0, 0))


def test_a_wait_hangs_at_a_state_that_it_still_waits_for() -> None:
    waits, wait = subscribed(ACTIVE, A | B | C)
    other = Wait(TICK, (0,), tick=9)
    waits.add(other, IDLE)
    assert (wait.at, waits.mask) == (0, A)
    assert waits.changed(A, (1, 0, 0, 0)) == []
    assert (wait.at, waits.mask) == (1, A | B)
    assert waits.changed(A, (2, 0, 0, 0)) == []  # it does not hang there any more
    assert waits.changed(B, (2, 1, 0, 0)) == []
    assert (wait.at, waits.mask) == (0, A)
    assert waits.changed(A | C, (3, 1, 1, 0)) == [wait]
    assert waits.changed(A, (9, 1, 1, 0)) == [other]
    assert waits.mask == 0


def test_inactive_needs_none_of_its_states() -> None:
    waits, wait = subscribed(INACTIVE, A | B, (1, 1, 0, 0))
    assert waits.changed(A, (2, 1, 0, 0)) == []
    assert waits.changed(B, (2, 2, 0, 0)) == [wait]


def test_tick_fires_at_its_tick_or_after() -> None:
    for reached in (3, 4):
        waits, wait = subscribed(TICK, A, tick=3)
        assert waits.changed(A, (2, 0, 0, 0)) == []
        assert waits.changed(A, (reached, 0, 0, 0)) == [wait]


@pytest.mark.parametrize(
    ("kind", "ticks", "tick"), [(ACTIVE, (1, 0, 0, 0), 0), (INACTIVE, IDLE, 0), (TICK, (4, 0, 0, 0), 3)]
)
def test_a_condition_that_holds_already_fires_at_once(kind: int, ticks: tuple[int, ...], tick: int) -> None:
    waits, wait = subscribed(kind, A, ticks, tick=tick)
    assert wait.done
    assert wait.time == TimeIndex(SCHEMA, ticks)
    assert waits.mask == 0


def test_args_fire_on_a_superset_of_equal_args_and_never_on_their_own() -> None:
    waits, wait = subscribed(ARGS, A, (1, 0, 0, 0), args={"x": 1, "y": None})
    assert not wait.done
    assert waits.changed(A, (1, 0, 0, 0)) == []
    assert waits.called((0,), {"x": 1}, IDLE) == []
    assert waits.called((0,), {"x": 2, "y": None}, IDLE) == []
    assert waits.called((1,), {"x": 1, "y": None}, IDLE) == []
    assert waits.called((0,), {"x": 1, "y": None, "z": 3}, IDLE) == [wait]


def test_queries_are_asked_after_each_change_with_the_clock() -> None:
    seen: list[TimeIndex] = []

    def query(time: TimeIndex) -> bool:
        seen.append(time)
        return time["B"] == 1

    waits, wait = subscribed(QUERY, 0, query=query)
    assert waits.changed(A, (1, 0, 0, 0)) == []
    assert waits.changed(B, (1, 1, 0, 0)) == [wait]
    assert waits.changed(B, (1, 2, 0, 0)) == []
    assert [t.ticks for t in seen] == [(1, 0, 0, 0), (1, 1, 0, 0)]


def test_a_query_that_raises_fails_its_own_wait_only() -> None:
    waits, bad = subscribed(QUERY, 0, query=lambda time: time["Nope"] > 0)
    good = Wait(QUERY, ())
    good.query = lambda time: True
    waits.add(good, IDLE)
    assert waits.changed(A, (1, 0, 0, 0)) == [bad, good]
    assert "Nope" in str(bad.error)
    assert good.error is None
    assert not waits.queries


def test_a_wait_fires_once() -> None:
    waits, wait = subscribed(ACTIVE, A)
    assert waits.changed(A, (1, 0, 0, 0)) == [wait]
    assert waits.changed(A, (3, 0, 0, 0)) == []


def test_discard_unsubscribes_and_keeps_the_mask_exact() -> None:
    waits, wait = subscribed(ACTIVE, A | B)
    other = Wait(ACTIVE, (1,))
    waits.add(other, IDLE)
    waits.discard(wait)
    assert waits.mask == B
    assert waits.changed(A | B, (1, 1, 0, 0)) == [other]
    assert waits.mask == 0
    waits.discard(wait)


def test_pulses_of_merged_changes_fire_single_state_waits() -> None:
    waits, on = subscribed(ACTIVE, A)
    off, both = Wait(INACTIVE, (1,)), Wait(ACTIVE, (0, 2))
    waits.add(off, (0, 1, 0, 0))
    waits.add(both, (0, 1, 0, 0))
    assert waits.changed(A | B, (2, 3, 0, 0), pulsed_on=A, pulsed_off=B) == [on, off]
    assert not both.done


def test_fail_all_fails_each_pending_wait_once() -> None:
    waits, wait = subscribed(ACTIVE, A | B)
    query = Wait(QUERY, ())
    query.query = lambda time: False
    waits.add(query, IDLE)
    error = RuntimeError("gone")
    assert waits.fail_all(error) == [wait, query]
    assert (wait.error, query.error, wait.done) == (error, error, True)
    assert waits.mask == 0
    assert waits.changed(A | B, (1, 1, 0, 0)) == []


def test_waits_of_two_machines_share_nothing_though_they_begin_with_the_same_empty_tables() -> None:
    schema = Schema("Test", {"A": State(), "B": State()})
    one, two = Waits(schema), Waits(schema)
    one.add(Wait(ACTIVE, (0,)), (0, 0, 0))
    query = Wait(QUERY, ())
    query.query = lambda time: True
    one.add(query, (0, 0, 0))
    assert two.mask == 0
    assert two.changed(0b01, (1, 0, 0)) == []
    assert len(one.fail_all(RuntimeError("gone"))) == 2
    assert not Waits(schema).queries
    two.add(again := Wait(ACTIVE, (0,)), (0, 0, 0))
    assert two.changed(0b01, (1, 0, 0)) == [again]
    assert one.changed(0b01, (1, 0, 0)) == []
