"""The contract of launchers (rules 1 to 7 in ``launchers/base.py``), with real processes."""

from __future__ import annotations

import errno
import logging
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import anyio
import psutil
import pytest

from asyncmachine.errors import LaunchError
from asyncmachine.node.config import LogFiles, Resources, WorkerSpec
from asyncmachine.node.launchers import process as process_module
from asyncmachine.node.launchers.base import Exit, Reason
from asyncmachine.node.launchers.process import ProcessHandle, ProcessLauncher

pytestmark = pytest.mark.anyio


def python(code: str, *args: str, **fields: object) -> WorkerSpec:
    argv = (sys.executable, "-c", textwrap.dedent(code), *args)
    return WorkerSpec(kind="test", worker="w1", argv=argv, **fields)  # type: ignore[arg-type]


async def run(spec: WorkerSpec) -> Exit:
    async with ProcessLauncher() as launcher:
        handle = await launcher.start(spec)
        with anyio.fail_after(20):
            return await handle.exited()


async def output_has(handle: ProcessHandle, text: bytes) -> None:
    """Wait until the worker has written *text*."""
    with anyio.fail_after(20):
        while text not in handle.tail(65536):
            await anyio.sleep(0.002)


SLEEP = "import signal\nprint('up', flush=True)\nsignal.pause()"


async def test_exit_code_arrives() -> None:
    end = await run(python("raise SystemExit(7)"))
    assert (end.reason, end.code, end.signal, end.clean) == (Reason.EXITED, 7, None, False)
    assert end.detail == "exited with code 7"
    assert end.max_rss > 1_000_000
    assert end.user + end.system > 0


async def test_signal_arrives_within_50_ms() -> None:
    async with ProcessLauncher() as launcher:
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
async def test_crash_is_named(name: str) -> None:
    code = """
        import os, resource, signal, sys
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    """
    end = await run(python(code, name))
    assert end.detail == f"ended by {name}"


async def test_all_waiters_get_the_same_exit() -> None:
    seen: list[Exit] = []
    async with ProcessLauncher() as launcher:
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


