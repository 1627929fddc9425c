"""Tests lie where the code lies: ``tests/asyncmachine/x/test_y.py`` tests ``runtime/asyncmachine/x/y.py``."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {"amgen": ROOT / "amgen", "asyncmachine": ROOT / "runtime" / "asyncmachine"}

# About a package as a whole, or about several of its modules together.
TOPICS = {
    "asyncmachine/_core/test_properties.py",
    "asyncmachine/_core/test_rules.py",
    "amgen/test_hostile.py",
    "amgen/test_cases.py",
}

# Modules without a test file of their own. Never add; an entry that is not needed must go.
UNTESTED: set[str] = {
    "asyncmachine/_lazy",
}


def modules(package: str) -> set[str]:
    """Modules with code in them, as paths from ``tests/`` on, e.g. ``asyncmachine/node/pool``."""
    root = PACKAGES[package]
    return {
        f"{package}/{path.relative_to(root).with_suffix('').as_posix()}"
        for path in root.rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py")
    }


def subject(test: str, known: set[str]) -> str | None:
    """The module a test file is about: its own name, or the longest module name it begins with."""
    folder, _, name = test.removesuffix(".py").rpartition("/")
    name = name.removeprefix("test_")
    fit = [
        m
        for m in known
        if m.rpartition("/")[0] == folder and f"{name}_".startswith(f"{m.rpartition('/')[2].lstrip('_')}_")
    ]
    return max(fit, key=len, default=None)


def files_of(package: str) -> list[str]:
    folder = ROOT / "tests" / package
    return sorted(p.relative_to(ROOT / "tests").as_posix() for p in folder.rglob("test_*.py"))


def test_every_test_file_has_its_subject() -> None:
    known = modules("amgen") | modules("asyncmachine")
    every = files_of("amgen") + files_of("asyncmachine")
    lost = [t for t in every if t not in TOPICS and subject(t, known) is None]
    assert lost == [], "no module of this name; if it is about a whole package, add it to TOPICS"
    assert sorted(TOPICS - set(every)) == [], "no longer needed in TOPICS"


def test_every_module_has_its_tests() -> None:
    known = modules("amgen") | modules("asyncmachine")
    tested = {subject(t, known) for t in files_of("amgen") + files_of("asyncmachine")}
    untested = known - tested
    assert sorted(untested - UNTESTED) == [], "no test file of their own"
    assert sorted(UNTESTED - untested) == [], "no longer needed in UNTESTED"


def test_subject_is_the_longest_fit() -> None:
    known = {"a/pool", "a/pool_view", "a/_core", "b/pool"}
    assert subject("a/test_pool.py", known) == "a/pool"
    assert subject("a/test_pool_view.py", known) == "a/pool_view"
    assert subject("a/test_pool_properties.py", known) == "a/pool"
    assert subject("a/test_core.py", known) == "a/_core"
    assert subject("b/test_core.py", known) is None
    assert subject("a/test_pools.py", known) is None
