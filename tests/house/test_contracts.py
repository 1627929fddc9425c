"""The import contracts of ``pyproject.toml`` hold, and each of them catches what it is for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).parent / "lint-imports"

# One violation per contract: file -> line appended to it.
VIOLATIONS = {
    "runtime layers": ("runtime/asyncmachine/machine.py", "import asyncmachine.rpc.config"),
    "every module of the runtime has a layer": ("runtime/asyncmachine/toolbox.py", "X = 1"),
    "core layers": ("runtime/asyncmachine/_core/clock.py", "import asyncmachine._core.engine"),
    "rpc layers": ("runtime/asyncmachine/rpc/config.py", "import asyncmachine.rpc.transport"),
    "node layers": ("runtime/asyncmachine/node/config.py", "import asyncmachine.node.pool"),
    "the composition root alone picks launchers and telemetry": (
        "runtime/asyncmachine/node/pool.py",
        "def late():\n    import asyncmachine.node.launchers.process",
    ),
    "compiler layers": ("amgen/model.py", "import amgen.render"),
    "layers of the compiler's commands": ("amgen/cli/report.py", "import amgen.cli.look"),
    "the compiler sees only the shared pure rules": ("amgen/check.py", "import asyncmachine.machine"),
    "the runtime never imports the compiler": ("runtime/asyncmachine/views.py", "import amgen.parse"),
    "generated code sees only the ABI": ("generated/amstates/basic.py", "import asyncmachine.api"),
    "pure modules do no I/O, no time, no randomness": ("runtime/asyncmachine/_core/waits.py", "import time"),
    "nobody ships test code": ("runtime/asyncmachine/api.py", "import pytest"),
}


def lint(folder: Path) -> dict[str, str]:
    """Contract name -> KEPT or BROKEN."""
    env = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "PYTHONPATH": ""}
    path = os.pathsep.join(str(folder / p) for p in ("", "runtime", "generated"))
    code = (
        f"import sys; sys.path[:0] = {path.split(os.pathsep)!r}\n"
        "from importlinter.cli import lint_imports_command\nlint_imports_command()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--no-logo", "--no-cache"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = dict(re.findall(r"^(.+?) (KEPT|BROKEN)(?: .*)?$", done.stdout, re.MULTILINE))
    assert found, done.stdout + done.stderr
    return found


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    skip = shutil.ignore_patterns("__pycache__")
    for name in ("amgen", "runtime", "generated"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=skip)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_contracts_hold(copy: Path) -> None:
    result = lint(copy)
    assert [name for name, word in result.items() if word != "KEPT"] == []


def test_every_contract_catches_its_violation(copy: Path) -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    names = {c["name"] for c in config["tool"]["importlinter"]["contracts"]}
    assert names == set(VIOLATIONS), "one violation per contract"
    for where, line in VIOLATIONS.values():
        with (copy / where).open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")
    result = lint(copy)
    assert [name for name in names if result.get(name) != "BROKEN"] == []
