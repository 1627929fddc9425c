from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from asyncmachine.machine import Machine
from asyncmachine.schema import Schema, State
from asyncmachine.testing.pytest_plugin import MachineRecorder, RunVirtual

LAMP = Schema("Lamp", {"On": State()})


def test_recorders_are_made_and_detached(machine_recorder: MachineRecorder) -> None:
    machine = Machine(LAMP)
    recorder = machine_recorder(machine)
    machine.add("On")
    recorder.assert_order("on_enter", "on_state")


def test_time_is_virtual(virtual_time: RunVirtual) -> None:
    async def main(seconds: float) -> float:
        began = anyio.current_time()
        await anyio.sleep(seconds)
        return anyio.current_time() - began

    assert virtual_time(main, 86_400) == pytest.approx(86_400)


PROJECT = """
import anyio
import pytest

from asyncmachine import Machine, Schema, State

kept = []


def test_that_fails(machine_recorder):
    machine = Machine(Schema("Lamp", {"On": State()}), id="bulb")
    kept.append(machine_recorder(machine))
    machine.add("On")
    assert machine.is_active("Exception")


def test_that_comes_after():
    kept[0].machine.remove("On")
    assert len(kept[0].transitions) == 1, "it was detached"


def test_both_backends(virtual_time):
    async def main():
        await anyio.sleep(1e6)
        return anyio.get_current_task().name is not None

    assert virtual_time(main)
"""


def test_the_plugin_is_found_by_pytest_itself(tmp_path: Path) -> None:
    (tmp_path / "test_project.py").write_text(PROJECT, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-W", "error", "-p", "no:cacheprovider", "test_project.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert "1 failed, 3 passed" in done.stdout, done.stdout + done.stderr
    assert "transitions of bulb" in done.stdout
    assert "add On -> (On)" in done.stdout
    assert "test_both_backends[asyncio] PASSED" in done.stdout
    assert "test_both_backends[trio] PASSED" in done.stdout


def test_loading_it_loads_no_library() -> None:
    code = (
        "import sys, asyncmachine.testing.pytest_plugin\n"
        "print(*sorted({'anyio', 'trio', 'hypothesis', 'cbor2'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.split() == []
