"""Workers in the process, and the event loop, of their supervisor: for tests, and for debuggers."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Self, TypeAlias

import anyio
from anyio.abc import TaskGroup

from asyncmachine.errors import LaunchError
from asyncmachine.node.config import WorkerSpec
from asyncmachine.node.launchers.base import Exit, Reason, signal_name
from asyncmachine.node.launchers.output import LineLog, Ring, RotatingFile

__all__ = ["EXIT_FAILED", "InlineHandle", "InlineLauncher", "InlineProcess", "Life"]

EXIT_FAILED = 1
"""Exit code of a worker whose life raised, as of a Python process."""

_LAST_STEPS = 3


class InlineProcess:
    """What a worker in this process has of its launch: the inner side of an :class:`InlineHandle`.

    Attributes:
        spec: what was asked for.
        boot: the worker's end of the boot channel, non-blocking. Closed when the worker ends.
        terminated: set when the worker is asked to end, as by SIGTERM.
    """

    def __init__(self, spec: WorkerSpec, boot: socket.socket, write: Callable[[bytes], None]) -> None:
        self.spec = spec
        self.boot = boot
        self.terminated = anyio.Event()
        self._write = write

    def write(self, text: str) -> None:
        """Write to the output of the worker, which ``print`` does not do here."""
        self._write(text.encode())


Life: TypeAlias = Callable[[InlineProcess], Awaitable[int | None]]
"""What a worker does until it exits with the code that this returns; None is 0, to raise is 1."""


class InlineHandle:
    """A worker that runs as a task. Made by :class:`InlineLauncher`."""

    pid = None

    def __init__(self, spec: WorkerSpec, number: int) -> None:
        self.spec = spec
        self.id = spec.worker or f"inline-{number}"
        self._here, self._there = socket.socketpair()
        self._here.setblocking(False)
        self._there.setblocking(False)
        self._boot_given = False
        self._ring = Ring()
        self._lines = LineLog(self.id)
        self._file = RotatingFile(self.id, spec.log_files) if spec.log_files else None
        self._scope = anyio.CancelScope()
        self._exit: Exit | None = None
        self._ended = anyio.Event()
        self.process = InlineProcess(spec, self._there, self._write)

    def __repr__(self) -> str:
        return f"<InlineHandle {self.id}{'' if self._exit is None else ' ' + self._exit.detail}>"

    @property
    def boot(self) -> socket.socket:
        """Our end of the boot channel, non-blocking. Whoever asks for it closes it."""
        self._boot_given = True
        return self._here

    async def exited(self) -> Exit:
        """Wait for the end."""
        await self._ended.wait()
        if self._exit is None:
            raise AssertionError("it has ended, so there is an exit")
        return self._exit

    def terminate(self) -> None:
        """Ask the worker to end: what its life makes of that, SIGTERM would have to be."""
        self.process.terminated.set()

    def kill(self) -> None:
        """Cancel the worker. Code that does not await cannot be ended."""
        if self._exit is None:
            self._scope.cancel()

    def tail(self, count: int = 4096) -> bytes:
        """The last bytes that it wrote, at most 64 KiB."""
        return self._ring.tail(count)

    def memory(self) -> int | None:
        """Not known: the memory is this process's."""
        return None

    def rotate(self) -> None:
        """Begin a new log file, if there is one."""
        if self._file is not None:
            self._file.rotate()

    def _write(self, data: bytes) -> None:
        self._ring.write(data)
        if self._file is not None:
            self._file.write(data)
        self._lines.write(data, time.monotonic())

    async def live(self, life: Life) -> None:
        """Be the worker. Ends with it, and is not cancelled by its failure."""
        code: int | None = None
        detail = ""
        try:
            with self._scope:
                code = await life(self.process) or 0
        except Exception as error:
            code = EXIT_FAILED
            detail = f", having raised {type(error).__name__}: {error}"
            self._write(f"{type(error).__name__}: {error}\n".encode())
        finally:
            self._there.close()
            with anyio.CancelScope(shield=True):  # as of a process: its channels end before it is reaped
                for _ in range(_LAST_STEPS):
                    await anyio.lowlevel.checkpoint()
            self._finish(code, detail)

    def _finish(self, code: int | None, detail: str) -> None:
        output = self._ring.tail(self._ring.limit)
        if code is None:
            number = int(signal.SIGKILL)
            text = f"ended by {signal_name(number)}"
            self._exit = Exit(reason=Reason.SIGNALLED, signal=number, detail=text, output=output)
        else:
            text = f"exited with code {code}{detail}"
            self._exit = Exit(reason=Reason.EXITED, code=code, detail=text, output=output)
        self._lines.close()
        if self._file is not None:
            self._file.close()
        if not self._boot_given:
            self._here.close()
        self._ended.set()


class InlineLauncher:
    """The launcher for tests and debuggers: workers are tasks, with the endpoints they always have.

    ::

        async with Supervisor(InlineLauncher(function_life(measure)), spec) as pool: ...

    A worker that is killed is cancelled, and seen to end by SIGKILL. What needs a process is not to be had: a
    crash of the interpreter is everybody's, memory and CPU are not counted, limits are not set, and code that
    does not await stops all. Plain functions run in a thread, which the end of their worker does not end.

    Args:
        life: what each worker does; :func:`asyncmachine.node.inline_worker.function_life` is one.
    """

    def __init__(self, life: Life) -> None:
        self._life = life
        self._tasks: TaskGroup | None = None
        self._handles: dict[InlineHandle, None] = {}
        self._count = 0

    @property
    def name(self) -> str:
        """``inline``."""
        return "inline"

    @property
    def handles(self) -> tuple[InlineHandle, ...]:
        """Workers that have not ended, oldest first."""
        return tuple(self._handles)

    async def start(self, spec: WorkerSpec) -> InlineHandle:
        """Start one worker.

        Raises:
            LaunchError: no more descriptors.
        """
        if self._tasks is None:
            raise RuntimeError("start a worker inside the launcher's async with block")
        await anyio.lowlevel.checkpoint()
        self._count += 1
        try:
            handle = InlineHandle(spec, self._count)
        except OSError as error:
            raise LaunchError(f"cannot start {spec.worker!r} inline: {error.strerror}") from error
        self._handles[handle] = None
        self._tasks.start_soon(partial(self._live, handle), name=handle.id)
        return handle

    async def _live(self, handle: InlineHandle) -> None:
        try:
            await handle.live(self._life)
        finally:
            del self._handles[handle]

    async def __aenter__(self) -> Self:
        if self._tasks is not None:
            raise RuntimeError("this launcher is entered already; make one per block")
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        tasks, self._tasks = self._tasks, None
        if tasks is None:
            raise RuntimeError("this launcher was not entered")
        for handle in self.handles:
            handle.kill()
        return await tasks.__aexit__(kind, error, trace)
