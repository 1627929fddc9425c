"""What is particular to workers that are tasks. The contract is in ``test_base_contract.py``."""

from __future__ import annotations

import errno
import os

import anyio
import pytest

from asyncmachine.errors import LaunchError
from asyncmachine.node.config import WorkerSpec
from asyncmachine.node.launchers import inline
from asyncmachine.node.launchers.inline import InlineLauncher, InlineProcess

pytestmark = pytest.mark.anyio

SPEC = WorkerSpec(kind="test", argv=("worker",))


async def idle(_: InlineProcess) -> None:
    await anyio.sleep_forever()


async def test_memory_and_pid_are_nobody_s() -> None:
    async with InlineLauncher(idle) as launcher:
        handle = await launcher.start(SPEC)
        assert (handle.pid, handle.memory(), handle.id) == (None, None, "inline-1")
        handle.rotate()
        assert launcher.handles == (handle,)
    assert launcher.handles == ()
    assert repr(handle) == "<InlineHandle inline-1 ended by SIGKILL>"


async def test_out_of_descriptors_is_a_launch_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async with InlineLauncher(idle) as launcher:
        monkeypatch.setattr(inline.socket, "socketpair", refuse)
        with pytest.raises(LaunchError, match="Too many open files"):
            await launcher.start(SPEC.named("w1"))


async def test_one_that_fails_leaves_the_others_alone() -> None:
    async def life(process: InlineProcess) -> int:
        if process.spec.worker == "bad":
            raise ValueError("of its own")
        await process.terminated.wait()
        return 0

    async with InlineLauncher(life) as launcher:
        good = await launcher.start(SPEC.named("good"))
        bad = await launcher.start(SPEC.named("bad"))
        end = await bad.exited()
        assert (end.code, end.detail) == (1, "exited with code 1, having raised ValueError: of its own")
        assert launcher.handles == (good,)
        good.terminate()
        assert (await good.exited()).clean
