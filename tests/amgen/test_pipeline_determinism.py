"""The same schemas give the same bytes: by any Python, anywhere, whatever the environment says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import jinja2
import markupsafe
import pytest
import yaml

ROOT = Path(__file__).parents[2]
CASES = ("everything", "groups", "invariants", "overlay", "types")
NEEDED = (click, jinja2, markupsafe, yaml)


def pythons() -> Iterator[Path]:
    """Other interpreters that the compiler supports: on the path, and where pyenv keeps them."""
    for minor in range(11, 20):
        if found := shutil.which(f"python3.{minor}"):
            yield Path(found)
    if root := os.environ.get("PYENV_ROOT"):
        yield from sorted(Path(root).glob("versions/3.*/bin/python"))


def version(python: Path) -> tuple[int, int]:
    """Major and minor version, (0, 0) of what does not run."""
    code = "import sys; print(*sys.version_info[:2])"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, timeout=50, check=False)
    major, minor = map(int, done.stdout.split()) if done.returncode == 0 else (0, 0)
    return major, minor


def others() -> dict[str, Path]:
    """One interpreter for each version that is not this one."""
    found: dict[tuple[int, int], Path] = {}
    for python in pythons():
        if (number := version(python)) >= (3, 11) and number != sys.version_info[:2]:
            found.setdefault(number, python)
    return {f"{major}.{minor}": python for (major, minor), python in found.items()}


OTHERS = others()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder from which any Python can import the compiler: what it needs runs without its C parts."""
    folder = tmp_path_factory.mktemp("site")
    for module in NEEDED:
        assert module.__file__ is not None
        (folder / module.__name__).symlink_to(Path(module.__file__).parent)
    (folder / "amgen").symlink_to(ROOT / "amgen")
    (folder / "asyncmachine").symlink_to(ROOT / "runtime" / "asyncmachine")
    return folder


def project(folder: Path) -> Path:
    """All built-in schemas, and the cases that use the whole grammar, in one folder."""
    shutil.copytree(ROOT / "schemas", folder / "schemas")
    for name in CASES:
        case = ROOT / "tests" / "cases" / name
        shutil.copytree(case, folder / "schemas" / name, ignore=shutil.ignore_patterns("expected"))
    return folder


def compiled(python: Path | str, site: Path, folder: Path, *options: str, **env: str) -> dict[str, bytes]:
    """What ``am-gen compile`` writes, run in *folder*."""
    cache = str(site.parent / "cache")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(site), "PYTHONPYCACHEPREFIX": cache, **env}
    environment["XDG_CACHE_HOME"] = str(folder / "cache")
    command = [python, *options, "-m", "amgen", "compile", "schemas", "-o", "made"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=55, check=False
    )
    assert done.returncode == 0, done.stderr
    return {p.name: p.read_bytes() for p in (folder / "made").iterdir()}


@pytest.fixture(scope="module")
def wanted(site: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What this Python makes, here and now."""
    files = compiled(sys.executable, site, project(tmp_path_factory.mktemp("first")))
    assert len(files) > 15
    return files


Made = Callable[..., dict[str, bytes]]


@pytest.fixture
def made(site: Path, tmp_path: Path) -> Made:
    """``made(python, *options, **environment)`` in a folder with another name."""
    folder = tmp_path / "é and spaces" / "deeper"
    folder.mkdir(parents=True)
    project(folder)
    return lambda python, *options, **env: compiled(python, site, folder, *options, **env)


@pytest.mark.parametrize("seed", ["0", "4294967295"])
def test_with_any_hash_seed(made: Made, wanted: dict[str, bytes], seed: str) -> None:
    assert made(sys.executable, PYTHONHASHSEED=seed) == wanted


@pytest.mark.parametrize("name", ["C", "tr_TR.UTF-8", "de_DE.ISO-8859-1"])
def test_in_any_locale(made: Made, wanted: dict[str, bytes], name: str) -> None:
    assert made(sys.executable, LC_ALL=name, LANG=name, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0") == wanted


def test_at_any_time_and_by_anyone(made: Made, wanted: dict[str, bytes]) -> None:
    env = {"TZ": "Pacific/Kiritimati", "USER": "somebody", "HOME": "/nowhere", "SOURCE_DATE_EPOCH": "1"}
    assert made(sys.executable, **env) == wanted


@pytest.mark.parametrize("options", [["-OO"], ["-X", "dev"]])
def test_with_any_options_of_python(made: Made, wanted: dict[str, bytes], options: list[str]) -> None:
    assert made(sys.executable, *options) == wanted


def test_without_the_c_parts_of_the_yaml_library(made: Made, wanted: dict[str, bytes], site: Path) -> None:
    hidden = site.parent / "hidden"
    (hidden / "yaml").mkdir(parents=True, exist_ok=True)
    for path in Path(yaml.__file__).parent.glob("*.py"):
        if path.name != "cyaml.py":
            shutil.copy(path, hidden / "yaml")
    assert made(sys.executable, PYTHONPATH=f"{hidden}{os.pathsep}{site}") == wanted


@pytest.mark.parametrize("name", sorted(OTHERS) or ["none"])
def test_by_any_python(made: Made, wanted: dict[str, bytes], name: str) -> None:
    if name not in OTHERS:
        pytest.skip("there is no other Python from 3.11 on, on the path or below PYENV_ROOT")
    assert made(OTHERS[name]) == wanted


def test_a_second_run_touches_nothing(site: Path, tmp_path: Path, wanted: dict[str, bytes]) -> None:
    folder = project(tmp_path)
    assert compiled(sys.executable, site, folder) == wanted
    before = {p.name: p.stat().st_mtime_ns for p in (folder / "made").iterdir()}
    assert compiled(sys.executable, site, folder) == wanted
    assert {p.name: p.stat().st_mtime_ns for p in (folder / "made").iterdir()} == before
