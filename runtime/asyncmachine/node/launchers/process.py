"""Workers as processes of this machine: one command, run as it is, in a session of its own."""

from __future__ import annotations

import os
import subprocess
import threading

from asyncmachine.errors import LaunchError
from asyncmachine.node.config import WorkerSpec
from asyncmachine.node.launchers.child import channel_env
from asyncmachine.node.launchers.handle import Ended, LocalLauncher, ProcessHandle, channels, launch_error

__all__ = ["ProcessLauncher"]


class ProcessLauncher(LocalLauncher):
    """The launcher for one machine. Linux; elsewhere exits are waited for by a thread per worker.

    ::

        async with ProcessLauncher() as launcher:
            handle = await launcher.start(spec)
            print(await handle.exited())

    Leaving the block kills what is left.
    """

    @property
    def name(self) -> str:
        """``process``."""
        return "process"

    async def start(self, spec: WorkerSpec) -> ProcessHandle:
        """Start one worker.

        With ``on_orphan="kill"`` the kernel ends the worker when the *thread* that started it ends,
        so then the launcher must run in the main thread.

        Raises:
            LaunchError: no such command or folder, not executable, no memory, too many processes
                or files; or the wrong thread.
        """
        self._running()
        if spec.on_orphan == "kill" and threading.current_thread() is not threading.main_thread():
            raise LaunchError(
                f"cannot start {spec.argv[0]!r} with on_orphan='kill' from thread "
                f"{threading.current_thread().name!r}: the worker would die with it; use the main thread"
            )
        return self._keep(_spawn(spec))


def _spawn(spec: WorkerSpec) -> ProcessHandle:
    with channels(spec) as (ends, (boot, life, output)):
        try:
            process = subprocess.Popen(  # noqa: S603 - the command is what the user configured
                spec.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=spec.cwd,
                env={**spec.environment(os.environ), **channel_env(spec, boot, life)},
                pass_fds=(boot, life),
                start_new_session=True,
            )
        except OSError as error:
            raise launch_error(spec, error) from error

        async def reap() -> Ended:
            return _reap(process)

        return ProcessHandle(spec, process.pid, ends, reap)


def _reap(process: subprocess.Popen[bytes]) -> Ended:
    pid, status, usage = os.wait4(process.pid, os.WNOHANG)
    if pid == 0:
        raise OSError("it is still there, in spite of SIGKILL")
    process.returncode = os.waitstatus_to_exitcode(status)
    return Ended(status, usage.ru_utime, usage.ru_stime, usage.ru_maxrss)
