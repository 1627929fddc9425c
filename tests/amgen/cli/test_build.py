"""``am-gen compile`` and ``am-gen check``."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from amgen import pipeline

Run = Callable[..., Result]
REPOSITORY = Path(__file__).parents[3]


def test_compile_then_check(project: Path, run: Run) -> None:
    done = run("compile")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "wrote made/__init__.py\nwrote made/lamp.py\n2 written, 0 removed, 0 unchanged\n"
    assert run("check").exit_code == 0
    assert run("compile").stdout == "0 written, 0 removed, 2 unchanged\n"


def test_check_says_what_differs_and_writes_nothing(project: Path, run: Run) -> None:
    found = run("check")
    assert found.exit_code == 1
    assert "made/lamp.py: missing" in found.stdout
    assert not (project / "made").exists()
    run("compile")
    path = project / "made" / "lamp.py"
    path.write_text(path.read_text("utf-8") + "# mine\n", "utf-8")
    found = run("check")
    assert found.exit_code == 1
    assert "made/lamp.py: edited" in found.stdout
    assert "-# mine" in found.stdout
    assert run("compile").exit_code == 1
    assert run("compile", "--force").exit_code == 0
    assert run("check").exit_code == 0


def test_check_finds_orphans(project: Path, run: Run) -> None:
    run("compile")
    text = (project / "schemas" / "lamp.yaml").read_text("utf-8").replace("Lamp", "Door")
    (project / "schemas" / "lamp.yaml").rename(project / "schemas" / "door.yaml")
    (project / "schemas" / "door.yaml").write_text(text, "utf-8")
    found = run("check", "--format", "json")
    assert found.exit_code == 1
    files = {f["path"]: f["kind"] for f in json.loads(found.stdout)["files"]}
    assert files == {"made/__init__.py": "stale", "made/door.py": "missing", "made/lamp.py": "orphaned"}
    assert "removed made/lamp.py" in run("compile").stdout


def test_schema_errors_exit_with_2_and_write_nothing(project: Path, run: Run) -> None:
    (project / "schemas" / "bad.yaml").write_text(
        "machine: Bad\nstates:\n  A: {doc: d, require: [B]}\n", "utf-8"
    )
    done = run("compile")
    assert done.exit_code == 2
    assert done.stderr == (
        "schemas/bad.yaml:3:25: error[AM301]: A: require names unknown state 'B'\n"
        " 3 |   A: {doc: d, require: [B]}\n"
        "   |                         ^\n"
        "1 error, 0 warnings\n"
    )
    assert not (project / "made").exists()
    assert run("check").exit_code == 2
    assert run("graph", "Lamp").exit_code == 2


def test_one_file_leaves_the_others_alone(project: Path, run: Run) -> None:
    run("compile")
    (project / "schemas" / "door.yaml").write_text(
        (project / "schemas" / "lamp.yaml").read_text("utf-8").replace("Lamp", "Door"), "utf-8"
    )
    done = run("compile", "schemas/door.yaml")
    assert done.stdout == "wrote made/door.py\n1 written, 0 removed, 0 unchanged\n"
    assert run("check", "schemas/door.yaml").exit_code == 0
    assert run("check").exit_code == 1  # the index of the package does not know it


def test_the_package_is_marked_as_typed(project: Path, run: Run) -> None:
    run("compile")
    (project / "made" / "py.typed").unlink()
    done = run("check")
    assert (done.exit_code, done.stdout) == (1, "made/py.typed: missing\n")
    run("compile")
    assert run("check").exit_code == 0


def test_this_repository_is_up_to_date(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    done = run("check")
    assert (done.exit_code, done.stderr) == (0, ""), done.output


def test_a_fresh_check_compiles_nothing(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []
    real = pipeline.compile_tree

    def spy(*args: Any, **kwargs: Any) -> Any:
        compiled.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(pipeline, "compile_tree", spy)
    run("check")
    run("compile")
    assert len(compiled) == 2
    for path in (project / "schemas" / "lamp.yaml", project / "made" / "lamp.py"):
        assert run("check").stdout == "2 files are up to date\n"
        assert len(compiled) == 2
        assert run("check", "--no-cache").stdout == "2 files are up to date\n"
        assert len(compiled) == 3
        text = path.read_text("utf-8")
        path.write_text(text + "# changed\n", "utf-8")
        assert run("check").exit_code == 1
        assert len(compiled) == 4
        path.write_text(text, "utf-8")
        compiled.pop()
        compiled.pop()


def test_warnings_are_told_again(project: Path, run: Run) -> None:
    path = project / "schemas" / "lamp.yaml"
    path.write_text(path.read_text("utf-8") + "  Odd: {}\n", "utf-8")
    assert "warning[AM311]" in run("compile").stderr
    assert "warning[AM311]" in run("check").stderr


def test_without_knowing_the_versions_of_libraries_nothing_is_taken_for_fresh(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", unknown)
    assert run("compile").exit_code == 0
    assert run("check").stdout == "2 files are up to date\n"
    assert not (project / ".cache").exists()
