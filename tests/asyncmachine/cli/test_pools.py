from __future__ import annotations

import sys

import pytest

from asyncmachine.cli.pools import fixed_size, launcher_of
from asyncmachine.cli.start import LAUNCHERS


def test_one_client_may_hold_all_of_a_pool_of_fixed_size() -> None:
    config = fixed_size(40)
    assert (config.min, config.max, config.warm, config.max_client_workers) == (1, 40, 40, 40)


@pytest.mark.parametrize("name", LAUNCHERS)
def test_launchers_have_names(name: str) -> None:
    assert launcher_of(name).name == name


@pytest.mark.parametrize(("system", "name"), [("linux", "forkserver"), ("darwin", "process")])
def test_the_launcher_suits_the_system(system: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert launcher_of(None).name == name
