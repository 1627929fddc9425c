"""Reports for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from amgen.cli.main import main

Run = Callable[..., Result]


def test_reports_for_programs(project: Path, run: Run) -> None:
    (project / "schemas" / "bad.yaml").write_text("machine: Bad\nstates:\n  A: {require: [B]}\n", "utf-8")
    found = run("check", "--format", "json")
    assert found.exit_code == 2
    first = json.loads(found.stdout)["diagnostics"][1]
    assert (first["code"], first["path"], first["line"], first["column"]) == (
        "AM301",
        "schemas/bad.yaml",
        3,
        17,
    )
    found = run("check", "--format", "github")
    assert (
        "::error file=schemas/bad.yaml,line=3,col=17,endColumn=17,title=AM301::A: require names"
        in found.stdout
    )
    assert "::warning file=schemas/bad.yaml,line=3,col=3,endColumn=3,title=AM311::" in found.stdout


def test_no_color(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "schemas" / "bad.yaml").write_text("machine: bad\nstates: {}\n", "utf-8")
    assert "\x1b[" in CliRunner().invoke(main, ["compile"], color=True).stderr
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in CliRunner().invoke(main, ["compile"], color=True).stderr


def test_colours_only_add(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "schemas" / "bad.yaml").write_text(
        "machine: Bad\nstates:\n  A: {require: [B], doc: ' 1 | ^'}\n", "utf-8"
    )
    plain = CliRunner().invoke(main, ["compile"], color=False)
    painted = CliRunner().invoke(main, ["compile"], color=True)
    assert click.unstyle(painted.stderr) == plain.stderr
    assert "\x1b[31m\x1b[1merror[AM301]: \x1b[0m" in painted.stderr
    assert "\x1b[34m   | \x1b[0m\x1b[31m\x1b[1m                ^\x1b[0m" in painted.stderr


def test_differences_are_coloured_and_unchanged(project: Path, run: Run) -> None:
    run("compile")
    path = project / "made" / "lamp.py"
    text = path.read_text("utf-8")
    path.write_text(text.replace('"""It is lit."""', '"""It was lit."""'), "utf-8")
    plain = CliRunner().invoke(main, ["check"], color=False)
    painted = CliRunner().invoke(main, ["check"], color=True)
    assert click.unstyle(painted.stdout) == plain.stdout
    assert '-    """It was lit."""\n+    """It is lit."""\n' in plain.stdout
    assert '\x1b[31m-    """It was lit."""\x1b[0m' in painted.stdout


def test_reports_for_github_name_the_files_that_differ(project: Path, run: Run) -> None:
    done = run("check", "--format", "github")
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        "::error file=made/__init__.py,line=1,title=am-gen::missing; run am-gen compile",
        "::error file=made/lamp.py,line=1,title=am-gen::missing; run am-gen compile",
    ]
