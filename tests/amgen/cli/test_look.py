"""``am-gen explain`` and ``am-gen graph``."""

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


def test_graph_of_a_group(project: Path, run: Run) -> None:
    done = run("graph", "Lamp", "--group", "Light")
    assert done.exit_code == 0
    assert '    s0["Lit"]:::plain\n    s1["Dark"]:::auto\n    s0 x--x|remove| s1\n' in done.stdout
    assert run("graph", "Lamp", "--group", "Ligth").exit_code == 3


def test_graph_near_a_state(project: Path, run: Run) -> None:
    assert run("graph", "Lamp", "--state", "Dark", "--distance", "0").stdout.count("[") == 1
    near = run("graph", "Lamp", "--state", "Dark").stdout
    assert ('"Lit"' in near, '"Start"' in near) == (True, False)
    assert '"Start"' in run("graph", "Lamp", "--state", "Dark", "--distance", "2").stdout
