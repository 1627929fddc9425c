"""The contract of launchers (rules 1 to 7 in ``launchers/base.py``), with real processes, for each."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import psutil
import pytest

from asyncmachine.errors import LaunchError
from asyncmachine.node.config import LogFiles, Resources, WorkerSpec
from asyncmachine.node.launchers import handle as handle_module
from asyncmachine.node.launchers.base import Exit, Reason
from asyncmachine.node.launchers.forkserver import ForkserverLauncher
from asyncmachine.node.launchers.handle import ProcessHandle
from asyncmachine.node.launchers.process import ProcessLauncher

pytestmark = pytest.mark.anyio

LauncherKind: TypeAlias = "type[ProcessLauncher | ForkserverLauncher]"
Python: TypeAlias = Callable[..., WorkerSpec]
Run: TypeAlias = Callable[[WorkerSpec], Awaitable[Exit]]
Orphan: TypeAlias = Callable[[str, str, float], tuple[int, float]]

SLEEP = "import signal\nprint('up', flush=True)\nsignal.pause()"

SUPERVISOR = """
import anyio, sys
from asyncmachine.node.config import WorkerSpec
from asyncmachine.node.launchers.{module} import {launcher}

async def main():
    argv, on_orphan, drain = (sys.executable, sys.argv[1]), sys.argv[2], float(sys.argv[3])
    spec = WorkerSpec(kind="k", argv=argv, on_orphan=on_orphan, drain=drain)
    async with {launcher}() as launcher:
        handle = await launcher.start(spec)
        while b"up" not in handle.tail():
            await anyio.sleep(0.002)
        print(handle.pid, flush=True)
        await handle.exited()

