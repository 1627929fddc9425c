from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from asyncmachine import Machine
from asyncmachine.schema import Event, Schema
from asyncmachine.telemetry.history import History
from asyncmachine.telemetry.history_reader import HistoryError, HistoryReader

Day: TypeAlias = Callable[..., None]


def test_all_transitions_are_kept_in_order(path: Path, door_schema: Schema, a_day: Day) -> None:
    a_day()
    with HistoryReader(path) as reader:
        (life,) = reader.machines()
        assert (life.id, life.kind, life.digest, life.states) == (
            "door",
            "Door",
            door_schema.digest,
            door_schema.names,
        )
        found = [(r.at, r.type, r.auto, r.called, r.active) for r in reader.records()]
    assert found == [
        (1001, "add", False, ("Open",), ("Open",)),
        (1002, "remove", False, ("Open",), ()),
        (1003, "add", True, ("Shut",), ("Shut",)),
        (1004, "add", False, ("Locked",), ("Shut", "Locked")),
        (1005, "add", False, ("Knock",), ("Shut", "Locked", "Knock")),
    ]


def test_values_of_args_are_kept_where_allowed(path: Path, a_day: Day) -> None:
    a_day(args={"key"})
    assert b"secret" not in b"".join(p.read_bytes() for p in path.parent.iterdir())
    with HistoryReader(path) as reader:
        assert next(reader.records()).args == {"key": 7, "pin": None}


def test_only_what_moves_the_states_that_count(path: Path, a_day: Day) -> None:
    a_day(states={"Locked"})
    with HistoryReader(path) as reader:
        assert [r.called for r in reader.records()] == [("Locked",)]


class Refuses:
    def open_enter(self, event: Event[Any]) -> bool:
        return False


@pytest.mark.parametrize("rejected", [True, False])
def test_rejected_transitions_are_kept_on_demand(path: Path, door_schema: Schema, rejected: bool) -> None:
    with History(path, rejected=rejected) as history:
        door = Machine(door_schema, Refuses(), id="door")
        history.attach(door)
        door.add("Open")
        door.can_add("Knock")
        history.flush()
        with history.read() as reader:
            found = [(r.accepted, r.stopped_by) for r in reader.records() if not r.auto]
    assert found == ([(False, "open_enter")] if rejected else [])


def test_what_is_too_much_is_dropped_and_counted(
    path: Path, door_schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    with History(path, most=10) as history:
        door = Machine(door_schema, id="door")
        history.attach(door)
        with history._news:  # the writer waits for it
            for _ in range(25):
                door.add("Knock")
            assert history.dropped >= 15
        history.flush()
        with history.read() as reader:
            assert len(list(reader.records())) + history.dropped == 26


def test_a_full_disk_ends_the_writing_and_not_the_machine(path: Path, door_schema: Schema) -> None:
    with History(path) as history:
        door = Machine(door_schema, id="door")
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


def test_a_reader_reads_while_it_is_written(path: Path, door_schema: Schema) -> None:
    with History(path) as history:
        door = Machine(door_schema, id="door")
        history.attach(door)
        door.add("Knock")
        history.flush()
        with history.read() as reader:
            before = len(list(reader.records()))
            door.add("Knock")
            history.flush()
            assert len(list(reader.records())) == before + 1


def test_times_are_those_of_the_wall(path: Path, a_day: Day) -> None:
    begin = time.time()
    a_day()
    with HistoryReader(path) as reader:
        assert all(begin <= r.at <= time.time() for r in reader.records())
