from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from asyncmachine import Machine
from asyncmachine.schema import Schema
from asyncmachine.telemetry.history_reader import Condition, HistoryError, HistoryReader

Day: TypeAlias = Callable[..., None]


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
    path: Path, a_day: Day, state: str, times: tuple[float, float], so: tuple[bool, ...]
) -> None:
    a_day()
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


def test_when_it_was_last_like_this(path: Path, a_day: Day) -> None:
    a_day()
    with HistoryReader(path) as reader:

        def at(since: float | None = None, until: float | None = None, **conditions: Any) -> float | None:
            record = reader.latest("door", Condition(**conditions), since=since, until=until)
            return record.at if record is not None else None

        assert at() == 1005
        assert at(active=["Open"]) == 1001
        assert at(active=["Shut"], inactive=["Locked"]) == 1003
        assert at(activated=["Locked"]) == 1004
        assert at(deactivated=["Open"]) == 1002
        assert at(active=["Shut"], until=1004) == 1004
        assert at(active=["Open"], since=1002) is None
        assert at(match=lambda r: r.auto) == 1003


def test_a_machine_goes_on_from_a_record(path: Path, door_schema: Schema, a_day: Day) -> None:
    a_day()
    with HistoryReader(path) as reader:
        record = reader.latest("door", Condition(activated=["Locked"]))
    assert record is not None
    door = Machine(door_schema, id="door")
    door.restore(record.snapshot())
    assert door.active_states() == ("Shut", "Locked")
    assert door.time() == record.ticks


def test_two_lives_are_one_machine(path: Path, a_day: Day) -> None:
    a_day()
    a_day()
    with HistoryReader(path) as reader:
        assert [life.id for life in reader.machines("door")] == ["door", "door"]
        assert reader.active_between("door", "Locked", 1005, 1005.5)
        assert not reader.active_between("door", "Locked", 1006, 1007), "the second life had not come so far"
        assert [r.seq for r in reader.records()] == list(range(1, 11))


def test_unknown_names_are_explained(path: Path, a_day: Day) -> None:
    a_day()
    with HistoryReader(path) as reader:
        with pytest.raises(HistoryError, match="no machine 'dor'; did you mean 'door'"):
            reader.latest("dor")
        with pytest.raises(HistoryError, match="door has no state 'Opn'; did you mean 'Open'"):
            reader.active_between("door", "Opn", 0, 1)
        with pytest.raises(HistoryError, match="no time zone"):
            reader.active_between("door", "Open", datetime(2026, 1, 1), 1)  # noqa: DTZ001 - what is refused


def test_export_can_be_read_line_by_line(path: Path, a_day: Day, tmp_path: Path) -> None:
    a_day()
    with HistoryReader(path) as reader:
        assert reader.export(tmp_path / "out.jsonl") == 5
    head, first, *_ = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert head == {"format": "asyncmachine-history", "version": 1}
    assert (first["machine"], first["active"], first["ticks"]) == ("door", ["Open"], {"Open": 1})
