"""The rules of ``launchers/base.py`` that make sense for every launcher, with the workers that each one has.

What only processes can do is in ``test_handle.py``.
"""

from __future__ import annotations

import logging
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import psutil
import pytest

from asyncmachine.node.config import LogFiles, WorkerSpec
from asyncmachine.node.launchers.base import Exit, Handle, Launcher, Reason
from asyncmachine.node.launchers.inline import InlineLauncher, InlineProcess
from asyncmachine.node.launchers.registry import BUILT_IN, make_launcher

pytestmark = pytest.mark.anyio

SCRIPTS = {
    "seven": "raise SystemExit(7)",
    "fails": "raise KeyError('mine')",
    "says": "import sys\nprint('one')\nprint('two', end='', flush=True)",
    "floods": "for i in range(20_000): print('line', i)\nprint('the end', end='')",
    "waits": "import signal\nprint('up', flush=True)\nsignal.pause()",
    "obeys": """
        import signal, sys
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
        print('up', flush=True)
        while True: signal.pause()
    """,
    "answers": """
        from asyncmachine.node.launchers.child import inherit
        boot = inherit().boot
        boot.setblocking(True)
        boot.sendall(b"hello")
        assert boot.recv(10) == b"welcome"
    """,
}


async def seven(_: InlineProcess) -> int:
    return 7


async def fails(_: InlineProcess) -> int:
    raise KeyError("mine")


async def says(process: InlineProcess) -> None:
    process.write("one\n")
    process.write("two")


async def floods(process: InlineProcess) -> None:
    for number in range(20_000):
        process.write(f"line {number}\n")
    process.write("the end")


async def waits(process: InlineProcess) -> None:
    process.write("up\n")
    await anyio.sleep_forever()


async def obeys(process: InlineProcess) -> int:
    process.write("up\n")
    await process.terminated.wait()
    return 5


async def answers(process: InlineProcess) -> None:
    await anyio.wait_writable(process.boot)
    process.boot.send(b"hello")
    await anyio.wait_readable(process.boot)
    assert process.boot.recv(10) == b"welcome"


LIVES = {f.__name__: f for f in (seven, fails, says, floods, waits, obeys, answers)}


async def one_of_these(process: InlineProcess) -> Any:
    return await LIVES[process.spec.argv[1]](process)


Spec: TypeAlias = Callable[..., WorkerSpec]


@pytest.fixture(params=sorted(BUILT_IN))
def launcher(request: pytest.FixtureRequest) -> Launcher:
    return InlineLauncher(one_of_these) if request.param == "inline" else make_launcher(request.param)


@pytest.fixture
def spec(launcher: Launcher, tmp_path: Path) -> Spec:
    """``spec(name)``: a worker that behaves like that."""

    def make(name: str, **fields: Any) -> WorkerSpec:
        argv = ("worker", name)
        if launcher.name != "inline":
            script = tmp_path / f"{name}.py"
            script.write_text(textwrap.dedent(SCRIPTS[name]), "utf-8")
            argv = (sys.executable, str(script))
        return WorkerSpec(kind="test", argv=argv, **{"worker": "w1", **fields})

    return make


async def wait_for_output(handle: Handle, text: bytes) -> None:
    with anyio.fail_after(20):
        while text not in handle.tail(65536):
            await anyio.sleep(0.002)


async def end_of(launcher: Launcher, spec: WorkerSpec) -> Exit:
    async with launcher:
        handle = await launcher.start(spec)
        with anyio.fail_after(20):
            return await handle.exited()


def test_every_name_has_a_launcher_of_that_name(launcher: Launcher) -> None:
    assert launcher.name in BUILT_IN


async def test_exit_code_arrives(launcher: Launcher, spec: Spec) -> None:
    end = await end_of(launcher, spec("seven"))
    assert (end.reason, end.code, end.signal, end.clean) == (Reason.EXITED, 7, None, False)
    assert end.detail == "exited with code 7"


