from __future__ import annotations

import json
import sqlite3
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from asyncmachine import Machine
from asyncmachine.schema import Event, Schema, State
from asyncmachine.telemetry.history import History
from asyncmachine.telemetry.history_reader import HistoryError, HistoryReader

DOOR = Schema(
    "Door",
    {
        "Open": State(remove=("Shut",)),
        "Shut": State(auto=True, remove=("Open",)),
        "Locked": State(require=("Shut",)),
        "Knock": State(multi=True),
    },
)


class Clock:
    """Seconds since 1970, one more with each look."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("asyncmachine.telemetry.history.time.time", found)
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


def a_day(path: Path, **options: Any) -> None:
    """1001 Open, 1002 not, 1003 Shut (auto), 1004 Locked, 1005 Knock."""
    with History(path, **options) as history:
        door = Machine(DOOR, id="door")
        history.attach(door)
        door.add("Open", key=7, pin="secret")
        door.remove("Open")
        door.add("Locked")
        door.add("Knock")


def test_all_transitions_are_kept_in_order(path: Path, clock: Clock) -> None:
    a_day(path)
    with HistoryReader(path) as reader:
        (life,) = reader.machines()
        assert (life.id, life.kind, life.digest, life.states) == ("door", "Door", DOOR.digest, DOOR.names)
        found = [(r.at, r.type, r.auto, r.called, r.active) for r in reader.records()]
    assert found == [
        (1001, "add", False, ("Open",), ("Open",)),
        (1002, "remove", False, ("Open",), ()),
        (1003, "add", True, ("Shut",), ("Shut",)),
        (1004, "add", False, ("Locked",), ("Shut", "Locked")),
        (1005, "add", False, ("Knock",), ("Shut", "Locked", "Knock")),
    ]


@pytest.mark.parametrize(
    ("state", "times", "so"),
    [  # activated, deactivated, active, inactive
        ("Open", (1001, 1001), (True, False, True, False)),
        ("Open", (1001, 1002), (True, True, True, True)),
        ("Open", (1002, 1005), (False, True, False, True)),
        ("Open", (1003, 1005), (False, False, False, True)),
        ("Locked", (1004.5, 2000), (False, False, True, False)),
        ("Shut", (1000, 1003), (True, False, True, False)),
    ],
)
def test_what_was_so_between_two_times(
    path: Path, clock: Clock, state: str, times: tuple[float, float], so: tuple[bool, ...]
) -> None:
    a_day(path)
    with HistoryReader(path) as reader:
        asked = (
            reader.activated_between,
            reader.deactivated_between,
            reader.active_between,
            reader.inactive_between,
        )
        assert tuple(ask("door", state, *times) for ask in asked) == so
        aware = [datetime.fromtimestamp(at, UTC) for at in times]
        assert tuple(ask("door", state, *aware) for ask in asked) == so


def test_when_it_was_last_like_this(path: Path, clock: Clock) -> None:
    a_day(path)
    with HistoryReader(path) as reader:

        def at(**conditions: Any) -> float | None:
            record = reader.latest("door", **conditions)
            return record.at if record is not None else None

        assert at() == 1005
        assert at(active=["Open"]) == 1001
        assert at(active=["Shut"], inactive=["Locked"]) == 1003
        assert at(activated=["Locked"]) == 1004
        assert at(deactivated=["Open"]) == 1002
        assert at(active=["Shut"], until=1004) == 1004
        assert at(active=["Open"], since=1002) is None
        assert at(match=lambda r: r.auto) == 1003


def test_a_machine_goes_on_from_a_record(path: Path, clock: Clock) -> None:
    a_day(path)
    with HistoryReader(path) as reader:
        record = reader.latest("door", activated=["Locked"])
    assert record is not None
    door = Machine(DOOR, id="door")
    door.restore(record.snapshot())
    assert door.active_states() == ("Shut", "Locked")
    assert door.time() == record.ticks


def test_values_of_args_are_kept_where_allowed(path: Path, clock: Clock) -> None:
    a_day(path, args={"key"})
    assert b"secret" not in b"".join(p.read_bytes() for p in path.parent.iterdir())
    with HistoryReader(path) as reader:
        assert next(reader.records()).args == {"key": 7, "pin": None}


def test_only_what_moves_the_states_that_count(path: Path, clock: Clock) -> None:
    a_day(path, states={"Locked"})
    with HistoryReader(path) as reader:
        assert [r.called for r in reader.records()] == [("Locked",)]


class Refuses:
    def open_enter(self, event: Event[Any]) -> bool:
        return False


@pytest.mark.parametrize("rejected", [True, False])
def test_rejected_transitions_are_kept_on_demand(path: Path, rejected: bool) -> None:
    with History(path, rejected=rejected) as history:
        door = Machine(DOOR, Refuses(), id="door")
        history.attach(door)
        door.add("Open")
        door.can_add("Knock")
        history.flush()
        with history.read() as reader:
            found = [(r.accepted, r.stopped_by) for r in reader.records() if not r.auto]
    assert found == ([(False, "open_enter")] if rejected else [])


def test_two_lives_are_one_machine(path: Path, clock: Clock) -> None:
    a_day(path)
    a_day(path)
    with HistoryReader(path) as reader:
        assert [life.id for life in reader.machines("door")] == ["door", "door"]
        assert reader.active_between("door", "Locked", 1005, 1005.5)
        assert not reader.active_between("door", "Locked", 1006, 1007), "the second life had not come so far"
        assert [r.seq for r in reader.records()] == list(range(1, 11))


def test_unknown_names_are_explained(path: Path, clock: Clock) -> None:
    a_day(path)
    with HistoryReader(path) as reader:
        with pytest.raises(HistoryError, match="no machine 'dor'; did you mean 'door'"):
            reader.latest("dor")
        with pytest.raises(HistoryError, match="door has no state 'Opn'; did you mean 'Open'"):
            reader.active_between("door", "Opn", 0, 1)
        with pytest.raises(HistoryError, match="no time zone"):
            reader.active_between("door", "Open", datetime(2026, 1, 1), 1)  # noqa: DTZ001 - what is refused


def test_export_can_be_read_line_by_line(path: Path, clock: Clock, tmp_path: Path) -> None:
    a_day(path)
    with HistoryReader(path) as reader:
        assert reader.export(tmp_path / "out.jsonl") == 5
    head, first, *_ = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert head == {"format": "asyncmachine-history", "version": 1}
    assert (first["machine"], first["active"], first["ticks"]) == ("door", ["Open"], {"Open": 1})


def test_what_is_too_much_is_dropped_and_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with History(path, most=10) as history:
        door = Machine(DOOR, id="door")
        history.attach(door)
        with history._news:  # the writer waits for it
            for _ in range(25):
                door.add("Knock")
            assert history.dropped >= 15
        history.flush()
        with history.read() as reader:
            assert len(list(reader.records())) + history.dropped == 26


def test_a_full_disk_ends_the_writing_and_not_the_machine(path: Path) -> None:
    with History(path) as history:
        door = Machine(DOOR, id="door")
        history.attach(door)
        door.add("Open")
        history.flush()
        with sqlite3.connect(path) as other:
            other.execute("DROP TABLE record")
        door.add("Shut")
        with pytest.raises(HistoryError, match=r"run\.db' is no longer written: no such table"):
            history.flush()
        door.add("Open")
        assert history.dropped == 1
    assert not any(t.name == "asyncmachine-history" for t in threading.enumerate())


@pytest.mark.parametrize("content", [b"no database at all, but some text that is long", b""])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(HistoryError, match="is no history file"):
        HistoryReader(path)
    if content:
        with pytest.raises(HistoryError, match="cannot write"):
            History(path)
    with pytest.raises(HistoryError, match="there is no history file"):
        HistoryReader(tmp_path / "nothing")


def test_a_reader_reads_while_it_is_written(path: Path) -> None:
    with History(path) as history:
        door = Machine(DOOR, id="door")
        history.attach(door)
        door.add("Knock")
        history.flush()
        with history.read() as reader:
            before = len(list(reader.records()))
            door.add("Knock")
            history.flush()
            assert len(list(reader.records())) == before + 1


def test_times_are_those_of_the_wall(path: Path) -> None:
    begin = time.time()
    a_day(path)
    with HistoryReader(path) as reader:
        assert all(begin <= r.at <= time.time() for r in reader.records())
