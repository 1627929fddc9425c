"""The runtime's own classes fit what generated code is typed with; tests/typing does the rest."""

from __future__ import annotations

from typing import Any

import pytest

from amstates.worker import WORKER_SCHEMA, worker_machine
from asyncmachine._facades import ClockLike, Facade, ResultLike
from asyncmachine.api import EXECUTED, Result, TimeIndex
from asyncmachine.machine import Machine


@pytest.mark.parametrize("protocol", [ClockLike, Facade, ResultLike])
def test_what_generated_code_relies_on_is_there(protocol: Any) -> None:
    runtime = {ClockLike: TimeIndex, Facade: Machine, ResultLike: Result}[protocol]
    missing = [name for name in vars(protocol) if not name.startswith("_") and not hasattr(runtime, name)]
    assert missing == []


def test_a_facade_is_the_machine_itself() -> None:
    machine = Machine(WORKER_SCHEMA)
    facade = worker_machine(machine)
    assert facade is machine
    assert facade.add("Start") == EXECUTED
