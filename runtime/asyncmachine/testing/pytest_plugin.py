"""Fixtures for pytest, there as soon as asyncmachine and pytest are installed.

``machine_recorder``
    Makes recorders, which are detached at the end of the test. What they hold is shown when it fails.
``virtual_time``
    Runs an async function in virtual time. The test runs once for each installed backend.

``-p no:asyncmachine`` turns them off. This module is loaded by every run of pytest, so the rest of the
library is imported only when a fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    from asyncmachine.api import MachineApi
    from asyncmachine.testing.record import Recorder

__all__ = ["MachineRecorder", "RunVirtual", "machine_recorder", "pytest_runtest_makereport", "virtual_time"]

BACKENDS = [name for name in ("asyncio", "trio") if find_spec(name) is not None]

MachineRecorder: TypeAlias = "Callable[[MachineApi], Recorder]"
"""The type of the fixture ``machine_recorder``."""
RunVirtual: TypeAlias = Callable[..., Any]
"""The type of the fixture ``virtual_time``: ``run(main, *args)`` is the result of ``await main(*args)``."""

_RECORDERS = pytest.StashKey[list["Recorder"]]()


@pytest.fixture
def machine_recorder(request: pytest.FixtureRequest) -> Iterator[MachineRecorder]:
    """``machine_recorder(machine)`` is a ``Recorder`` of that machine."""
    from asyncmachine.testing.record import Recorder  # noqa: PLC0415 - see the module

    recorders: list[Recorder] = request.node.stash.setdefault(_RECORDERS, [])

    def record(machine: MachineApi) -> Recorder:
        recorders.append(Recorder(machine))
        return recorders[-1]

    yield record
    for recorder in recorders:
        recorder.detach()


@pytest.fixture(params=BACKENDS)
def virtual_time(request: pytest.FixtureRequest) -> RunVirtual:
    """``virtual_time(main, *args)`` is the result of the async function *main*, in virtual time."""
    from asyncmachine.testing.clock import run_virtual  # noqa: PLC0415 - see the module

    def run(main: Callable[..., Any], *args: Any) -> Any:
        return run_virtual(main, *args, backend=request.param)

    return run


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what was recorded when a test has failed."""
    report = yield
    if report.when == "call" and report.failed:
        for recorder in item.stash.get(_RECORDERS, []):
            report.sections.append((f"transitions of {recorder.machine.id}", str(recorder)))
    return report
