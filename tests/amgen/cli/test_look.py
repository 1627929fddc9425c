"""``am-gen explain``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import Result

Run = Callable[..., Result]


def test_explain_shows_both_directions_with_places(project: Path, run: Run) -> None:
    done = run("explain", "Dark")
    assert done.exit_code == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines == [
        "Lamp.Dark: index 8, auto schemas/lamp.yaml:6:3",
        "It is not.",
        "remove Lit (from $Light) schemas/lamp.yaml:6:48",
        "removed by Lit schemas/lamp.yaml:5:53",
        "arg why: str schemas/lamp.yaml:6:64",
        "in group Light schemas/lamp.yaml:3:10",
    ]


def test_explain_a_code(run: Run) -> None:
    done = run("explain", "AM302")
    assert done.exit_code == 0
    assert done.stdout.startswith("AM302: requires and removes the same state\n\nSuch a state")
    assert "    lamp.yaml:3:36: error[AM302]:" in done.stdout
    wrong = run("explain", "AM3O2"), run("explain", "AM399")
    assert [w.exit_code for w in wrong] == [3, 3]
    assert "there is no code 'AM399'; did you mean 'AM3" in wrong[1].stderr
