"""``am-gen graph``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from amgen.cli.main import main

Run = Callable[..., Result]


def test_a_group(project: Path, run: Run) -> None:
    done = run("graph", "Lamp", "--group", "Light")
    assert done.exit_code == 0
    assert '    s0["Lit"]:::plain\n    s1("Dark"):::auto\n    s0 x--x|remove| s1\n' in done.stdout
    assert "did you mean 'Light'?" in run("graph", "Lamp", "--group", "Ligth").stderr


def test_near_a_state(project: Path, run: Run) -> None:
    assert run("graph", "Lamp", "--state", "Dark", "--distance", "0").stdout.count('"') == 4
    near = run("graph", "Lamp", "--state", "Dark").stdout
    assert ('"Lit"' in near, '"Start"' in near, "class s1 focus" in near) == (True, False, True)
    assert '"Start"' in run("graph", "Lamp", "--state", "Dark", "--distance", "2").stdout


@pytest.mark.parametrize(
    ("style", "beginning"),
    [("mermaid", "---\n"), ("dot", "digraph "), ("d2", "direction: right\n"), ("text", "Lamp, 9 states\n")],
)
def test_formats(project: Path, run: Run, style: str, beginning: str) -> None:
    done = run("graph", "Lamp", "--format", style)
    assert (done.exit_code, done.stdout[: len(beginning)]) == (0, beginning)


def test_a_file(project: Path, run: Run) -> None:
    wanted = run("graph", "Lamp", "--format", "text").stdout
    done = run("graph", "Lamp", "--format", "text", "-o", "lamp.txt")
    assert (done.exit_code, done.stdout) == (0, "wrote lamp.txt\n")
    assert (project / "lamp.txt").read_text("utf-8") == wanted
    (project / "link").symlink_to("lamp.txt")
    assert (
        run("graph", "Lamp", "-o", "link").exit_code,
        "AM802" in run("graph", "Lamp", "-o", "link").stderr,
    ) == (
        1,
        True,
    )
    assert run("graph", "Lamp", "-o", "no/such/folder").exit_code == 1


def test_a_terminal_without_boxes(project: Path) -> None:
    done = CliRunner(charset="ascii").invoke(main, ["graph", "Lamp", "--format", "text"])
    assert done.exit_code == 0
    assert " +- remove       Dark *" in done.stdout


def test_svg_without_graphviz(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(project))
    done = run("graph", "Lamp", "--format", "svg")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "error[AM804]: there is no program `dot` on the path" in done.stderr


@pytest.mark.parametrize(
    "wrong", [["--group", "Light", "--state", "Lit"], ["--state", "Lti"], ["--group", "x"]]
)
def test_wrong_usage(project: Path, run: Run, wrong: list[str]) -> None:
    assert run("graph", "Lamp", *wrong).exit_code == 3