async def test_a_worker_that_raises_exits_with_one_and_says_what(launcher: Launcher, spec: Spec) -> None:
    end = await end_of(launcher, spec("fails"))
    assert (end.reason, end.code) == (Reason.EXITED, 1)
    assert b"KeyError: 'mine'" in end.output


async def test_signal_of_a_kill_arrives_for_all_waiters(launcher: Launcher, spec: Spec) -> None:
    seen: list[Exit] = []
    async with launcher:
        handle = await launcher.start(spec("waits"))
        await wait_for_output(handle, b"up")

        async def wait() -> None:
            seen.append(await handle.exited())

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(wait)
                handle.kill()
                handle.kill()
        handle.kill()
        handle.terminate()
        seen.append(await handle.exited())
    assert len(seen) == 4
    assert all(x is seen[0] for x in seen)
    assert (seen[0].reason, seen[0].signal, seen[0].detail) == (Reason.SIGNALLED, 9, "ended by SIGKILL")


async def test_terminate_is_a_request(launcher: Launcher, spec: Spec) -> None:
    async with launcher:
        handle = await launcher.start(spec("obeys"))
        await wait_for_output(handle, b"up")
        handle.terminate()
        with anyio.fail_after(20):
            assert (await handle.exited()).code == 5


async def test_output_is_kept_logged_and_written(
    launcher: Launcher, spec: Spec, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = LogFiles(folder=str(tmp_path / "logs"))
    with caplog.at_level(logging.INFO, "asyncmachine.node.output"):
        end = await end_of(launcher, spec("says", log_files=files))
    assert end.output == b"one\ntwo"
    assert [r.getMessage() for r in caplog.records] == ["w1: one", "w1: two"]
    assert (tmp_path / "logs" / "w1.log").read_bytes() == b"one\ntwo"


async def test_the_last_64_kib_of_a_flood_are_kept(launcher: Launcher, spec: Spec) -> None:
    end = await end_of(launcher, spec("floods"))
    assert end.output.endswith(b"line 19999\nthe end")
    assert len(end.output) == 64 * 1024


async def test_boot_channel_connects_both_ends_and_ends_with_the_worker(
    launcher: Launcher, spec: Spec
) -> None:
    async with launcher:
        handle = await launcher.start(spec("answers"))
        with handle.boot as boot, anyio.fail_after(20):
            await anyio.wait_readable(boot)
            assert boot.recv(10) == b"hello"
            boot.send(b"welcome")
            await anyio.wait_readable(boot)
            assert boot.recv(1) == b""
            assert (await handle.exited()).clean, handle.tail()


async def test_leaving_the_block_ends_what_is_left(launcher: Launcher, spec: Spec) -> None:
    async with launcher:
        handles = [await launcher.start(spec("waits")) for _ in range(2)]
    for handle in handles:
        assert (await handle.exited()).signal == 9


async def test_cancelling_ends_what_is_left(launcher: Launcher, spec: Spec) -> None:
    with anyio.CancelScope() as scope:
        async with launcher:
            handle = await launcher.start(spec("waits"))
            await wait_for_output(handle, b"up")
            scope.cancel()
            await anyio.sleep_forever()
    assert (await handle.exited()).signal == 9


async def test_start_outside_the_block_is_an_error(launcher: Launcher, spec: Spec) -> None:
    with pytest.raises(RuntimeError, match="inside"):
        await launcher.start(spec("seven"))
    async with launcher:
        with pytest.raises(RuntimeError, match="entered already"):
            await launcher.__aenter__()


async def test_no_descriptor_is_left(launcher: Launcher, spec: Spec) -> None:
    async with launcher:
        await (await launcher.start(spec("seven"))).exited()
        before = psutil.Process().num_fds()
        for _ in range(3):
            await (await launcher.start(spec("seven"))).exited()
        assert psutil.Process().num_fds() == before