anyio.run(main)
"""


@pytest.fixture(params=[ProcessLauncher, ForkserverLauncher], ids=["process", "forkserver"])
def launcher_kind(request: pytest.FixtureRequest) -> LauncherKind:
    """Every launcher of processes: a class, to be called without arguments."""
    kind: LauncherKind = request.param
    return kind


@pytest.fixture
def python(tmp_path: Path) -> Python:
    """``python(code, *args, **fields)``: the spec of a worker that runs this code."""
    numbers = itertools.count()

    def spec(code: str, *args: str, **fields: Any) -> WorkerSpec:
        script = tmp_path / f"worker{next(numbers)}.py"
        script.write_text(textwrap.dedent(code), "utf-8")
        argv = (sys.executable, str(script), *args)
        return WorkerSpec(**{"kind": "test", "worker": "w1", "argv": argv, **fields})

    return spec


@pytest.fixture
def run(launcher_kind: LauncherKind) -> Run:
    """``await run(spec)``: how that worker ends."""

    async def start(spec: WorkerSpec) -> Exit:
        async with launcher_kind() as launcher:
            handle = await launcher.start(spec)
            with anyio.fail_after(20):
                return await handle.exited()

    return start


async def output_has(handle: ProcessHandle, text: bytes) -> None:
    """Wait until the worker has written *text*."""
    with anyio.fail_after(20):
        while text not in handle.tail(65536):
            await anyio.sleep(0.002)


@pytest.fixture
def orphan(launcher_kind: LauncherKind, tmp_path: Path) -> Orphan:
    """Start a supervisor with a worker, kill -9 the supervisor; the worker's pid, and the time."""
    module = launcher_kind.__module__.rpartition(".")[2]
    supervisor = SUPERVISOR.format(module=module, launcher=launcher_kind.__name__)

    def make(worker: str, on_orphan: str, drain: float) -> tuple[int, float]:
        script = tmp_path / "orphan.py"
        script.write_text(worker, "utf-8")
        argv = [sys.executable, "-c", supervisor, str(script), on_orphan, str(drain)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            ready, _, _ = select.select([process.stdout], [], [], 20)
            assert ready, "the worker did not start"
            pid = int(process.stdout.readline())
            process.kill()
            process.wait()
            return pid, time.perf_counter()

    return make


async def test_exit_code_arrives(python: Python, run: Run) -> None:
    end = await run(python("raise SystemExit(7)"))
    assert (end.reason, end.code, end.signal, end.clean) == (Reason.EXITED, 7, None, False)
    assert end.detail == "exited with code 7"
    assert end.max_rss > 1_000_000
    assert end.user + end.system > 0


async def test_signal_arrives_within_50_ms(launcher_kind: LauncherKind, python: Python) -> None:
    async with launcher_kind() as launcher:
        handle = await launcher.start(python(SLEEP))
        await output_has(handle, b"up")
        begin = time.perf_counter()
        os.kill(handle.pid, signal.SIGKILL)
        end = await handle.exited()
        took = time.perf_counter() - begin
    assert (end.reason, end.code, end.signal) == (Reason.SIGNALLED, None, 9)
    assert end.detail == "ended by SIGKILL"
    assert took < 0.25, "generous, for a machine that does other things"


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS"])
async def test_crash_is_named(python: Python, run: Run, name: str) -> None:
    code = """
        import os, resource, signal, sys
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    """
    end = await run(python(code, name))
    assert end.detail == f"ended by {name}"


async def test_all_waiters_get_the_same_exit(launcher_kind: LauncherKind, python: Python) -> None:
    seen: list[Exit] = []
    async with launcher_kind() as launcher:
        handle = await launcher.start(python("raise SystemExit(3)"))

        async def wait() -> None:
            seen.append(await handle.exited())

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(wait)
        seen.append(await handle.exited())
        assert launcher.handles == ()
    assert len(seen) == 6
    assert all(x is seen[0] for x in seen)


async def test_out_of_descriptors_is_a_launch_error(
    launcher_kind: LauncherKind, python: Python, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> tuple[int, int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async with launcher_kind() as launcher:
        monkeypatch.setattr(handle_module.os, "pipe", refuse)
        with pytest.raises(LaunchError, match="Too many open files"):
            await launcher.start(python("pass"))


async def test_flood_does_not_block_the_worker_and_the_end_is_kept(python: Python, run: Run) -> None:
    code = """
        import sys
        for i in range(400_000): sys.stdout.write(f'line {i}\\n')
        sys.stdout.flush()
        sys.stderr.write('the end')
    """
    end = await run(python(code))
    assert end.code == 0
    assert end.output.endswith(b"line 399999\nthe end")
    assert len(end.output) == 64 * 1024


async def test_output_before_a_crash_is_kept(python: Python, run: Run) -> None:
    end = await run(python("import os\nos.write(2, b'last words')\nos.abort()", resources=Resources()))
    assert end.output.endswith(b"last words")


async def test_lines_are_logged_with_their_worker(
    python: Python, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "asyncmachine.node.output"):
        await run(python("print('one')\nprint('two\\x1b[31m', end='')"))
    assert [r.getMessage() for r in caplog.records] == ["w1: one", "w1: two\\x1b[31m"]


async def test_log_files(python: Python, run: Run, tmp_path: Path) -> None:
    files = LogFiles(folder=str(tmp_path / "logs"), max_bytes=1024, keep=2)
    await run(python("print('x' * 99, flush=True)\n" * 30, log_files=files))
    names = sorted(p.name for p in (tmp_path / "logs").iterdir())
    assert names[0] == "w1.log"
    assert set(names) <= {"w1.log", "w1.log.1", "w1.log.2"}
    assert (tmp_path / "logs" / "w1.log").stat().st_mode & 0o777 == 0o600


async def test_boot_channel_connects_both_ends(launcher_kind: LauncherKind, python: Python) -> None:
    code = """
        from asyncmachine.node.launchers.child import inherit
        import os
        inherited = inherit()
        assert not [k for k in os.environ if k.startswith("ASYNCMACHINE_")], dict(os.environ)
        inherited.boot.setblocking(True)
        inherited.boot.sendall(b"hello")
        assert inherited.boot.recv(10) == b"welcome"
    """
    async with launcher_kind() as launcher:
        handle = await launcher.start(python(code))
        with handle.boot as boot, anyio.fail_after(20):
            await anyio.wait_readable(boot)
            assert boot.recv(10) == b"hello"
            boot.send(b"welcome")
            assert (await handle.exited()).clean, handle.tail()


async def test_boot_channel_ends_with_the_worker(launcher_kind: LauncherKind, python: Python) -> None:
    async with launcher_kind() as launcher:
        handle = await launcher.start(python("pass"))
        with handle.boot as boot, anyio.fail_after(20):
            await anyio.wait_readable(boot)
            assert boot.recv(1) == b""
            await handle.exited()


async def test_nothing_of_ours_is_inherited_but_two_channels(
    launcher_kind: LauncherKind, python: Python
) -> None:
    code = """
        import os
        found = []
        for number in os.listdir('/proc/self/fd'):
            try:
                found.append(os.readlink(f'/proc/self/fd/{number}').split(':')[0])
            except OSError:
                pass  # the listing's own
        print(sorted(found))
    """
    async with launcher_kind() as launcher:
        first = await launcher.start(python(SLEEP))
        second = await launcher.start(python(code))
        end = await second.exited()
        first.kill()
    assert end.output.strip() == b"['/dev/null', 'pipe', 'pipe', 'pipe', 'socket']", (
        "stdin, output twice, and the channels"
    )


async def test_terminate_reaches_a_stopped_worker(launcher_kind: LauncherKind, python: Python) -> None:
    async with launcher_kind() as launcher:
        handle = await launcher.start(python(SLEEP))
        await output_has(handle, b"up")
        os.kill(handle.pid, signal.SIGSTOP)
        handle.terminate()
        with anyio.fail_after(10):
            assert (await handle.exited()).signal == signal.SIGTERM


async def test_kill_ends_the_whole_group_and_may_be_repeated(
    launcher_kind: LauncherKind, python: Python
) -> None:
    code = """
        import subprocess
        child = subprocess.Popen(['sleep', '300'])
        print(child.pid, flush=True)
        child.wait()
    """
    async with launcher_kind() as launcher:
        handle = await launcher.start(python(code))
        await output_has(handle, b"\n")
        child = int(handle.tail())
        handle.kill()
        handle.kill()
        await handle.exited()
        handle.kill()
        handle.terminate()
    ended_within(child, 5)


async def test_children_do_not_outlive_a_worker_that_exits(python: Python, run: Run) -> None:
    end = await run(python("import subprocess\nprint(subprocess.Popen(['sleep', '300']).pid)"))
    assert end.code == 0
    ended_within(int(end.output), 5)


def ended_within(pid: int, bound: float) -> None:
    """Fails, and kills the process, if it has not ended within *bound* seconds. Need not be our child."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([pidfd], [], [], bound)[0]:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            pytest.fail(f"pid {pid} is still there after {bound} s")
    finally:
        os.close(pidfd)


async def test_memory_is_reported_while_it_lives(launcher_kind: LauncherKind, python: Python) -> None:
    async with launcher_kind() as launcher:
        handle = await launcher.start(python(SLEEP))
        await output_has(handle, b"up")
        assert (handle.memory() or 0) > 1_000_000
        handle.kill()
        await handle.exited()
        assert handle.memory() is None


async def test_leaving_the_block_ends_what_is_left(launcher_kind: LauncherKind, python: Python) -> None:
    async with launcher_kind() as launcher:
        handles = [await launcher.start(python(SLEEP)) for _ in range(3)]
    for handle in handles:
        assert (await handle.exited()).signal == signal.SIGKILL


async def test_cancelling_reaps_what_is_left(launcher_kind: LauncherKind, python: Python) -> None:
    with anyio.CancelScope() as scope:
        async with launcher_kind() as launcher:
            handle = await launcher.start(python(SLEEP))
            await output_has(handle, b"up")
            scope.cancel()
            await anyio.sleep_forever()
    assert (await handle.exited()).signal == signal.SIGKILL


async def test_a_failing_block_keeps_its_error(launcher_kind: LauncherKind, python: Python) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with launcher_kind() as launcher:
            await launcher.start(python(SLEEP))
            raise KeyError("mine")
    assert caught.group_contains(KeyError, match="mine")


async def test_start_outside_the_block_is_an_error(launcher_kind: LauncherKind, python: Python) -> None:
    with pytest.raises(RuntimeError, match="inside"):
        await launcher_kind().start(python("pass"))


async def test_limits_are_in_force_before_user_code(python: Python, run: Run) -> None:
    code = """
        from asyncmachine.node.launchers.child import inherit
        import os, resource
        inherit()
        print(os.nice(0), *(resource.getrlimit(n)[0] for n in (resource.RLIMIT_NOFILE, resource.RLIMIT_AS)))
    """
    limits = Resources(nice=3, open_files=64, memory=1 << 32)
    end = await run(python(code, resources=limits))
    assert end.output.split() == [str(os.nice(0) + 3).encode(), b"64", str(1 << 32).encode()]


async def test_processor_time_is_limited(python: Python, run: Run) -> None:
    code = "from asyncmachine.node.launchers.child import inherit\ninherit()\nwhile True: pass"
    end = await run(python(code, resources=Resources(cpu=1)))
    assert end.signal == signal.SIGXCPU
    assert end.user + end.system < 4


async def test_a_worker_inherits_only_what_is_allowed(
    launcher_kind: LauncherKind, python: Python, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AM_TEST_TOKEN", "secret")
    monkeypatch.setenv("AM_TEST_OPEN", "yes")
    code = "import os; print(sorted(n for n in os.environ if n.startswith('AM_TEST')))"
    allowed = ("PATH", "PYTHON*", "AM_TEST_O*")
    end = await run(python(code, env={"AM_TEST_OWN": "1"}, env_allow=allowed))
    assert end.output == b"['AM_TEST_OPEN', 'AM_TEST_OWN']\n"


# -- orphans ----------------------------------------------------------------------------------

INHERIT = "from asyncmachine.node.launchers.child import inherit\ni = inherit()\n"


def gone_within(worker: int, begin: float, bound: float) -> float:
    """Seconds from *begin* to the end of the worker; kills it, and fails, if that takes too long."""
    ended_within(worker, bound)
    return time.perf_counter() - begin


@pytest.mark.parametrize(
    "body",
    [
        "print('up', flush=True)\nimport signal; signal.pause()",
        "print('up', flush=True)\nwhile True: pass",
        "print('up', flush=True)\nimport os, signal; os.kill(os.getpid(), signal.SIGSTOP); signal.pause()",
    ],
    ids=["waiting", "spinning", "stopped"],
)
def test_orphan_to_be_killed_dies_at_once(orphan: Orphan, body: str) -> None:
    gone_within(*orphan(INHERIT + body, "kill", 0), bound=5)


def test_orphan_to_finish_has_its_drain_time_and_no_more(orphan: Orphan) -> None:
    worker, begin = orphan(INHERIT + "print('up', flush=True)\nwhile True: pass", "finish", 0.6)
    assert gone_within(worker, begin, bound=5) > 0.5


def test_orphan_to_finish_is_told_at_once_and_may_leave_early(orphan: Orphan) -> None:
    body = INHERIT + "print('up', flush=True)\nimport anyio\nanyio.run(i.orphaned)"
    assert gone_within(*orphan(body, "finish", 30), bound=5) < 5


# -- leaks ------------------------------------------------------------------------------------


async def test_no_descriptor_thread_or_zombie_is_left(launcher_kind: LauncherKind, python: Python) -> None:
    me = psutil.Process()
    async with launcher_kind() as launcher:
        await (await launcher.start(python("pass"))).exited()
        before = me.num_fds(), threading.active_count(), me.children(recursive=True)
        async with anyio.create_task_group() as tasks:
            for number in range(8):

                async def one(code: int) -> None:
                    handle = await launcher.start(python(f"raise SystemExit({code})"))
                    assert (await handle.exited()).code == code

                tasks.start_soon(one, number)
        with pytest.raises(LaunchError):
            await launcher.start(WorkerSpec(kind="test", argv=("/nonexistent",)))
        assert (me.num_fds(), threading.active_count(), me.children(recursive=True)) == before
    assert me.children() == []
