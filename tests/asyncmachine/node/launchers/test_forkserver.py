"""What only the launcher with a fork server does; the contract of all launchers: test_handle.py."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path

import anyio
import psutil
import pytest

from asyncmachine.errors import LaunchError
from asyncmachine.node.config import WorkerSpec
from asyncmachine.node.launchers import prefork
from asyncmachine.node.launchers.base import Reason
from asyncmachine.node.launchers.forkserver import ForkserverLauncher
from asyncmachine.node.launchers.handle import ProcessHandle

pytestmark = pytest.mark.anyio

SLEEP = "import signal\nprint('up', flush=True)\nsignal.pause()\n"


def module(folder: Path, name: str, code: str) -> WorkerSpec:
    (folder / f"{name}.py").write_text(code, "utf-8")
    return WorkerSpec(kind="test", worker="w1", argv=(sys.executable, "-m", name, "x", "y"), cwd=str(folder))


async def up(handle: ProcessHandle) -> None:
    with anyio.fail_after(20):
        while b"up" not in handle.tail():
            await anyio.sleep(0.002)


def ended(pid: int) -> None:
    """Wait for the end of a child without reaping it: that is for the launcher."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize(
    "argv",
    [
        ("/bin/true",),
        (sys.executable,),
        (sys.executable, "-c", "pass"),
        (sys.executable, "-m"),
        (sys.executable, "-u", "-m", "this"),
    ],
)
async def test_only_python_modules_and_scripts(argv: tuple[str, ...]) -> None:
    async with ForkserverLauncher() as launcher:
        with pytest.raises(LaunchError, match="use the process launcher for other commands"):
            await launcher.start(WorkerSpec(kind="test", argv=argv))


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    spec = WorkerSpec(kind="test", argv=(sys.executable, "-m", "this"), cwd=str(tmp_path / "nowhere"))
    async with ForkserverLauncher() as launcher:
        with pytest.raises(LaunchError, match=r"nowhere': No such file or directory \(errno 2\)"):
            await launcher.start(spec)


async def test_a_module_runs_as_python_would_run_it(tmp_path: Path) -> None:
    code = "import os, sys, other\nprint(__name__, sys.argv[1:], sys.path[0] == os.getcwd(), other.HERE)\n"
    (tmp_path / "other.py").write_text("HERE = 'beside it'\n", "utf-8")
    async with ForkserverLauncher() as launcher:
        handle = await launcher.start(module(tmp_path, "runs_like_this", code))
        end = await handle.exited()
    assert end.output == b"__main__ ['x', 'y'] True beside it\n"


async def test_no_such_module_is_an_exit_with_a_reason(tmp_path: Path) -> None:
    async with ForkserverLauncher() as launcher:
        spec = WorkerSpec(kind="test", argv=(sys.executable, "-m", "no_such_module_here"), cwd=str(tmp_path))
        end = await (await launcher.start(spec)).exited()
    assert (end.code, b"No module named no_such_module_here" in end.output) == (1, True)


async def test_what_is_preloaded_is_there_and_called_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "warm.py").write_text("import os\npids = []\ndef up(): pids.append(os.getpid())\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    code = (
        "import os, sys\nwas = 'warm' in sys.modules\nimport warm\nprint(was, warm.pids == [os.getppid()])\n"
    )
    spec = module(tmp_path, "looks", code)
    async with ForkserverLauncher(["warm:up", "no_such_module_at_all"]) as launcher:
        ends = [await (await launcher.start(spec)).exited() for _ in range(2)]
    assert [end.output for end in ends] == [b"True True\n"] * 2


async def test_a_server_that_was_begun_before(tmp_path: Path) -> None:
    server = prefork.launch(())
    async with ForkserverLauncher(server=server) as launcher:
        handle = await launcher.start(module(tmp_path, "says", "import os\nprint(os.getppid())\n"))
        end = await handle.exited()
    assert int(end.output) == server.process.pid
    assert server.process.returncode is not None, "it does not outlive the block"


async def test_the_environment_is_that_of_the_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ForkserverLauncher() as launcher:
        await (await launcher.start(module(tmp_path, "nothing", ""))).exited()
        monkeypatch.setenv("SET_LATER", "1")  # the server was started without it
        code = "import os\nprint(os.environ['SET_LATER'], os.environ['LARGE'] == 'x' * 400_000)\n"
        spec = module(tmp_path, "reads", code)
        large = WorkerSpec(kind="test", argv=spec.argv, cwd=spec.cwd, env={"LARGE": "x" * 400_000})
        end = await (await launcher.start(large)).exited()
    assert end.output == b"1 True\n"


async def test_without_its_server_a_worker_goes_on_and_the_next_has_a_new_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = module(tmp_path, "sleeps", SLEEP)
    async with ForkserverLauncher() as launcher:
        first = await launcher.start(spec)
        await up(first)
        server = psutil.Process(first.pid).parent()
        assert server is not None
        server.send_signal(signal.SIGKILL)
        ended(server.pid)
        assert psutil.pid_exists(first.pid)
        with caplog.at_level(logging.WARNING):
            second = await launcher.start(spec)
        assert "the fork server is gone (exit code -9); starting another" in caplog.text
        await up(second)
        first.terminate()
        with anyio.fail_after(10):
            end = await first.exited()
        assert (end.reason, "the fork server is gone" in end.detail) == (Reason.UNKNOWN, True)
        second.terminate()
        assert (await second.exited()).signal == signal.SIGTERM


async def test_a_server_that_dies_while_it_is_asked_is_a_launch_error(tmp_path: Path) -> None:
    spec = module(tmp_path, "sleeps", SLEEP)
    async with ForkserverLauncher() as launcher:
        first = await launcher.start(spec)
        server = psutil.Process(first.pid).parent()
        assert server is not None
        server.send_signal(signal.SIGSTOP)
        async with anyio.create_task_group() as tasks:

            async def fails() -> None:
                with pytest.raises(LaunchError, match="the fork server is gone"):
                    await launcher.start(spec)

            tasks.start_soon(fails)
            await anyio.wait_all_tasks_blocked()  # it waits for the answer
            server.send_signal(signal.SIGKILL)
        first.kill()
        await first.exited()


async def test_a_worker_that_forks_again_is_no_server(tmp_path: Path) -> None:
    code = "import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\nprint('one', flush=True)\n"
    async with ForkserverLauncher() as launcher:
        end = await (await launcher.start(module(tmp_path, "forks", code))).exited()
        assert end.output == b"one\none\n"
        assert os.getpid() == psutil.Process().pid
