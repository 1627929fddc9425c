"""The hooks for pre-commit do what they say, and shells are offered completions."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
HOOKS: dict[str, dict[str, Any]] = {
    hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
}
LAMP = "machine: Lamp\nstates:\n  Lit: {doc: It shines.}\n"


def run(folder: Path, command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command as pre-commit does: by its name, in the folder of the project, without a terminal."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "XDG_CACHE_HOME": str(folder / ".cache"), **env}
    return subprocess.run(
        shlex.split(command),
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one schema that was never compiled."""
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "lamp.yaml").write_text(LAMP, "utf-8")
    (tmp_path / "pyproject.toml").write_text('[tool.amgen]\nschemas = "schemas"\noutput = "made"\n', "utf-8")
    return tmp_path


def test_their_entries_work(project: Path) -> None:
    check, compile_ = (HOOKS[name]["entry"] for name in ("am-gen-check", "am-gen-compile"))
    assert run(project, check).returncode == 1
    assert run(project, compile_).returncode == 0
    assert run(project, check).returncode == 0
    (project / "schemas" / "lamp.yaml").write_text(LAMP.replace("Lit", "lit"), "utf-8")
    assert run(project, check).returncode == 2
    assert run(project, compile_).returncode == 2


def test_they_are_installed_with_what_the_compiler_needs() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    for hook in HOOKS.values():
        assert hook["language"] == "python"
        assert hook["pass_filenames"] is False, "schemas depend on each other: it is always all of them"
        assert hook["additional_dependencies"] == config["project"]["optional-dependencies"]["gen"]


def test_the_page_about_them_names_each() -> None:
    page = (ROOT / "docs" / "manual" / "ci.md").read_text("utf-8")
    assert [name for name in HOOKS if f"`{name}`" not in page] == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("program", ["am-gen", "am-node"])
def test_scripts_for_completion(tmp_path: Path, program: str, shell: str) -> None:
    variable = f"_{program.upper().replace('-', '_')}_COMPLETE"
    assert variable in (ROOT / "docs" / "manual" / "ci.md").read_text("utf-8")
    done = run(tmp_path, program, **{variable: f"{shell}_source"})
    assert done.returncode == 0
    assert f"{variable}={shell}_complete" in done.stdout


def test_commands_and_options_are_completed(tmp_path: Path) -> None:
    env = {"_AM_GEN_COMPLETE": "bash_complete", "COMP_WORDS": "am-gen che", "COMP_CWORD": "1"}
    assert run(tmp_path, "am-gen", **env).stdout == "plain,check\n"
    env |= {"COMP_WORDS": "am-gen check --form", "COMP_CWORD": "2"}
    assert run(tmp_path, "am-gen", **env).stdout == "plain,--format\n"
