"""Which schemas a command reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import Result

Run = Callable[..., Result]


def test_nothing_to_compile_is_wrong_usage(project: Path, run: Run) -> None:
    (project / "schemas" / "lamp.yaml").unlink()
    done = run("compile")
    assert (done.exit_code, "holds no .yaml file" in done.stderr) == (3, True)


def test_without_a_table_folders_must_be_given(project: Path, run: Run) -> None:
    (project / "pyproject.toml").unlink()
    assert run("compile").exit_code == 3
    assert run("compile", "schemas", "-o", "made").exit_code == 0
    assert run("check", "schemas", "-o", "made").exit_code == 0


def test_a_file_that_cannot_be_read_is_a_diagnostic(project: Path, run: Run) -> None:
    (project / "schemas" / "old.yml").write_text("machine: Old\nstates: {}\n", "utf-8")
    done = run("compile")
    assert done.exit_code == 2
    assert "schemas/old.yml:1:1: error[AM010]: 'old.yml' would be overlooked" in done.stderr
