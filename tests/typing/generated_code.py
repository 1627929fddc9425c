"""Uses of generated modules, read by type checkers and never run.

A line with ``# expect-type-error`` must be refused, all others must be accepted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_type

from amstates.basic import BasicHandlers, BasicStates
from amstates.disposed import RegisterDisposalArgs
from amstates.worker import WorkerHandlers, WorkerMachine, WorkerStates, WorkRequestedArgs, worker_machine
from asyncmachine.schema import ClockLike, ResultLike

if TYPE_CHECKING:
    from amstates.worker import WorkerState
    from asyncmachine import api
    from asyncmachine._core import event as core
    from asyncmachine.machine import Machine
    from asyncmachine.schema import Args, Event


class Plain(WorkerHandlers):
    """Handlers as plain functions."""

    def work_requested_enter(self, event: Event[WorkRequestedArgs]) -> bool:
        assert_type(event.data.deadline, float | None)
        return event.data.id > 0

    def work_requested_state(self, event: Event[WorkRequestedArgs]) -> None:
        assert_type(event.data, WorkRequestedArgs)
        assert_type(event.data.input, bytes)
        _ = event.data.inptu  # expect-type-error
        event.data.id = 1  # expect-type-error

    def ready_end(self, event: Event[Args]) -> None:
        assert_type(event.name, str)

    def working_state(self, event: Event[WorkRequestedArgs]) -> None: ...  # expect-type-error

    def idle_enter(self, event: Event[Args]) -> str: ...  # expect-type-error

    def idle_state(self) -> None: ...  # expect-type-error


class Async(WorkerHandlers):
    """Handlers as coroutines, where that is allowed."""

    async def work_requested_state(self, event: Event[WorkRequestedArgs]) -> None:
        assert_type(event.data.id, int)

    async def idle_end(self, event: Event[Args]) -> None: ...

    async def ready_enter(self, event: Event[Args]) -> bool: ...  # expect-type-error


class Both(BasicHandlers):
    """Calling what is only there for checkers is typed too."""

    def start_state(self, event: Event[Args]) -> None:
        super().start_stat(event)  # expect-type-error


async def mutations(worker: WorkerMachine, name: WorkerState) -> None:
    """Mutations through the typed facade."""
    assert_type(await worker.add("WorkRequested", id=1, input=b"x"), ResultLike)
    await worker.add(WorkerStates.WorkRequested, id=1, input=b"x", deadline=None)
    await worker.add("Start")
    await worker.add(WorkerStates.Start, WorkerStates.Heartbeat)
    await worker.add(["Start", "Heartbeat"])
    await worker.remove("Start", "WorkRequested")
    await worker.set(name)
    await worker.add("Strat")  # expect-type-error
    await worker.add("WorkRequested")  # expect-type-error
    await worker.add("WorkRequested", id="1", input=b"x")  # expect-type-error
    await worker.add("WorkRequested", id=1, input=b"x", dealine=1.0)  # expect-type-error
    await worker.add("WorkCancel", id=1, input=b"x")  # expect-type-error
    await worker.remove("Strat")  # expect-type-error
    await worker.toggle(["Strat"])  # expect-type-error
    _ = worker.add("Start").executed  # expect-type-error


async def reads(worker: WorkerMachine, name: WorkerState) -> None:
    """Checks and waits through the typed facade."""
    assert_type(worker.is_active("Ready", name), bool)
    assert_type(worker.tick("Ready"), int)
    assert_type(await worker.when("Ready"), ClockLike)
    assert_type((await worker.when_next("Ready"))["Ready"], int)
    await worker.when_args("WorkRequested", id=1)
    await worker.when_args("WorkRequested")
    await worker.when_args("WorkRequested", di=1)  # expect-type-error
    worker.is_active("Raedy")  # expect-type-error
    await worker.when_tick("Ready", "1")  # expect-type-error
    worker.scope("Raedy")  # expect-type-error


def facade(machine: Machine) -> None:
    """Any machine becomes a typed one."""
    assert_type(worker_machine(machine), WorkerMachine)


def real(event: core.Event[WorkRequestedArgs], result: api.Result, clock: api.TimeIndex) -> None:
    """What the runtime passes is what generated code is typed with."""
    as_event: Event[WorkRequestedArgs] = event
    as_result: ResultLike = result
    as_clock: ClockLike = clock
    wrong: Event[RegisterDisposalArgs] = event  # expect-type-error
    del as_event, as_result, as_clock, wrong


def names() -> None:
    """Constants are literal and final."""
    state: WorkerState = WorkerStates.Idle
    wrong: WorkerState = "Idel"  # expect-type-error
    BasicStates.Start = "x"  # expect-type-error
    _ = WorkerStates.Idel  # expect-type-error
    assert_type(RegisterDisposalArgs(handler=print).handler, Any)
    WorkRequestedArgs(1, b"")  # expect-type-error
    WorkRequestedArgs(id=1)  # expect-type-error
    del state, wrong
