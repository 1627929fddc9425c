"""Pure modules load no event loop, socket or process machinery, whatever their imports import."""

from __future__ import annotations

import subprocess
import sys

import pytest

PURE = [
    "amstates",
    "asyncmachine",
    "asyncmachine._core",
    "asyncmachine._wire",
    "asyncmachine.errors",
    "asyncmachine.node.config",
    "asyncmachine.node.dispatch",
    "asyncmachine.node.leases",
    "asyncmachine.node.pool",
    "asyncmachine.node.restarts",
    "asyncmachine.rpc.protocol",
    "asyncmachine.schema",
]

# Import the module, and for a package everything in it, then say what it should not have loaded.
PROBE = """
import importlib, pkgutil, sys
root = importlib.import_module(sys.argv[1])
if sys.argv[1] != "asyncmachine":
    for info in pkgutil.walk_packages(getattr(root, "__path__", []), root.__name__ + "."):
        importlib.import_module(info.name)
print(*sorted(set(sys.argv[2:]) & set(sys.modules)))
"""
IMPURE = ["anyio", "asyncio", "trio", "ssl", "socket", "subprocess", "click", "jinja2", "yaml"]


def loaded_by(module: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROBE, module, *IMPURE],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("module", PURE)
def test_pure_module_loads_nothing_impure(module: str) -> None:
    assert loaded_by(module) == []


def test_the_probe_sees_what_is_loaded() -> None:
    assert {"anyio", "socket"} <= set(loaded_by("asyncmachine.node.launchers"))


def test_each_first_import_order_works() -> None:
    for first, second in [
        ("amstates.worker", "asyncmachine.machine"),
        ("asyncmachine.machine", "amstates.worker"),
    ]:
        code = f"import {first}, {second}"
        done = subprocess.run(
            [sys.executable, "-I", "-c", code], capture_output=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stderr
