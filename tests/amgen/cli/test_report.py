"""Reports for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

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
    assert "::error file=schemas/bad.yaml,line=3,col=17,title=AM301::A%3A require names" in found.stdout
    assert "::warning file=schemas/bad.yaml,line=3,col=3,title=AM311::" in found.stdout


def test_no_color(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "schemas" / "bad.yaml").write_text("machine: bad\nstates: {}\n", "utf-8")
    assert "\x1b[" in CliRunner().invoke(main, ["compile"], color=True).stderr
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in CliRunner().invoke(main, ["compile"], color=True).stderr
