"""A worker whose work is one function.

Jobs run strictly one after the other, and each result has left this process before the next job begins.
So, should the process die, its client knows which one job it was at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.abc import TaskGroup

from amstates.worker import WorkCancelArgs, WorkRequestedArgs
from amstates.worker import WorkerStates as ss
from asyncmachine.errors import DeliveryError, RpcError
from asyncmachine.node.args import ERROR, REFUSED, TIMEOUT, WorkResult
from asyncmachine.node.functions import FunctionRunner
from asyncmachine.node.worker import RESULT, Worker, WorkerSettings
from asyncmachine.schema import Event

__all__ = ["FunctionWorker"]


@dataclass(slots=True)
class _Job:
    id: int
    data: bytes
    deadline: float | None
    scope: anyio.CancelScope | None = None
    unwanted: bool = False


class FunctionWorker(Worker):
    """See the module.

    Args:
        function: called with the decoded input; what it returns is the result.
    """

    def __init__(self, settings: WorkerSettings, function: Callable[[Any], Any]) -> None:
        super().__init__(settings)
        self._runner = FunctionRunner(function)
        self._jobs: deque[_Job] = deque()
        self._current: _Job | None = None
        self._tasks: TaskGroup | None = None

    async def run(self, boot: Any) -> None:
        """See the base."""
        async with anyio.create_task_group() as self._tasks:
            if not self._runner.interruptible:
                self._tasks.start_soon(self._runner.deliver)
            await super().run(boot)
            self._tasks.cancel_scope.cancel()

    # -- states --------------------------------------------------------------------------------

    def work_requested_state(self, event: Event[WorkRequestedArgs]) -> None:
        """Put the job in line; ``Working`` is active as long as there is one."""
        args = event.args
        job = _Job(args["id"], args["input"], args.get("deadline"))
        if event.machine.is_active(ss.Draining):
            self._answer(WorkResult(job.id, REFUSED, message="the worker is draining"))
            return
        self._jobs.append(job)
        if self._current is None:
            event.machine.add(ss.Working)

    def working_state(self, event: Event[Any]) -> None:
        """Begin with the first job in line."""
        if self._current is None:
            self._advance()

    def working_end(self, event: Event[Any]) -> None:
        """The last job is done: if its client is gone, so is the lease."""
        if event.machine.is_inactive(ss.ClientConnected):
            event.machine.remove(ss.Provided)

    def work_cancel_state(self, event: Event[WorkCancelArgs]) -> None:
        """Drop a waiting job; cancel a running one if that is possible, else ignore its result."""
        event.machine.remove(ss.WorkCancel)
        wanted = event.data.id
        for job in self._jobs:
            if job.id == wanted:
                self._jobs.remove(job)
                return
        if self._current is not None and self._current.id == wanted:
            self._abandon(self._current)

    def client_connected_end(self, event: Event[Any]) -> None:
        """Nobody wants the results any more. A plain function must end before the next client comes."""
        self._jobs.clear()
        if self._current is None:
            event.machine.remove(ss.Provided)
            return
        self._abandon(self._current)

    def draining_state(self, event: Event[Any]) -> Any:
        """Give back what has not begun, then as the base class."""
        self._refuse_waiting()
        return super().draining_state(event)

    # -- jobs ----------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Begin the next job, or rest."""
        if not self._jobs or self._tasks is None:
            self._current = None
            self.machine.remove([ss.WorkRequested, ss.Working])
            return
        job = self._current = self._jobs.popleft()
        if self._runner.interruptible or job.deadline is not None:
            self._tasks.start_soon(self._attend, job)
        else:
            self._runner.start(job.id, job.data, self._finished)

    async def _attend(self, job: _Job) -> None:
        """Run a job that may be cancelled, or may take too long."""
        result: WorkResult | None = None
        with anyio.CancelScope() as job.scope:
            if job.unwanted:  # cancelled before it could begin
                job.scope.cancel()
            result = await self._runner.run(job.id, job.data, job.deadline)
        self._finished(result)

    def _finished(self, result: WorkResult | None) -> None:
        """A job has ended; None: it was cancelled. Its result goes out, then comes the next one."""
        job = self._current
        if job is None or self._tasks is None:
            return
        if result is not None and not job.unwanted:
            self._answer(result)
        if result is not None and result.status == TIMEOUT and not self._runner.interruptible:
            # Its thread is still busy with it and cannot be stopped: this process must go.
            self._refuse_waiting()
            self.machine.add_error(TimeoutError(result.message), ss.ErrWorkTimeout)
            self.machine.add(ss.Draining)
        if self.client is None or self.client.all_written:
            self._advance()
        else:
            self._tasks.start_soon(self._advance_when_written)

    async def _advance_when_written(self) -> None:
        if self.client is not None:
            await self.client.flushed()
        self._advance()

    def _abandon(self, job: _Job) -> None:
        job.unwanted = True
        if self._runner.interruptible and job.scope is not None:
            job.scope.cancel()

    def _refuse_waiting(self) -> None:
        while self._jobs:
            self._answer(WorkResult(self._jobs.popleft().id, REFUSED, message="the worker is draining"))

    def _answer(self, result: WorkResult) -> None:
        if self.client is None:
            return
        # A client that is gone, or does not read, is noticed by its session.
        with suppress(RpcError):
            try:
                self.client.send_payload_nowait(RESULT, result.encode())
            except DeliveryError as error:  # too long: that is an outcome too, not silence
                failure = WorkResult(result.id, ERROR, kind="DeliveryError", message=str(error))
                self.client.send_payload_nowait(RESULT, failure.encode())
