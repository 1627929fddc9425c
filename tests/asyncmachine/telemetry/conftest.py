"""A door, and a day of its history."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyncmachine import Machine
from asyncmachine.schema import Schema, State
from asyncmachine.telemetry.history import History

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


@pytest.fixture
def door_schema() -> Schema:
    return DOOR


@pytest.fixture
def a_day(path: Path, clock: Clock) -> Callable[..., None]:
    """1001 Open, 1002 not, 1003 Shut (auto), 1004 Locked, 1005 Knock."""

    def live(**options: Any) -> None:
        with History(path, **options) as history:
            door = Machine(DOOR, id="door")
            history.attach(door)
            door.add("Open", key=7, pin="secret")
            door.remove("Open")
            door.add("Locked")
            door.add("Knock")

    return live
