"""Any importable function as the work of a worker.

A plain function runs in one thread of its own, so that the worker's event loop stays answerable
while it computes; an ``async`` function runs in the loop. Jobs run strictly one after the other.
"""

from __future__ import annotations

import importlib
import inspect
import queue
import threading
import traceback
from collections.abc import Callable
from typing import Any, cast

import anyio
from anyio.lowlevel import current_token

from asyncmachine.errors import ArgsError, AsyncMachineError, did_you_mean
from asyncmachine.node.args import ERROR, OK, TIMEOUT, WorkResult, decode_value, encode_value

__all__ = ["FunctionRunner", "TargetError", "load_function"]

_TRACEBACK_LIMIT = 16 * 1024
_MESSAGE_LIMIT = 4 * 1024


class TargetError(AsyncMachineError):
    """A ``package.module:function`` that cannot be imported or called."""


def load_function(target: str) -> Callable[[Any], Any]:
    """Import ``package.module:function``.

    Raises:
        TargetError: saying which part of it is wrong, and what is meant perhaps.
    """
    module_name, colon, name = target.partition(":")
    if not colon or not module_name or not name:
        raise TargetError(f"{target!r} is not of the form package.module:function")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise TargetError(f"no module named {error.name!r} (from {target!r}); is it on PYTHONPATH?") from None
    except Exception as error:  # whatever the module does when it is imported
        raise TargetError(f"cannot import {module_name!r}: {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if function is None:
        known = [n for n in dir(module) if callable(getattr(module, n))]
        raise TargetError(f"module {module_name!r} has no function {name!r}{did_you_mean(name, known)}")
    if not callable(function):
        raise TargetError(f"{target!r} is a {type(function).__name__}, not a function")
    return cast("Callable[[Any], Any]", function)


class _Slot:
    """One call on its way through the thread."""

    __slots__ = ("answer", "error", "event", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.answer: Any = None
        self.error: Exception | SystemExit | None = None
        self.event = anyio.Event()


class _Thread:
    """One daemon thread that calls a function. Daemon: a call that never ends must not keep the process."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self._slots: queue.SimpleQueue[_Slot] = queue.SimpleQueue()
        native: Any = current_token().native_token
        # Both wake the loop from another thread without waiting for it, which anyio has no call for.
        self._soon: Callable[..., object] = (
            getattr(native, "call_soon_threadsafe", None) or native.run_sync_soon
        )
        threading.Thread(target=self._serve, name="asyncmachine-work", daemon=True).start()

    async def call(self, value: Any) -> Any:
        slot = _Slot(value)
        self._slots.put(slot)
        await slot.event.wait()
        if slot.error is not None:
            raise slot.error
        return slot.answer

    def _serve(self) -> None:
        while True:
            slot = self._slots.get()
            try:
                slot.answer = self._function(slot.value)
            except (Exception, SystemExit) as error:  # sys.exit() would end this thread, not the process
                slot.error = error
            try:
                self._soon(slot.event.set)
            except RuntimeError:  # the loop is closed: the process is ending
                return


class FunctionRunner:
    """Runs one job at a time.

    Attributes:
        interruptible: whether a job can be cancelled while it runs: only async ones can.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self.interruptible = inspect.iscoroutinefunction(function)
        self._thread: _Thread | None = None

    async def run(self, job_id: int, data: bytes, deadline: float | None) -> WorkResult:
        """Run one job; every outcome but cancellation is an answer.

        Args:
            deadline: seconds; over it the answer is ``timeout``. A plain function goes on in its
                thread all the same, so the worker must be replaced then.
        """
        try:
            value = decode_value(data, "input")
        except ArgsError as error:
            return WorkResult(job_id, ERROR, kind="ArgsError", message=str(error))
        try:
            if deadline is None:
                answer = await self._call(value)
            else:
                with anyio.move_on_after(deadline) as limit:
                    answer = await self._call(value)
                if limit.cancelled_caught:
                    return WorkResult(job_id, TIMEOUT, message=f"no result within {deadline} s")
            return WorkResult(job_id, OK, encode_value(answer, "result"))
        except (Exception, SystemExit) as error:
            return _failure(job_id, error)

    async def _call(self, value: Any) -> Any:
        if self.interruptible:
            return await self._function(value)
        if self._thread is None:
            self._thread = _Thread(self._function)
        answer = await self._thread.call(value)
        return await answer if inspect.isawaitable(answer) else answer


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
