"""A small project, and the command line run in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from amgen.cli.main import main

LAMP = "machine: Lamp\nextends: [basic]\ngroups: {Light: [Lit, Dark]}\nstates:\n"
LAMP += "  Lit: {doc: It is lit., require: [Start], remove: [$Light]}\n"
LAMP += "  Dark: {doc: It is not., auto: true, remove: [$Light], args: {why: str}}\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a pyproject.toml and the schema of a lamp; the current folder."""
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "lamp.yaml").write_text(LAMP, "utf-8")
    (tmp_path / "pyproject.toml").write_text('[tool.amgen]\nschemas = "schemas"\noutput = "made"\n', "utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run() -> Callable[..., Result]:
    """``run("compile", ...)``: am-gen in this process."""
    return lambda *args: CliRunner().invoke(main, list(args))
