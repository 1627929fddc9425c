"""From other threads into the thread of a machine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import Any, Protocol, TypeAlias

from anyio.lowlevel import current_token

from asyncmachine._core.mutation import CURRENT
from asyncmachine.api import Result, States
from asyncmachine.errors import AsyncMachineError, MachineDisposed, WrongThread
from asyncmachine.schema import EXCEPTION

__all__ = ["FromThread", "Post", "poster"]

Post: TypeAlias = Callable[[Callable[[], object]], object]
"""Has the event loop call a function soon. For any thread; RuntimeError when the loop has ended."""


def poster() -> Post:
    """The :data:`Post` of the event loop that runs in this thread."""
    token: Any = current_token()
    token = getattr(token, "native_token", token)  # before anyio 4.11 it is given as it is
    post: Post = token.run_sync_soon if hasattr(token, "run_sync_soon") else token.call_soon_threadsafe
    return post


class _Target(Protocol):
    """A local machine."""

    @property
    def id(self) -> str: ...
    def add(self, *states: States, **args: Any) -> Result: ...
    def remove(self, *states: States, **args: Any) -> Result: ...
    def set(self, *states: States, **args: Any) -> Result: ...
    def toggle(self, *states: States, **args: Any) -> Result: ...
    def add_error(self, error: BaseException, state: str = ..., **args: Any) -> Result: ...
    def can_add(self, *states: States, **args: Any) -> Result: ...
    def can_remove(self, *states: States, **args: Any) -> Result: ...


class FromThread:
    """The mutations and checks of a machine, for other threads: each waits for its result.

    They run in the thread of the machine, between its transitions, so the result is never a queued
    one. A handler that waits for such a thread without awaiting blocks both for ever.

    Every method raises:
        WrongThread: it is called in the thread of the machine, or the event loop has ended.
        MachineDisposed: the machine is gone, or went while the call waited.
        UnknownState: a name that the schema does not have.
    """

    def __init__(self, machine: _Target) -> None:
        self._machine = machine
        self._owner = threading.get_ident()
        self._context = copy_context()
        self._lock = threading.Lock()
        self._post: Post | None = poster()
        self._waiting: set[Future[Result]] = set()

    def close(self) -> None:
        """Fail whoever waits, and whoever comes later. Called by the machine, in its thread."""
        with self._lock:
            self._post = None
            waiting, self._waiting = self._waiting, set()
        for future in waiting:
            future.set_exception(MachineDisposed(self._machine.id))

    def add(self, *states: States, **args: Any) -> Result:
        """See ``Machine.add``."""
        return self._call("add", partial(self._machine.add, *states, **args))

    def remove(self, *states: States, **args: Any) -> Result:
        """See ``Machine.remove``."""
        return self._call("remove", partial(self._machine.remove, *states, **args))

    def set(self, *states: States, **args: Any) -> Result:
        """See ``Machine.set``."""
        return self._call("set", partial(self._machine.set, *states, **args))

    def toggle(self, *states: States, **args: Any) -> Result:
        """See ``Machine.toggle``."""
        return self._call("toggle", partial(self._machine.toggle, *states, **args))

    def add_error(self, error: BaseException, state: str = EXCEPTION, **args: Any) -> Result:
        """See ``Machine.add_error``."""
        return self._call("add_error", partial(self._machine.add_error, error, state, **args))

    def can_add(self, *states: States, **args: Any) -> Result:
        """See ``Machine.can_add``."""
        return self._call("can_add", partial(self._machine.can_add, *states, **args))

    def can_remove(self, *states: States, **args: Any) -> Result:
        """See ``Machine.can_remove``."""
        return self._call("can_remove", partial(self._machine.can_remove, *states, **args))

    def _call(self, name: str, call: Callable[[], Result]) -> Result:
        machine = self._machine.id
        if threading.get_ident() == self._owner:
            raise WrongThread(
                f"from_thread.{name} was called in the thread of machine {machine}; call machine.{name}"
            )
        future: Future[Result] = Future()
        # In a context of the machine's own thread: anyio keeps there which event loop it is.
        context, running = self._context.copy(), CURRENT.get()

        def run() -> None:
            context.run(self._run, future, call, running)

        with self._lock:
            if self._post is None:
                raise MachineDisposed(machine)
            try:
                self._post(run)
            except RuntimeError as error:
                raise WrongThread(f"the event loop of machine {machine} has ended") from error
            self._waiting.add(future)
        return future.result()

    def _run(self, future: Future[Result], call: Callable[[], Result], running: object) -> None:
        """Make the call, in the machine's thread, as if from the transition *running* in the caller's."""
        with self._lock:
            if future not in self._waiting:
                return  # failed already, when the machine went
            self._waiting.remove(future)
        CURRENT.set(running)
        try:
            future.set_result(call())
        except AsyncMachineError as error:
            future.set_exception(error)
        finally:
            if not future.done():  # a KeyboardInterrupt flies through here; nobody must wait for ever
                future.set_exception(AsyncMachineError(f"machine {self._machine.id} was interrupted"))
