"""A worker that is a process of this machine, whoever made it, and the block that none of them outlives."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

import anyio
from anyio.abc import TaskGroup

from asyncmachine.errors import LaunchError
from asyncmachine.node.config import WorkerSpec
from asyncmachine.node.launchers.base import Exit, Reason, signal_name
from asyncmachine.node.launchers.memory import OomWatch
from asyncmachine.node.launchers.output import LineLog, Ring, RotatingFile

__all__ = ["Channels", "Ended", "LocalLauncher", "ProcessHandle", "channels", "launch_error"]

_CHUNK: Final = 64 * 1024
_LAST_CHUNKS: Final = 64  # of a process that is gone: what its pipe can hold, and then some
_REAP_SECONDS: Final = 5.0
_PAGE: Final = resource.getpagesize()


@dataclass(slots=True)
class Channels:
    """The ends of the three channels that stay here."""

    boot: socket.socket
    life: int
    output: int


@contextlib.contextmanager
def channels(spec: WorkerSpec) -> Iterator[tuple[Channels, tuple[int, int, int]]]:
    """Make the channels; the child's ends are closed at the end, all of them if starting fails.

    Yields:
        Our ends, non-blocking, and the child's: boot, life, output.

    Raises:
        LaunchError: no more descriptors.
    """
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
        try:
            boot, boot_child = socket.socketpair()
            ours.callback(boot.close)
            theirs.callback(boot_child.close)
            life_child, life = os.pipe()
            ours.callback(os.close, life)
            theirs.callback(os.close, life_child)
            output, output_child = os.pipe()
            ours.callback(os.close, output)
            theirs.callback(os.close, output_child)
        except OSError as error:
            raise launch_error(spec, error) from error
        boot.setblocking(False)
        os.set_blocking(output, False)
        yield Channels(boot, life, output), (boot_child.fileno(), life_child, output_child)
        ours.pop_all()


def launch_error(spec: WorkerSpec, error: OSError) -> LaunchError:
    """What is raised for *error*: names the command, the folder and the cause."""
    where = f" in {spec.cwd!r}" if spec.cwd is not None else ""
    name = error.errno if error.errno is not None else "?"
    return LaunchError(f"cannot start {spec.argv[0]!r}{where}: {error.strerror} (errno {name})")


@dataclass(frozen=True, slots=True)
class Ended:
    """What the kernel says of a process that has ended, as ``os.wait4`` has it."""

    status: int
    user: float
    system: float
    max_rss: int


class ProcessHandle:
    """A running process.

    Args:
        reap: takes its status from the kernel once it has ended; only then may its id be used again.
            Raises OSError if that cannot be done.

    Attributes:
        oom: asked when a SIGKILL of somebody else has ended it.
    """

    def __init__(
        self, spec: WorkerSpec, pid: int, ends: Channels, reap: Callable[[], Awaitable[Ended]]
    ) -> None:
        self._killed = False
        self.oom: OomWatch | None = None
        self.spec = spec
        self._pid = pid
        self._reap = reap
        self._ends = ends
        self._boot_given = False
        self._pidfd = _pidfd(pid)
        self._ring = Ring()
        self._lines = LineLog(self.id)
        self._file = RotatingFile(self.id, spec.log_files) if spec.log_files else None
        self._exit: Exit | None = None
        self._ended = anyio.Event()

    def __repr__(self) -> str:
        return (
            f"<ProcessHandle {self.id} pid {self.pid}{'' if self._exit is None else ' ' + self._exit.detail}>"
        )

    @property
    def id(self) -> str:
        """Id of the worker, or ``pid-<n>`` if the spec has none."""
        return self.spec.worker or f"pid-{self._pid}"

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its session and process group."""
        return self._pid

    @property
    def boot(self) -> socket.socket:
        """Our end of the boot channel, non-blocking. Whoever asks for it closes it."""
        self._boot_given = True
        return self._ends.boot

    async def exited(self) -> Exit:
        """Wait for the end."""
        await self._ended.wait()
        return cast("Exit", self._exit)

    def terminate(self) -> None:
        """SIGTERM to the process, and SIGCONT so that a stopped one sees it."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL to the process group."""
        self._killed = True
        self.end_group()

    def end_group(self) -> None:
        """SIGKILL to what is left of the process group, which is not a decision against the worker."""
        if self._exit is None:  # so the leader is not reaped, and the id of the group is still its own
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                self._signal(signal.SIGKILL)  # a fork so young that it has no group of its own yet

    def _signal(self, number: int) -> None:
        if self._exit is None:
            with contextlib.suppress(ProcessLookupError):
                if self._pidfd is not None:
                    signal.pidfd_send_signal(self._pidfd, number)
                else:
                    os.kill(self.pid, number)

    def tail(self, count: int = 4096) -> bytes:
        """The last bytes of stdout and stderr, at most 64 KiB."""
        return self._ring.tail(count)

    def memory(self) -> int | None:
        """Resident memory in bytes; None once it is gone, or without ``/proc``."""
        if self._exit is not None:
            return None
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE
        except (OSError, IndexError):
            return None

    def rotate(self) -> None:
        """Begin a new log file, if there is one."""
        if self._file is not None:
            self._file.rotate()

    async def gone(self) -> None:
        """Wait until the process has ended; does not reap it."""
        if self._pidfd is not None:
            await anyio.wait_readable(self._pidfd)
        else:
            await anyio.to_thread.run_sync(_wait_for, self.pid, abandon_on_cancel=True)

    async def pump(self) -> None:
        """Drain the output for as long as somebody holds the other end."""
        while True:
            await anyio.wait_readable(self._ends.output)
            if self._read() == 0:
                return

    def _read(self) -> int | None:
        """Read a chunk of output. Returns its size: 0 at the end, None if there is nothing for now."""
        try:
            data = os.read(self._ends.output, _CHUNK)
        except BlockingIOError:
            return None
        if data:
            self._ring.write(data)
            if self._file is not None:
                self._file.write(data)
            self._lines.write(data, time.monotonic())
        return len(data)

    async def finish(self) -> None:
        """Reap the process, read what is left of its output, close everything, tell the waiters."""
        try:
            for _ in range(_LAST_CHUNKS):
                if not self._read():
                    break
            self._exit = self._report(await self._reap())
        except OSError as error:
            self._exit = Exit(reason=Reason.UNKNOWN, detail=f"pid {self.pid} cannot be reaped: {error}")
        finally:
            self._ended.set()  # whoever waits must hear of it, whatever else fails
            self._close()

    def _close(self) -> None:
        self._lines.close()
        if self._file is not None:
            self._file.close()
        if not self._boot_given:
            self._ends.boot.close()
        os.close(self._ends.life)
        os.close(self._ends.output)
        if self._pidfd is not None:
            os.close(self._pidfd)

    def _report(self, ended: Ended) -> Exit:
        code = os.waitstatus_to_exitcode(ended.status)
        if code >= 0:
            reason, detail = Reason.EXITED, f"exited with code {code}"
        else:
            reason, detail = Reason.SIGNALLED, f"ended by {signal_name(-code)}"
        by_kernel = code == -signal.SIGKILL and not self._killed
        return Exit(
            oom=self.oom.killed() if by_kernel and self.oom is not None else None,
            reason=reason,
            code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            detail=detail,
            output=self._ring.tail(self._ring.limit),
            user=ended.user,
            system=ended.system,
            max_rss=ended.max_rss * 1024,
        )