async def test_out_of_descriptors_is_a_launch_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> tuple[int, int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async with ProcessLauncher() as launcher:
        monkeypatch.setattr(process_module.os, "pipe", refuse)
        with pytest.raises(LaunchError, match="Too many open files"):
            await launcher.start(python("pass"))


async def test_flood_does_not_block_the_worker_and_the_end_is_kept() -> None:
    code = """
        import sys
        for i in range(400_000): sys.stdout.write(f'line {i}\\n')
        sys.stderr.write('the end')
    """
    end = await run(python(code))
    assert end.code == 0
    assert end.output.endswith(b"line 399999\nthe end")
    assert len(end.output) == 64 * 1024


async def test_output_before_a_crash_is_kept() -> None:
    end = await run(python("import os\nos.write(2, b'last words')\nos.abort()", resources=Resources()))
    assert end.output.endswith(b"last words")


async def test_lines_are_logged_with_their_worker(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "asyncmachine.node.output"):
        await run(python("print('one')\nprint('two\\x1b[31m', end='')"))
    assert [r.getMessage() for r in caplog.records] == ["w1: one", "w1: two\\x1b[31m"]


async def test_log_files(tmp_path: Path) -> None:
    files = LogFiles(folder=str(tmp_path / "logs"), max_bytes=1024, keep=2)
    await run(python("print('x' * 99, flush=True)\n" * 30, log_files=files))
    names = sorted(p.name for p in (tmp_path / "logs").iterdir())
    assert names[0] == "w1.log"
    assert set(names) <= {"w1.log", "w1.log.1", "w1.log.2"}
    assert (tmp_path / "logs" / "w1.log").stat().st_mode & 0o777 == 0o600


async def test_boot_channel_connects_both_ends() -> None:
    code = """
        from asyncmachine.node.launchers.child import inherit
        import os
        inherited = inherit()
        assert not [k for k in os.environ if k.startswith("ASYNCMACHINE_")], dict(os.environ)
        inherited.boot.setblocking(True)
        inherited.boot.sendall(b"hello")
        assert inherited.boot.recv(10) == b"welcome"
    """
    async with ProcessLauncher() as launcher:
        handle = await launcher.start(python(code))
        with handle.boot as boot, anyio.fail_after(20):
            await anyio.wait_readable(boot)
            assert boot.recv(10) == b"hello"
            boot.send(b"welcome")
            assert (await handle.exited()).clean, handle.tail()


async def test_boot_channel_ends_with_the_worker() -> None:
    async with ProcessLauncher() as launcher:
        handle = await launcher.start(python("pass"))
        with handle.boot as boot, anyio.fail_after(20):
            await anyio.wait_readable(boot)
            assert boot.recv(1) == b""
            await handle.exited()


async def test_nothing_of_ours_is_inherited_but_two_channels() -> None:
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
    async with ProcessLauncher() as launcher:
        first = await launcher.start(python(SLEEP))
        second = await launcher.start(python(code))
        end = await second.exited()
        first.kill()
    assert end.output.strip() == b"['/dev/null', 'pipe', 'pipe', 'pipe', 'socket']", (
        "stdin, output twice, and the channels"
    )


async def test_terminate_reaches_a_stopped_worker() -> None:
    async with ProcessLauncher() as launcher:
        handle = await launcher.start(python(SLEEP))
        await output_has(handle, b"up")
        os.kill(handle.pid, signal.SIGSTOP)
        handle.terminate()
        with anyio.fail_after(10):
            assert (await handle.exited()).signal == signal.SIGTERM


async def test_kill_ends_the_whole_group_and_may_be_repeated() -> None:
    code = """
        import subprocess
        child = subprocess.Popen(['sleep', '300'])
        print(child.pid, flush=True)
        child.wait()
    """
    async with ProcessLauncher() as launcher:
        handle = await launcher.start(python(code))
        await output_has(handle, b"\n")
        child = int(handle.tail())
        handle.kill()
        handle.kill()
        await handle.exited()
        handle.kill()
        handle.terminate()
    ended_within(child, 5)


async def test_children_do_not_outlive_a_worker_that_exits() -> None:
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


async def test_memory_is_reported_while_it_lives() -> None:
    async with ProcessLauncher() as launcher:
        handle = await launcher.start(python(SLEEP))
        await output_has(handle, b"up")
        assert (handle.memory() or 0) > 1_000_000
        handle.kill()
        await handle.exited()
        assert handle.memory() is None


async def test_leaving_the_block_ends_what_is_left() -> None:
    async with ProcessLauncher() as launcher:
        handles = [await launcher.start(python(SLEEP)) for _ in range(3)]
    for handle in handles:
        assert (await handle.exited()).signal == signal.SIGKILL


async def test_cancelling_reaps_what_is_left() -> None:
    with anyio.CancelScope() as scope:
        async with ProcessLauncher() as launcher:
            handle = await launcher.start(python(SLEEP))
            await output_has(handle, b"up")
            scope.cancel()
            await anyio.sleep_forever()
    assert (await handle.exited()).signal == signal.SIGKILL


async def test_a_failing_block_keeps_its_error() -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with ProcessLauncher() as launcher:
            await launcher.start(python(SLEEP))
            raise KeyError("mine")
    assert caught.group_contains(KeyError, match="mine")


async def test_without_pidfd_a_thread_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(process_module.os, "pidfd_open")
    assert (await run(python("raise SystemExit(4)"))).code == 4
    async with ProcessLauncher() as launcher:
        handle = await launcher.start(python(SLEEP))
        await output_has(handle, b"up")
        handle.terminate()
        assert (await handle.exited()).signal == signal.SIGTERM


async def test_start_outside_the_block_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="inside"):
        await ProcessLauncher().start(python("pass"))


