"""Any importable function as the work of a worker.

A plain function runs in one thread of its own, so that the worker's event loop stays answerable
while it computes; an ``async`` function runs in the loop. Jobs run strictly one after the other.
"""

from __future__ import annotations

import inspect
import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

import anyio
from anyio.lowlevel import current_token

from asyncmachine.node.args import ERROR, OK, TIMEOUT, WorkResult, decode_value, encode_value

__all__ = ["FunctionRunner"]

_TRACEBACK_LIMIT = 16 * 1024
_MESSAGE_LIMIT = 4 * 1024


Done: TypeAlias = Callable[[WorkResult], object]


class FunctionRunner:
    """Runs one job at a time.

    Attributes:
        interruptible: whether a job can be cancelled while it runs: only async ones can.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self.interruptible = inspect.iscoroutinefunction(function)
        self._jobs: queue.SimpleQueue[tuple[int, bytes, Done]] = queue.SimpleQueue()
        self._results: deque[tuple[Done, WorkResult]] = deque()
        self._arrived = anyio.Event()

    def start(self, job_id: int, data: bytes, done: Done) -> None:
        """Run a job of a plain function in its thread; :meth:`deliver` calls *done* with the result."""
        self._jobs.put((job_id, data, done))

    async def deliver(self) -> None:
        """Start the thread, and call those who wait for its results, until cancelled."""
        native: Any = current_token().native_token
        # Both wake the loop from another thread without waiting for it, which anyio has no call for.
        soon = getattr(native, "call_soon_threadsafe", None) or native.run_sync_soon
        # Daemon: a call that never ends must not keep the process.
        threading.Thread(target=self._serve, args=(soon,), name="asyncmachine-work", daemon=True).start()
        while True:
            self._arrived = anyio.Event()
            while self._results:
                done, result = self._results.popleft()
                done(result)
            await self._arrived.wait()

    def _wake(self) -> None:
        self._arrived.set()

    async def run(self, job_id: int, data: bytes, deadline: float | None) -> WorkResult:
        """Run one job; every outcome but cancellation is a result.

        Args:
            deadline: seconds; over it the result is ``timeout``. A plain function goes on in its
                thread all the same, so the worker must be replaced then.
        """
        result: WorkResult | None = None
        with anyio.move_on_after(deadline):
            if self.interruptible:
                result = await self._run_async(job_id, data)
            else:
                result = await self._run_in_thread(job_id, data)
        return result or WorkResult(job_id, TIMEOUT, message=f"no result within {deadline} s")

    async def _run_async(self, job_id: int, data: bytes) -> WorkResult:
        began = time.perf_counter()
        try:
            answer = await self._function(decode_value(data, "input"))
            value = encode_value(answer, "result")
        except (Exception, SystemExit) as error:
            return _failure(job_id, error)
        return WorkResult(job_id, OK, value, seconds=time.perf_counter() - began)

    async def _run_in_thread(self, job_id: int, data: bytes) -> WorkResult:
        results: list[WorkResult] = []
        arrived = anyio.Event()

        def done(result: WorkResult) -> None:
            results.append(result)
            arrived.set()

        self.start(job_id, data, done)
        await arrived.wait()
        return results[0]

    # -- in the thread -------------------------------------------------------------------------

    def _serve(self, soon: Callable[..., object]) -> None:
        while True:
            job_id, data, done = self._jobs.get()
            self._results.append((done, self._execute(job_id, data)))
            try:
                soon(self._wake)
            except RuntimeError:  # the loop is closed: the process is ending
                return

    def _execute(self, job_id: int, data: bytes) -> WorkResult:
        began = time.perf_counter()
        try:
            answer = self._function(decode_value(data, "input"))
            value = encode_value(answer, "result")
        except (Exception, SystemExit) as error:  # sys.exit() would end this thread, not the process
            return _failure(job_id, error)
        return WorkResult(job_id, OK, value, seconds=time.perf_counter() - began)


def _failure(job_id: int, error: Exception | SystemExit) -> WorkResult:
    # Our own frames say nothing to the user: keep what is below the call of the function.
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    text = "".join(traceback.format_exception(type(error), error, frames))
    return WorkResult(
        job_id,
        ERROR,
        kind=type(error).__qualname__,
        message=str(error)[:_MESSAGE_LIMIT],
        traceback=text[-_TRACEBACK_LIMIT:],
    )
