"""The guard of invariants: what it tells, when, and what it leaves alone."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from typing import Any

import pytest

from asyncmachine.errors import InvariantBroken
from asyncmachine.guard import InvariantGuard
from asyncmachine.machine import Machine
from asyncmachine.schema import Invariant, Schema, State

NEVER = Invariant("never", ("Open", "Hot"), doc="somebody would be burnt")
SCHEMA = Schema(
    "Oven",
    {
        "Open": State(),
        "Hot": State(),
        "Lit": State(),
        "Lamp": State(auto=True, require=("Lit",)),
        "Knock": State(multi=True),
    },
    invariants=[NEVER, Invariant("implies", ("Lit",), ("Lamp",))],
)
TOLD = list[InvariantBroken]


def guarded(*handlers: object) -> tuple[Machine, InvariantGuard, TOLD]:
    told: TOLD = []
    guard = InvariantGuard(lambda machine, error: told.append(error))
    machine = Machine(SCHEMA, *handlers, id="oven")
    machine.trace(guard)
    return machine, guard, told


def test_it_tells_what_broke_where_and_after_what() -> None:
    machine, guard, told = guarded()
    machine.add("Open")
    assert told == []
    machine.add("Hot")
    [error] = told
    assert error.invariant is SCHEMA.invariants[0]
    assert error.active == ("Open", "Hot")
    assert re.fullmatch(
        r"invariant `never: \[Open, Hot\]` \(somebody would be burnt\) is broken "
        r"after <oven/\d+ \[add\] Hot>: active are Open, Hot",
        str(error),
    )
    assert guard.broken == SCHEMA.invariants[:1]


def test_it_tells_once_until_it_holds_again() -> None:
    machine, guard, told = guarded()
    machine.add(["Open", "Hot"])
    machine.add("Knock")
    machine.add("Knock")
    assert len(told) == 1
    machine.remove("Hot")
    assert guard.broken == ()
    machine.add("Hot")
    assert len(told) == 2


def test_auto_states_have_settled_first() -> None:
    """Between the mutation and its auto transition Lit is active without Lamp."""
    machine, _, told = guarded()
    machine.add("Lit")
    assert machine.is_active("Lamp")
    assert told == []


def test_what_a_handler_queues_is_looked_at_in_between() -> None:
    """The configuration breaks for the length of one transition of a queue that is drained in one go."""

    class Handlers:
        def hot_state(self, event: Any) -> None:
            event.machine.remove("Hot")

    machine, guard, told = guarded(Handlers())
    machine.add(["Open", "Hot"])
    assert len(told) == 1
    assert guard.broken == ()


def test_a_refused_mutation_changes_nothing() -> None:
    class Handlers:
        def hot_enter(self, event: Any) -> bool:
            return False

    machine, _, told = guarded(Handlers())
    machine.add("Open")
    assert machine.add("Hot").canceled
    assert told == []


def test_a_machine_may_be_broken_before_the_guard_comes() -> None:
    told: TOLD = []
    machine = Machine(SCHEMA, id="oven")
    machine.add(["Open", "Hot"])
    machine.trace(InvariantGuard(lambda machine, error: told.append(error)))
    [error] = told
    assert error.after == "the machine's beginning"


def test_by_default_it_is_an_error_of_the_machine(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine(SCHEMA, id="oven")
    machine.trace(InvariantGuard())
    with caplog.at_level(logging.ERROR):
        machine.add(["Open", "Hot"])
    assert machine.is_active("Exception")
    assert caplog.records[0].name == "asyncmachine.guard"
    assert caplog.records[0].getMessage().startswith("oven: invariant `never: [Open, Hot]` ")


def test_a_schema_without_invariants_is_left_alone() -> None:
    machine = Machine(Schema("Plain", {"A": State()}), id="plain")
    guard = InvariantGuard()
    machine.trace(guard)
    machine.add("A")
    assert guard.broken == ()


@pytest.mark.parametrize(("option", "says"), [(["-X", "dev"], "True"), ([], "False")])
def test_development_mode_asserts_invariants(option: list[str], says: str) -> None:
    code = """
from asyncmachine import Machine
from asyncmachine.schema import Invariant, Schema, State
schema = Schema("Two", {"A": State(), "B": State()}, invariants=[Invariant("never", ("A", "B"))])
machine = Machine(schema)
machine.add("A", "B")
print(machine.is_active("Exception"))
"""
    done = subprocess.run(
        [sys.executable, *option, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == says
