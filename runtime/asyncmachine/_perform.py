"""Performs the effects of the engine on anyio. Nothing here awaits but the handlers' own tasks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import TracebackType

import anyio
from anyio.abc import TaskGroup

from asyncmachine._core.effects import CancelScope, Effect, StartTask
from asyncmachine._core.mutation import CURRENT
from asyncmachine._core.scopes import Token
from asyncmachine._core.waits import Wait
from asyncmachine.errors import AsyncMachineError
from asyncmachine.schema import EXCEPTION, Schema, State

__all__ = ["Performer", "TaskOwner"]

Fail = Callable[..., object]


class TaskOwner:
    """A task group which lets through, unwrapped, what its own block raises.

    Only when its tasks failed as well does an exception group say so.
    """

    def __init__(self) -> None:
        self._group: TaskGroup | None = None

    async def __aenter__(self) -> TaskGroup:
        self._group = await anyio.create_task_group().__aenter__()
        return self._group

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        group, self._group = self._group, None
        if group is None:
            return False  # never entered
        try:
            return await group.__aexit__(kind, error, trace)
        except BaseExceptionGroup as raised:
            if error is not None and raised.exceptions == (error,):
                return False  # the caller raises it, as it was
            raise


class Performer:
    """Starts and ends the tasks of one machine.

    Args:
        fail: ``fail(error, state)`` turns an error of a task into a state.
    """

    def __init__(self, schema: Schema, fail: Fail) -> None:
        self._schema = schema
        self._fail = fail
        self._life = Token(-1, 0)  # everything that lives as long as the machine hangs here
        self._running: dict[int, int] = {}
        self._overflow: dict[int, deque[StartTask]] = {}
        self.tasks: TaskGroup | None = None

    def perform(self, effects: list[Effect]) -> None:
        """Perform in order. A task whose state is gone already is not started."""
        for effect in effects:
            if isinstance(effect, Wait):
                effect.wake()
            elif isinstance(effect, CancelScope):
                effect.token.cancel_attached()
            elif effect.token is None or not effect.token.expired:
                self._start(effect)

    def cancel_all(self) -> None:
        """Cancel every task, for disposal."""
        self._overflow.clear()
        self._life.expired = True
        self._life.cancel_attached()

    def _state(self, task: StartTask) -> State | None:
        return self._schema.states[self._schema.names[task.state]] if task.state >= 0 else None

    def _start(self, task: StartTask) -> None:
        if self.tasks is None:
            self._fail(
                AsyncMachineError(
                    f"async handler {task.event.name} cannot start: the machine is not running; "
                    "use `async with machine:`"
                )
            )
            return
        state = self._state(task)
        running = self._running.get(task.state, 0)
        if state is not None and state.limit is not None and running >= state.limit:
            if state.overflow == "queue":
                self._overflow.setdefault(task.state, deque()).append(task)
            elif state.overflow == "error":
                self._fail(AsyncMachineError(f"{task.event.name}: {running} tasks run already, the limit"))
            return
        self._running[task.state] = running + 1
        self.tasks.start_soon(self._run, task, name=f"{task.event.machine.id}.{task.event.name}")

    async def _run(self, task: StartTask) -> None:
        CURRENT.set(task.event.transition)
        try:
            await self._call(task)
        except Exception as error:
            self._report(error, EXCEPTION, task)
        finally:
            self._running[task.state] -= 1
        self._next(task.state)

    async def _call(self, task: StartTask) -> None:
        state = self._state(task)
        timeout = state.timeout if state is not None else None
        token = task.token or self._life
        with anyio.CancelScope() as scope:
            if token.expired or self._life.expired:
                return  # between its start and its first turn the state has ended
            self._life.attach(scope)
            token.attach(scope)
            try:
                with anyio.move_on_after(timeout) as limit:
                    await task.handler(task.event)
            finally:
                token.detach(scope)
                self._life.detach(scope)
            if limit.cancelled_caught:
                named = "ErrHandlerTimeout" if "ErrHandlerTimeout" in self._schema.index else EXCEPTION
                self._report(TimeoutError(f"{task.event.name} took longer than {timeout} s"), named, task)

    def _report(self, error: Exception, state: str, task: StartTask) -> None:
        if not self._life.expired:
            self._fail(error, state, handler=task.event.name)

    def _next(self, state: int) -> None:
        waiting = self._overflow.get(state)
        while waiting:
            task = waiting.popleft()
            if task.token is None or not task.token.expired:
                self._start(task)
                return
