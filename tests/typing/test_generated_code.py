"""Type checkers accept the right uses of generated code, and refuse each of the wrong ones."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
FILES = sorted(p for p in HERE.glob("*.py") if not p.name.startswith("test_"))
TYPED = HERE / "typed" / "typed_args.py"
CASES = sorted((REPOSITORY / "tests" / "cases").glob("*/expected/*.py"))


def wanted(files: list[Path] = FILES) -> dict[str, set[int]]:
    """File -> lines that must be refused."""
    return {
        path.name: {
            n
            for n, line in enumerate(path.read_text("utf-8").splitlines(), 1)
            if line.endswith("# expect-type-error")
        }
        for path in files
    }


def run(*command: str | Path, **env: str) -> str:
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def of_mypy(files: list[Path], **env: str) -> dict[str, set[int]]:
    """File -> lines that mypy refuses."""
    found: dict[str, set[int]] = {path.name: set() for path in files}
    output = run(
        sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context", *files, **env
    )
    for line in output.splitlines():
        match = re.match(r"(.*?):(\d+): error: ", line)
        if match:
            assert Path(match[1]).name in found, line
            found[Path(match[1]).name].add(int(match[2]))
    return found


def of_pyright(files: list[Path], *options: str | Path) -> dict[str, set[int]]:
    """File -> lines that basedpyright refuses."""
    found: dict[str, set[int]] = {path.name: set() for path in files}
    output = json.loads(
        run(sys.executable, "-m", "basedpyright", "--outputjson", "--level", "error", *options)
    )
    for diagnostic in output["generalDiagnostics"]:
        assert Path(diagnostic["file"]).name in found, diagnostic
        found[Path(diagnostic["file"]).name].add(diagnostic["range"]["start"]["line"] + 1)
    return found


@pytest.mark.timeout(180)
def test_mypy() -> None:
    assert of_mypy(FILES) == wanted()


@pytest.mark.timeout(180)
def test_pyright() -> None:
    assert of_pyright(FILES, *FILES) == wanted()


@pytest.mark.timeout(180)
def test_types_of_ones_own() -> None:
    modules = REPOSITORY / "tests" / "cases" / "types" / "expected"
    assert of_mypy([TYPED], MYPYPATH=str(modules)) == wanted([TYPED])
    assert of_pyright([TYPED], "-p", TYPED.parent) == wanted([TYPED])


@pytest.mark.timeout(180)
def test_golden_modules_are_clean(tmp_path: Path) -> None:
    """Modules made from unusual schemas pass what the committed ones pass, and mypy in one run for all."""
    for path in CASES:  # a package per case, since modules of two may have one name
        package = tmp_path / f"case_{path.parents[1].name}"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").touch()
        (package / path.name).write_text(path.read_text("utf-8"), "utf-8")
    ruff = (sys.executable, "-m", "ruff", "check", "--isolated", "--target-version", "py311")
    assert run(*ruff, tmp_path) == "All checks passed!\n"  # its own rules, at its own line length
    rules = "E,F,W,I,UP,B,Q,RUF,SIM,ISC"
    assert run(*ruff, "--line-length", "110", "--select", rules, tmp_path) == "All checks passed!\n"
    assert (
        run(sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *sorted(tmp_path.iterdir())) == ""
    )


def test_modules_are_formatted_and_stay_as_they_are_at_any_line_length(tmp_path: Path) -> None:
    """``# fmt: off`` is there for projects with other settings, not for want of a format."""
    formatter = (sys.executable, "-m", "ruff", "format", "--isolated", "--check", "--line-length")
    assert run(*formatter, "60", *CASES).endswith("already formatted\n")
    for path in CASES:
        head, off, body = path.read_text("utf-8").partition("# fmt: off\n")
        assert off
        body = re.sub(
            r"^_MASKS: .*?^\)\n", r"# fmt: off\n\g<0># fmt: on\n", body, flags=re.MULTILINE | re.DOTALL
        )
        (tmp_path / f"{path.parents[1].name}_{path.name}").write_text(head + body, "utf-8")
    assert run(*formatter, "110", tmp_path).endswith("already formatted\n")


@pytest.mark.timeout(180)
def test_golden_modules_pass_the_strict_mode_of_pyright() -> None:
    output = json.loads(run(sys.executable, "-m", "basedpyright", "--outputjson", "-p", HERE / "strict.json"))
    assert output["summary"]["filesAnalyzed"] >= len(CASES)
    assert output["generalDiagnostics"] == []
