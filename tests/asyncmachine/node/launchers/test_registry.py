"""Launchers have names."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from asyncmachine.errors import LaunchError
from asyncmachine.node.launchers import registry
from asyncmachine.node.launchers.forkserver import ForkserverLauncher
from asyncmachine.node.launchers.registry import BUILT_IN, GROUP, launcher_names, make_launcher

ROOT = Path(__file__).parents[4]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    points: list[EntryPoint] = []
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == GROUP else [])
    return points


def test_the_built_in_ones_are_declared_for_others_to_see() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"][GROUP] == dict(BUILT_IN)


def test_options_reach_what_makes_it() -> None:
    assert isinstance(make_launcher("forkserver", ("json",)), ForkserverLauncher)


def test_another_distribution_can_bring_one(installed: list[EntryPoint]) -> None:
    installed.append(EntryPoint("mine", f"{__name__}:Mine", GROUP))
    assert launcher_names() == ("forkserver", "inline", "mine", "process")
    made: Any = make_launcher("mine", size=3)
    assert made.size == 3


def test_nobody_takes_a_built_in_name(installed: list[EntryPoint]) -> None:
    installed.append(EntryPoint("process", f"{__name__}:Mine", GROUP))
    assert make_launcher("process").name == "process"


class Mine:
    name = "mine"

    def __init__(self, size: int) -> None:
        self.size = size


NOT_ONE = "text"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("no.such.module:X", "cannot be loaded from 'no.such.module:X': No module named"),
        (f"{__name__}:Missing", "has no attribute 'Missing'"),
        (f"{__name__}:NOT_ONE", "cannot be called"),
    ],
)
def test_what_cannot_be_loaded_says_so(installed: list[EntryPoint], value: str, text: str) -> None:
    installed.append(EntryPoint("mine", value, GROUP))
    with pytest.raises(LaunchError, match=text):
        make_launcher("mine")


def test_a_wrong_name_is_answered_with_the_right_ones(installed: list[EntryPoint]) -> None:
    with pytest.raises(LaunchError, match=r"no launcher 'inlin'.*inline.*there are forkserver, inline, pro"):
        make_launcher("inlin")
