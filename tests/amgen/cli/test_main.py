"""Usage, help and exit codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Run = Callable[..., Result]


@pytest.mark.parametrize(
    "args",
    [
        ["compil"],
        ["compile", "--nope"],
        ["compile", "nowhere"],
        ["graph"],
        ["graph", "Lanp"],
        ["explain", "Lti"],
    ],
)
def test_wrong_usage_exits_with_3(project: Path, run: Run, args: list[str]) -> None:
    assert run(*args).exit_code == 3


def test_wrong_usage_says_what_was_meant(project: Path, run: Run) -> None:
    assert "did you mean 'Lamp'?" in run("graph", "Lanp").stderr
    assert "did you mean 'Lit'?" in run("explain", "Lti").stderr