def _pidfd(pid: int) -> int | None:
    """A descriptor of the process that cannot come to mean another one; None where there is none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _wait_for(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


class LocalLauncher:
    """What the launchers of this machine share: a task for each process, until its end was seen."""

    def __init__(self) -> None:
        self._tasks: TaskGroup | None = None
        self._handles: set[ProcessHandle] = set()
        self._oom = OomWatch()

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
        for handle in self._handles:
            handle.kill()
        return await tasks.__aexit__(kind, error, trace)

    @property
    def handles(self) -> tuple[ProcessHandle, ...]:
        """Workers whose end was not seen yet."""
        return tuple(self._handles)

    def _running(self) -> TaskGroup:
        if self._tasks is None:
            raise RuntimeError("start a worker inside the launcher's async with block")
        return self._tasks

    def _keep(self, handle: ProcessHandle) -> ProcessHandle:
        """Watch over *handle* from now on."""
        self._handles.add(handle)
        handle.oom = self._oom
        self._running().start_soon(self._watch, handle)
        return handle

    async def _watch(self, handle: ProcessHandle) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(handle.pump)
                await handle.gone()
                tasks.cancel_scope.cancel()
        finally:
            # Also when cancelled: nobody else would reap it. The group is killed while its leader
            # is not reaped, so its id cannot have been given to a stranger.
            handle.end_group()
            with anyio.move_on_after(_REAP_SECONDS, shield=True):
                await handle.gone()
            with anyio.CancelScope(shield=True):
                await handle.finish()
            self._handles.discard(handle)
