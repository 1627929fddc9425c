"""Parents, restoration and slow handlers of the machine as users see them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from asyncmachine._core.snapshot import Snapshot
from asyncmachine.api import CANCELED, EXECUTED, Tracer
from asyncmachine.errors import MachineDisposed, SnapshotError
from asyncmachine.machine import Machine
from asyncmachine.schema import Schema, State
from asyncmachine.watchdog import SlowHandlers

SCHEMA = Schema("Test", {"Start": State(), "A": State()})
RESTORABLE = Schema(
    "Kept",
    {"A": State(), "MachineRestored": State(), "Ready": State(auto=True, require=("MachineRestored",))},
)


class Obituary(Tracer):
    def __init__(self) -> None:
        self.gone: list[str] = []

    def machine_dispose(self, machine: Any) -> None:
        self.gone.append(machine.id)


def family(tracer: Tracer, *names: str) -> list[Machine]:
    """A machine, and its children."""
    parent: Machine | None = None
    found: list[Machine] = []
    for name in names:
        found.append(Machine(SCHEMA, id=name, parent=parent))
        parent = found[0]
        found[-1].trace(tracer)
    return found


def test_children_are_disposed_of_before_their_parent_last_first() -> None:
    tracer = Obituary()
    parent, one, _ = family(tracer, "parent", "one", "two")
    assert (one.parent, parent.parent) == (parent, None)
    parent.dispose()
    assert tracer.gone == ["two", "one", "parent"]
    assert one.disposed
    assert one.add("A") == CANCELED


def test_a_child_may_go_alone() -> None:
    tracer = Obituary()
    parent, one, _ = family(tracer, "parent", "one", "two")
    one.dispose()
    assert not parent.disposed
    parent.dispose()
    assert tracer.gone == ["one", "two", "parent"]


def test_grandchildren_go_too() -> None:
    tracer = Obituary()
    parent, child = family(tracer, "parent", "child")
    grandchild = Machine(SCHEMA, id="grandchild", parent=child)
    grandchild.trace(tracer)
    parent.dispose()
    assert tracer.gone == ["grandchild", "child", "parent"]


def test_the_parent_has_ended_its_start_when_children_go() -> None:
    order: list[str] = []
    parent = Machine(SCHEMA, SimpleNamespace(start_end=lambda event: order.append("parent")))
    child = Machine(SCHEMA, SimpleNamespace(start_end=lambda event: order.append("child")), parent=parent)
    parent.add("Start")
    child.add("Start")
    parent.dispose()
    assert order == ["parent", "child"]


def test_a_child_may_dispose_of_its_parent_while_it_is_disposed_of() -> None:
    tracer = Obituary()
    parent, other = family(tracer, "parent", "other")
    child = Machine(
        SCHEMA, SimpleNamespace(start_end=lambda event: parent.dispose()), id="child", parent=parent
    )
    child.trace(tracer)
    child.add("Start")
    parent.dispose()
    assert sorted(tracer.gone) == ["child", "other", "parent"]
    assert other.disposed


def test_a_child_that_is_made_while_another_ends_goes_too() -> None:
    late: list[Machine] = []
    parent = Machine(SCHEMA)
    handlers = SimpleNamespace(start_end=lambda event: late.append(Machine(SCHEMA, parent=parent)))
    Machine(SCHEMA, handlers, parent=parent).add("Start")
    parent.dispose()
    assert [m.disposed for m in late] == [True]


def test_a_machine_that_is_gone_adopts_nobody() -> None:
    parent = Machine(SCHEMA, id="parent")
    parent.dispose()
    with pytest.raises(MachineDisposed, match="parent"):
        Machine(SCHEMA, parent=parent)


@pytest.mark.anyio
async def test_tasks_and_waits_of_a_child_end_with_the_parent() -> None:
    ended: list[str] = []

    async def a_state(event: Any) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("task")

    async with anyio.create_task_group() as group:
        async with Machine(SCHEMA) as parent:
            child = Machine(SCHEMA, SimpleNamespace(a_state=a_state), parent=parent)

            async def live() -> None:
                async with child:
                    child.add("A")
                    with pytest.raises(MachineDisposed):
                        await child.when_not("A")
                    ended.append("wait")

            group.start_soon(live)
            await anyio.wait_all_tasks_blocked()
            assert ended == []
        await child.when_disposed()
    assert sorted(ended) == ["task", "wait"]


def test_a_restored_machine_is_told_so() -> None:
    ran: list[str] = []
    one = Machine(RESTORABLE, id="one")
    one.add("A")
    text = json.dumps(one.snapshot().as_dict())
    handlers = SimpleNamespace(
        a_state=lambda event: ran.append("a_state"), machine_restored_state=lambda event: ran.append(str(two))
    )
    two = Machine(RESTORABLE, handlers, id="two")
    two.restore(Snapshot.from_dict(json.loads(text)))
    assert ran == ["(A:1 MachineRestored:1)"]
    assert str(two) == "(A:1 MachineRestored:1 Ready:1)"
    assert str(two.explain("A")).splitlines()[1] == "  last move: restored from a snapshot"
    with pytest.raises(SnapshotError, match="two is in use"):
        two.restore(one.snapshot())


def test_without_the_state_nothing_is_added() -> None:
    one, two = Machine(SCHEMA), Machine(SCHEMA)
    one.add("A")
    two.restore(one.snapshot())
    assert (two.active_states(), two.queue_tick) == (("A",), 1)
    assert two.snapshot().machine_tick == 1


@pytest.mark.anyio
async def test_waits_for_what_is_restored_are_over() -> None:
    one, two = Machine(SCHEMA), Machine(SCHEMA)
    one.add("A")
    wait = two.when("A")
    two.restore(one.snapshot())
    assert (await wait)["A"] == 1


def test_slow_handlers_are_judged_as_asked() -> None:
    now = [0.0]

    def a_enter(event: Any) -> None:
        now[0] += 0.5

    for slow, expected in [
        (SlowHandlers(timeout=0.4, policy="cancel"), CANCELED),
        (SlowHandlers(timeout=0.6, policy="cancel"), EXECUTED),
        (SlowHandlers(timeout=0.4), EXECUTED),
    ]:
        m = Machine(SCHEMA, SimpleNamespace(a_enter=a_enter), slow=slow)
        m._engine.clock = lambda: now[0]
        assert m.add("A") == expected


def test_default_ids_are_the_name_of_the_schema_and_numbers_without_repetition() -> None:
    schema = Schema("TwoWords", {"A": State()})
    ids = [Machine(schema).id for _ in range(300)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("two_words-[0-9a-f]{6}", each) for each in ids)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_go_on_with_the_ids_of_its_parent() -> None:
    code = (
        "import os, sys\n"
        "from asyncmachine.machine import Machine\n"
        "from asyncmachine.schema import Schema, State\n"
        "schema = Schema('Test', {'A': State()})\n"
        "Machine(schema)\n"
        "pid = os.fork()\n"
        "ids = [Machine(schema).id for _ in range(3)]\n"
        "os.write(1, (' '.join(ids) + '\\n').encode())\n"
        "if pid:\n"
        "    os.waitpid(pid, 0)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    parent, child = (set(line.split()) for line in out.stdout.splitlines())
    assert len(parent) == len(child) == 3
    assert not parent & child


@pytest.mark.anyio
async def test_machines_of_a_schema_share_no_waits_and_scopes() -> None:
    schema = Schema("Test", {"A": State()})
    one, two = Machine(schema), Machine(schema)
    wait = one.when("A")
    with one.scope("A") as scope:
        two.add("A")
        assert not wait.done
        assert not scope.cancel_called
        one.add("A")
        assert scope.cancel_called
    assert wait.done
    assert (two._engine.waits.mask, two._engine.scopes.mask) == (0, 0)
