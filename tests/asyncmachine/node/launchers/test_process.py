"""What only the launcher of processes does; the contract of all launchers: test_handle.py."""

from __future__ import annotations

import errno
import signal
import sys
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from asyncmachine.errors import LaunchError
from asyncmachine.node.config import WorkerSpec
from asyncmachine.node.launchers import handle as handle_module
from asyncmachine.node.launchers.process import ProcessLauncher

pytestmark = pytest.mark.anyio


def python(code: str) -> WorkerSpec:
    return WorkerSpec(kind="test", worker="w1", argv=(sys.executable, "-c", code))


@pytest.mark.parametrize(
    ("argv", "cwd", "number", "named"),
    [
        (("/nonexistent/worker",), None, errno.ENOENT, "/nonexistent/worker"),
        (("/proc/self/status",), None, errno.EACCES, "/proc/self/status"),
        ((sys.executable,), "/nonexistent/folder", errno.ENOENT, "/nonexistent/folder"),
    ],
)
async def test_what_cannot_start_says_why(
    argv: tuple[str, ...], cwd: str | None, number: int, named: str
) -> None:
    async with ProcessLauncher() as launcher:
        with pytest.raises(LaunchError, match=rf"{named}.*errno {number}\)"):
            await launcher.start(WorkerSpec(kind="test", argv=argv, cwd=cwd))


async def test_file_that_is_no_program(tmp_path: Path) -> None:
    path = tmp_path / "worker"
    path.write_bytes(b"\x00\x01 no program")
    path.chmod(0o755)
    async with ProcessLauncher() as launcher:
        with pytest.raises(LaunchError, match=f"errno {errno.ENOEXEC}"):
            await launcher.start(WorkerSpec(kind="test", argv=(str(path),)))


async def test_without_pidfd_a_thread_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(handle_module.os, "pidfd_open")
    async with ProcessLauncher() as launcher:
        handle = await launcher.start(python("raise SystemExit(4)"))
        assert (await handle.exited()).code == 4
        handle = await launcher.start(python("import signal\nsignal.pause()"))
        handle.terminate()
        assert (await handle.exited()).signal == signal.SIGTERM


async def test_on_orphan_kill_needs_the_main_thread() -> None:
    async with ProcessLauncher() as launcher:

        def elsewhere() -> None:
            with pytest.raises(LaunchError, match="main thread"):
                anyio.run(_start_in, launcher)

        await anyio.to_thread.run_sync(elsewhere)


async def _start_in(launcher: ProcessLauncher) -> None:
    await launcher.start(replace(python("pass"), on_orphan="kill"))
