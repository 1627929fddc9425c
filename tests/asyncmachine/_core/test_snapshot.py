from __future__ import annotations

import json
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmachine._core.engine import Engine
from asyncmachine._core.mutation import ADD, REMOVE
from asyncmachine._core.snapshot import Snapshot, restore, take
from asyncmachine._core.waits import ACTIVE, TICK, Wait
from asyncmachine.errors import MachineDisposed, SchemaMismatch, SnapshotError
from asyncmachine.schema import Schema, State

STATES = {
    "A": State(),
    "B": State(require=("A",)),
    "C": State(remove=("B",)),
    "M": State(multi=True),
    "Auto": State(auto=True, require=("B",)),
}
SCHEMA = Schema("Test", STATES)


def engine(name: str = "m1", schema: Schema = SCHEMA) -> Engine:
    return Engine(schema, name, None, lambda: 0.0, lambda kind, details: None)


def used() -> Engine:
    one = engine()
    for states in (("A", "B"), ("M",), ("M",)):
        one.mutate(ADD, states)
    return one


def test_a_snapshot_is_the_clock_and_where_it_comes_from() -> None:
    assert take(used()) == Snapshot(
        machine="m1",
        schema="Test",
        digest=SCHEMA.digest,
        ticks=(1, 1, 0, 3, 1, 0),
        queue_tick=4,
        machine_tick=0,
    )


def test_a_restored_machine_goes_on_where_the_other_stopped() -> None:
    one, two = used(), engine("m2")
    restore(two, take(one))
    assert (two.ticks, two.node.mask, two.machine_tick) == (one.ticks, one.node.mask, 1)
    for kind, state in ((REMOVE, "B"), (ADD, "C"), (ADD, "M"), (REMOVE, "A")):
        assert one.mutate(kind, (state,)) == two.mutate(kind, (state,))
        assert one.ticks == two.ticks
    again = engine()
    restore(again, take(two))
    assert again.machine_tick == 2


@given(st.lists(st.tuples(st.sampled_from([ADD, REMOVE]), st.sampled_from(list(STATES))), max_size=12))
def test_any_history_survives_json_and_cbor(script: list[tuple[Any, str]]) -> None:
    one = engine()
    for kind, state in script:
        one.mutate(kind, (state,))
    values = take(one).as_dict()
    assert Snapshot.from_dict(json.loads(json.dumps(values))) == take(one)
    assert Snapshot.from_dict(cbor2.loads(cbor2.dumps(values))) == take(one)
    two = engine()
    restore(two, Snapshot.from_dict(values))
    assert two.ticks == one.ticks
    assert two.node.mask == one.node.mask


class Item:
    def cancel(self) -> None: ...


def test_waits_and_scopes_see_it() -> None:
    woken: list[Any] = []
    two = engine()
    two.perform = woken.extend
    waits = [Wait(ACTIVE, (0, 1)), Wait(TICK, (SCHEMA.index["M"],))]
    waits[1].tick = 3
    late = Wait(ACTIVE, (SCHEMA.index["C"],))
    for wait in (*waits, late):
        wait.sleepers = [None]
        two.add_wait(wait)
    token, kept = two.token(0), two.token(2)
    token.attach(Item())
    restore(two, take(used()))
    assert all(w.done for w in waits)
    assert not late.done
    assert (token.expired, kept.expired) == (True, False)
    assert woken[1:] == waits


def test_another_schema_is_refused() -> None:
    other = Schema("Test", {**STATES, "More": State()})
    with pytest.raises(SchemaMismatch, match="m1"):
        restore(engine(schema=other), take(used()))


def test_only_a_fresh_machine_can_be_restored() -> None:
    snapshot = take(used())
    with pytest.raises(SnapshotError, match="in use"):
        restore(used(), snapshot)
    refused = engine()
    refused.mutate(ADD, ("B",))  # moved nothing, but somebody was told so
    with pytest.raises(SnapshotError, match="in use"):
        restore(refused, snapshot)
    gone = engine()
    gone.dispose()
    with pytest.raises(MachineDisposed):
        restore(gone, snapshot)


@pytest.mark.parametrize(
    ("ticks", "text"),
    [((0, 1, 0, 0, 0, 0), "do not allow B"), ((1, 1, 1, 0, 0, 0), "do not allow B"), ((1,), "got 1 ticks")],
)
def test_what_relations_forbid_is_not_restored(ticks: tuple[int, ...], text: str) -> None:
    two = engine()
    with pytest.raises(SnapshotError, match=text):
        restore(two, Snapshot(machine="m1", schema="Test", digest=SCHEMA.digest, ticks=ticks))
    assert two.ticks == [0] * len(SCHEMA)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"tickz": []}, "did you mean 'ticks'"),
        ({"ticks": "111111"}, "ticks: expected a list"),
        ({"ticks": [1, -1]}, r"ticks\[1\]"),
        ({"ticks": [True]}, r"ticks\[0\]"),
        ({"ticks": [2**63]}, r"ticks\[0\]"),
        ({"queue_tick": None}, "queue_tick"),
        ({"machine_tick": 0.5}, "machine_tick"),
        ({"digest": b"x"}, "digest: expected text"),
    ],
)
def test_a_malformed_map_is_refused(change: dict[str, object], text: str) -> None:
    with pytest.raises(SnapshotError, match=text):
        Snapshot.from_dict({**take(used()).as_dict(), **change})


@pytest.mark.parametrize("key", list(take(engine()).as_dict()))
def test_no_key_may_be_missing(key: str) -> None:
    values = take(used()).as_dict()
    del values[key]
    with pytest.raises(SnapshotError, match=key):
        Snapshot.from_dict(values)