async def test_on_orphan_kill_needs_the_main_thread() -> None:
    async with ProcessLauncher() as launcher:

        def elsewhere() -> None:
            with pytest.raises(LaunchError, match="main thread"):
                anyio.run(_start_in, launcher)

        await anyio.to_thread.run_sync(elsewhere)


async def _start_in(launcher: ProcessLauncher) -> None:
    await launcher.start(python("pass", on_orphan="kill"))


async def test_limits_are_in_force_before_user_code() -> None:
    code = """
        from asyncmachine.node.launchers.child import inherit
        import os, resource
        inherit()
        print(os.nice(0), *(resource.getrlimit(n)[0] for n in (resource.RLIMIT_NOFILE, resource.RLIMIT_AS)))
    """
    limits = Resources(nice=3, open_files=64, memory=1 << 32)
    end = await run(python(code, resources=limits))
    assert end.output.split() == [str(os.nice(0) + 3).encode(), b"64", str(1 << 32).encode()]


# -- orphans ----------------------------------------------------------------------------------

SUPERVISOR = """
import anyio, sys
from asyncmachine.node.config import WorkerSpec
from asyncmachine.node.launchers.process import ProcessLauncher

async def main():
    argv, on_orphan, drain = (sys.executable, "-c", sys.argv[1]), sys.argv[2], float(sys.argv[3])
    spec = WorkerSpec(kind="k", argv=argv, on_orphan=on_orphan, drain=drain)
    async with ProcessLauncher() as launcher:
        handle = await launcher.start(spec)
        while b"up" not in handle.tail():
            await anyio.sleep(0.002)
        print(handle.pid, flush=True)
        await handle.exited()

anyio.run(main)
"""

INHERIT = "from asyncmachine.node.launchers.child import inherit\ni = inherit()\n"


def orphan(worker: str, on_orphan: str, drain: float) -> tuple[int, float]:
    """Start a supervisor with this worker, kill -9 the supervisor, return the worker's pid and the time."""
    argv = [sys.executable, "-c", SUPERVISOR, worker, on_orphan, str(drain)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        ready, _, _ = select.select([supervisor.stdout], [], [], 20)
        assert ready, "the worker did not start"
        pid = int(supervisor.stdout.readline())
        supervisor.kill()
        supervisor.wait()
        return pid, time.perf_counter()


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
def test_orphan_to_be_killed_dies_at_once(body: str) -> None:
    gone_within(*orphan(INHERIT + body, "kill", 0), bound=5)


def test_orphan_to_finish_has_its_drain_time_and_no_more() -> None:
    worker, begin = orphan(INHERIT + "print('up', flush=True)\nwhile True: pass", "finish", 0.6)
    assert gone_within(worker, begin, bound=5) > 0.5


def test_orphan_to_finish_is_told_at_once_and_may_leave_early() -> None:
    body = INHERIT + "print('up', flush=True)\nimport anyio\nanyio.run(i.orphaned)"
    assert gone_within(*orphan(body, "finish", 30), bound=5) < 5


# -- leaks ------------------------------------------------------------------------------------


async def test_no_descriptor_thread_or_zombie_is_left() -> None:
    me = psutil.Process()
    async with ProcessLauncher() as launcher:
        await (await launcher.start(python("pass"))).exited()
        before = me.num_fds(), threading.active_count()
        async with anyio.create_task_group() as tasks:
            for number in range(8):

                async def one(code: int) -> None:
                    handle = await launcher.start(python(f"raise SystemExit({code})"))
                    assert (await handle.exited()).code == code

                tasks.start_soon(one, number)
        with pytest.raises(LaunchError):
            await launcher.start(WorkerSpec(kind="test", argv=("/nonexistent",)))
        assert (me.num_fds(), threading.active_count()) == before
        assert me.children() == []
