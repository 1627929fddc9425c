from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from amstates.worker import WORKER_SCHEMA
from asyncmachine.errors import LaunchError
from asyncmachine.node.bootstrap import WorkerAddress, report_address
from asyncmachine.node.config import PoolConfig, WorkerSpec
from asyncmachine.node.launchers.base import Exit, Reason
from asyncmachine.node.member import PoolMember

pytestmark = pytest.mark.anyio


class Watched:
    """A member, and how it ended."""

    def __init__(self, launcher: Any, folder: str, config: PoolConfig) -> None:
        argv = (
            "worker",
            "--id",
            "w1",
            "--kind",
            "test",
            "--run-dir",
            folder,
            "--drain",
            "5",
            "--heartbeat",
            "2",
        )
        self.launcher = launcher
        self.changes = 0
        self.exit: Exit | None = None
        self.ended = anyio.Event()
        self._moved = anyio.Event()
        spec = WorkerSpec(kind="test", argv=argv, worker="w1")
        self.member = PoolMember(spec, launcher, WORKER_SCHEMA, config, self._changed)

    def _changed(self, member: PoolMember) -> None:
        assert member is self.member
        self.changes += 1
        self._moved.set()
        self._moved = anyio.Event()

    async def live(self) -> None:
        self.exit = await self.member.live()
        self.ended.set()

    @property
    def hand(self) -> Any:
        return self.launcher.hands["w1"]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Until *holds*, asked only when the member says that something has changed."""
        while not holds():
            await self._moved.wait()

    async def phase(self, phase: str) -> None:
        await self.until(lambda: self.member.phase() == phase)


@asynccontextmanager
async def watched(launcher: Any, folder: str, grace: float = 1.0) -> AsyncIterator[Watched]:
    with anyio.fail_after(10):
        async with launcher, anyio.create_task_group() as tasks:
            member = Watched(launcher, folder, PoolConfig(min=1, grace=grace))
            tasks.start_soon(member.live)
            yield member
            member.member.kill()
            await member.ended.wait()


def address(**changes: Any) -> WorkerAddress:
    good = {
        "worker": "w1",
        "kind": "test",
        "digest": WORKER_SCHEMA.digest,
        "pid": 1,
        "private": "/nowhere/w1.sock",
        "host": "127.0.0.1",
        "port": 4000,
    }
    return WorkerAddress(**{**good, **changes})


def reporting(said: WorkerAddress) -> Any:
    """A worker that reports this, then does nothing."""

    async def life(hand: Any) -> int:
        await report_address(hand.there, said)
        await anyio.sleep_forever()
        return 0

    return life


async def test_its_phases(launcher: Any, run_dir: str) -> None:
    go = anyio.Event()

    async def work(value: Any) -> Any:
        await go.wait()
        return value

    async with watched(launcher(work), run_dir) as it:
        member = it.member
        assert member.phase() == "spawning"
        assert (member.pid, member.jobs()) == (0, 0)
        await it.until(lambda: member.handle is not None)
        assert member.phase() == "booting"
        await it.phase("idle")
        assert member.pid == it.hand.pid
        assert member.address is not None
        assert member.mirror is not None
        machine = it.hand.worker.machine
        machine.add(["ClientConnected", "Provided"])
        await it.phase("leased")
        machine.add("WorkRequested", id=1, input=b"\x01")
        await member.mirror.when("Working")
        assert member.phase() == "busy"
        assert member.jobs() == 1
        member.drain()
        await it.phase("draining")
        assert not it.ended.is_set()
        go.set()
        await it.ended.wait()
        assert it.exit is not None
        assert it.exit.clean
        assert member.fault == ""
        assert it.hand.asked == 0


async def test_mere_work_changes_nothing(launcher: Any, run_dir: str) -> None:
    async with watched(launcher(), run_dir) as it:
        await it.phase("idle")
        machine = it.hand.worker.machine
        machine.add(["ClientConnected", "Provided"])
        await it.phase("leased")
        before = it.changes
        mirror = it.member.mirror
        assert mirror is not None
        for count in range(1, 4):
            machine.add("WorkRequested", id=count, input=b"\x01")
            await mirror.when_tick("Working", 2 * count)
        assert it.changes == before
        assert it.member.jobs() == 3


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"worker": "w2"}, "says that it is worker w2 of kind 'test'"),
        ({"kind": "other"}, "says that it is worker w1 of kind 'other'"),
        ({"digest": "0" * 64}, f"schema {'0' * 64}"),
    ],
)
async def test_a_worker_that_is_not_the_one_that_was_started(
    launcher: Any, run_dir: str, changes: dict[str, str], says: str
) -> None:
    workers = launcher()
    workers.life = reporting(address(**changes))
    async with watched(workers, run_dir, grace=0.01) as it:
        await it.ended.wait()
        assert says in it.member.fault
        assert it.member.fault.startswith("the process started as worker w1 of kind 'test' and schema ")
        assert it.member.phase() == "booting"
        assert it.hand.killed


async def test_a_worker_that_hangs_up_on_the_bootstrap_channel(launcher: Any, run_dir: str) -> None:
    workers = launcher()

    async def life(hand: Any) -> int:
        hand.there.close()
        await anyio.sleep_forever()
        return 0

    workers.life = life
    async with watched(workers, run_dir, grace=0.01) as it:
        await it.ended.wait()
        assert it.member.fault == "the worker closed its bootstrap channel before it reported its address"
        assert it.member.address is None
        assert it.hand.killed


async def test_a_worker_whose_endpoint_is_not_there(launcher: Any, run_dir: str) -> None:
    workers = launcher()
    workers.life = reporting(address(private=f"{run_dir}/none.sock"))
    async with watched(workers, run_dir, grace=0.01) as it:
        await it.ended.wait()
        assert "cannot connect" in it.member.fault
        assert it.member.mirror is None
        assert it.hand.killed


async def test_a_process_that_stays_after_its_session_is_killed(launcher: Any, run_dir: str) -> None:
    workers = launcher()

    async def stays(hand: Any) -> int:
        await workers.serve(hand)
        await anyio.sleep_forever()
        return 0

    workers.life = stays
    async with watched(workers, run_dir, grace=0.02) as it:
        await it.phase("idle")
        it.hand.worker.orphaned()
        await it.ended.wait()
        assert it.member.fault == "its session ended, but it was still there 0.02 s later"
        assert it.exit is not None
        assert it.exit.reason == Reason.SIGNALLED


async def test_a_process_that_goes_soon_after_its_session_is_not(launcher: Any, run_dir: str) -> None:
    async with watched(launcher(), run_dir, grace=5) as it:
        await it.phase("idle")
        it.hand.worker.orphaned()
        await it.ended.wait()
        assert it.exit is not None
        assert (it.exit.code, it.member.fault, it.hand.killed) == (0, "", False)


async def test_a_launch_that_fails(launcher: Any, run_dir: str) -> None:
    workers = launcher()
    workers.error = LaunchError("no such command")
    async with workers:
        member = Watched(workers, run_dir, PoolConfig(min=1)).member
        with pytest.raises(LaunchError, match="no such command"):
            await member.live()
        assert member.phase() == "spawning"
        member.drain()
        member.stop()
        member.kill()


async def test_a_worker_that_is_not_connected_is_asked_by_signal(launcher: Any, run_dir: str) -> None:
    workers = launcher()

    async def sits(hand: Any) -> int:
        await anyio.sleep_forever()
        return 0

    workers.life = sits
    async with watched(workers, run_dir) as it:
        await it.until(lambda: it.member.handle is not None)
        it.member.drain()
        assert it.hand.asked == 1
        it.member.stop()
        assert it.hand.asked == 3


async def test_nobody_is_left_behind_when_it_is_cancelled(launcher: Any, run_dir: str) -> None:
    workers = launcher()
    async with workers:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                it = Watched(workers, run_dir, PoolConfig(min=1))
                tasks.start_soon(it.live)
                await it.phase("idle")
                tasks.cancel_scope.cancel()
        assert it.hand.gone
        assert it.exit is None
