"""Uses of the machine, read by type checkers and never run.

A line with ``# expect-type-error`` must be refused, all others must be accepted.
"""

from __future__ import annotations

from typing import assert_type

import anyio

from asyncmachine import SlowHandlers, Snapshot
from asyncmachine.api import MachineApi, Mutable, Readable, Result, TimeIndex, Tracer, Waitable
from asyncmachine.machine import Machine
from asyncmachine.schema import Schema, State
from asyncmachine.views import Pending


def fits_its_borders(machine: Machine) -> MachineApi:
    readable: Readable = machine
    waitable: Waitable = machine
    mutable: Mutable = machine
    del readable, waitable, mutable
    return machine


async def mutates_and_waits(machine: Machine) -> None:
    assert_type(machine.add("A", ["B", "C"], number=1), Result)
    assert_type(await machine.add("A"), Result)
    assert_type(await machine.settled(machine.add("A")), Result)
    assert_type(machine.when("A"), Pending)
    assert_type(await machine.when("A"), TimeIndex)
    assert_type(await machine.when_query(lambda time: time["A"] > 1), TimeIndex)
    assert_type((await machine.when("A"))["A"], int)
    with machine.scope("A") as scope:
        assert_type(scope, anyio.CancelScope)
    async with machine as entered:
        assert_type(entered, Machine)


def looks_behind(machine: Machine) -> None:
    assert_type(machine.explain("A").missing, tuple[str, ...])
    assert_type(machine.snapshot(), Snapshot)
    assert_type(Snapshot.from_dict({"ticks": []}), Snapshot)
    assert_type(machine.from_thread.add("A", ["B"], number=1), Result)
    assert_type(machine.breakpoint(["A"], hook=print), Tracer)
    assert_type(machine.inspect("A"), str)
    child = Machine(machine.schema, parent=machine, slow=SlowHandlers(policy="cancel", deadline=10))
    assert_type(child.parent, Machine | None)


def refuses(machine: Machine, schema: Schema) -> None:
    machine.add(1)  # expect-type-error
    machine.when("A", 2)  # expect-type-error
    machine.when_tick("A", "B")  # expect-type-error
    machine.when_query(lambda time: time.nope)  # expect-type-error
    machine.add_error("text")  # expect-type-error
    machine.trace(object())  # expect-type-error
    Machine("schema")  # expect-type-error
    SlowHandlers(policy="abort")  # expect-type-error
    SlowHandlers(0.1)  # expect-type-error
    machine.restore({"ticks": []})  # expect-type-error
    machine.explain(["A"])  # expect-type-error
    State(multi="yes")  # expect-type-error
    State("A")  # expect-type-error
    schema.allowed("role", "write")  # expect-type-error
