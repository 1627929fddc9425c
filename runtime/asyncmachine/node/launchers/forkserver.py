"""Workers as forks of a small process that has imported what they need: started in milliseconds."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, cast

import anyio

from asyncmachine.errors import LaunchError
from asyncmachine.node.config import WorkerSpec
from asyncmachine.node.launchers import prefork
from asyncmachine.node.launchers.child import channel_env
from asyncmachine.node.launchers.handle import Ended, LocalLauncher, ProcessHandle, channels, launch_error
from asyncmachine.node.launchers.prefork import ForkServer

__all__ = ["ForkserverLauncher"]

_log = logging.getLogger("asyncmachine.node.forkserver")

_CHUNK: Final = 64 * 1024


class ForkserverLauncher(LocalLauncher):
    """The launcher for many short-lived or alike workers of one machine. Linux only.

    The fork server runs no thread and no event loop, so its forks are clean; each is a session of its own, as
    with :class:`ProcessLauncher`. What a worker imports beyond *preload* it imports itself. Commands must be
    Python: ``(sys.executable, "-m", "package.module", ...)`` or ``(sys.executable, "script.py", ...)``.

    A fork server that is gone is replaced at the next start. Its workers go on, except those with
    ``on_orphan="kill"``; how they end is then not known, only that they did.

    Args:
        preload: modules to import once, for all workers, or ``module:function`` to call, too. They must
            start no thread.
        server: one that was started before, see :func:`asyncmachine.node.launchers.prefork.launch`.
    """

    def __init__(self, preload: Sequence[str] = (), *, server: ForkServer | None = None) -> None:
        super().__init__()
        self._preload = tuple(preload)
        self._server = server
        self._turn = anyio.Lock()

    @property
    def name(self) -> str:
        """``forkserver``."""
        return "forkserver"

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await super().__aexit__(kind, error, trace)
        finally:
            if self._server is not None:
                _end(self._server)
                self._server = None

    async def start(self, spec: WorkerSpec) -> ProcessHandle:
        """Start one worker.

        Raises:
            LaunchError: not a Python command, no such folder, no memory, too many processes or files, or no
                fork server to be had.
        """
        self._running()
        request = {
            "argv": _arguments(spec),
            "cwd": spec.cwd or str(Path.cwd()),
            "env": {**spec.environment(os.environ), **channel_env(spec, 0, 0)},  # it knows the numbers
        }
        # What was asked for exists, so its answer is not left unread.
        with channels(spec) as (ends, descriptors), anyio.CancelScope(shield=True):
            try:
                server = self._ready()
                answer = await self._ask(server, request, descriptors)
            except OSError as error:
                raise launch_error(spec, error) from error
            if "pid" not in answer:
                raise launch_error(spec, OSError(answer["errno"], answer["error"]))
            pid = answer["pid"]
            return self._keep(ProcessHandle(spec, pid, ends, partial(self._reap, server, pid)))
        raise AssertionError("a shielded scope swallows nothing")

    async def _reap(self, server: ForkServer, pid: int) -> Ended:
        try:
            answer = await self._ask(server, {"reap": pid}, ())
        except OSError as error:
            raise OSError("the fork server is gone, and with it how this worker ended") from error
        if "error" in answer:
            raise OSError(answer["error"])
        return Ended(answer["status"], *answer["usage"])

    def _ready(self) -> ForkServer:
        """The fork server, a new one if there is none any more."""
        if self._server is not None and self._server.process.poll() is not None:
            _log.warning(
                "the fork server is gone (exit code %s); starting another", self._server.process.returncode
            )
            self._server.control.close()
            self._server = None
        if self._server is None:
            self._server = prefork.launch(self._preload)
        self._server.control.setblocking(False)
        return self._server

    async def _ask(
        self, server: ForkServer, message: dict[str, Any], descriptors: Sequence[int]
    ) -> dict[str, Any]:
        """One request and its answer, one at a time. Raises OSError if the fork server is gone."""
        async with self._turn:
            try:
                await _send(server.control, prefork.pack(message), descriptors)
                answer = b""
                while (found := prefork.split(answer)) is None:
                    answer += await _receive(server.control)
            except ConnectionError as error:
                raise ConnectionResetError(errno.ECONNRESET, "the fork server is gone") from error
            return cast("dict[str, Any]", found)


async def _send(control: socket.socket, message: bytes, descriptors: Sequence[int]) -> None:
    data = memoryview(message)
    while data:
        try:
            if descriptors:  # they go with the first part
                sent, descriptors = socket.send_fds(control, [data], descriptors), ()
            else:
                sent = control.send(data)
            data = data[sent:]
        except BlockingIOError:
            await anyio.wait_writable(control)


async def _receive(control: socket.socket) -> bytes:
    while True:
        try:
            chunk = control.recv(_CHUNK)
        except BlockingIOError:
            await anyio.wait_readable(control)
            continue
        if not chunk:
            raise ConnectionResetError
        return chunk


def _end(server: ForkServer) -> None:
    """Nothing is left for it to do, so it may as well be killed, which does not wait for anything."""
    server.control.close()
    server.process.kill()
    server.process.wait()


def _arguments(spec: WorkerSpec) -> tuple[str, ...]:
    """The command without the interpreter."""
    program, *rest = spec.argv
    module, script = rest[:1] == ["-m"] and len(rest) > 1, bool(rest) and not rest[0].startswith("-")
    if program != sys.executable or not (module or script):
        raise LaunchError(
            f"a fork server cannot start {spec.argv!r}, only (sys.executable, '-m', 'package.module', ...) "
            "and (sys.executable, 'script.py', ...); use the process launcher for other commands"
        )
    return tuple(rest)
