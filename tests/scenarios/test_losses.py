"""Processes that vanish, stop or are told to go, while there is work."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import anyio
import pytest

from asyncmachine.errors import WorkerLost
from asyncmachine.node.client import NodeClient
from asyncmachine.node.fleet import FleetConfig

pytestmark = pytest.mark.anyio

CLIENT = """
import sys, anyio
from asyncmachine.node.client import NodeClient

async def main():
    async with NodeClient([sys.argv[1]], kind=sys.argv[2]) as client:
        await client.call("gate client")

anyio.run(main)
"""


async def test_a_killed_worker_takes_the_job_it_was_at_and_no_other(lab: Any) -> None:
    with anyio.fail_after(30):
        async with lab.pool("gate", min=2) as pool, lab.client(pool) as client:
            inputs = ["gate", *(f"job {i}" for i in range(40))]
            config = FleetConfig(workers=2, depth=4)
            outcomes = []
            async with client.map(inputs, config=config) as run:
                pid = await first_gate(lab, run, outcomes)
                (member,) = [m for m in pool.members.values() if m.pid == pid]
                await member.mirror.when("Working")  # the supervisor has heard of it, so it can report it
                os.kill(pid, signal.SIGKILL)
                outcomes += [outcome async for outcome in run]
            assert sorted(o.index for o in outcomes) == list(range(len(inputs)))
            (lost,) = [o for o in outcomes if o.error is not None]
            assert lost.index == 0
            assert isinstance(lost.error, WorkerLost)
            assert f"(pid {pid}) ended by SIGKILL" in str(lost.error)
            report = lost.error.report
            assert (report.reason, report.signal, report.pid) == ("signalled", 9, pid)
            assert (report.worker, report.phase, report.client) == (lost.worker, "busy", client.id)
            assert report.max_rss > 1_000_000
            assert report.user > 0
            assert {"Working", "ClientConnected"} <= set(report.states)
            assert await client.exits() == (pool.exits.of(lost.worker),)
            assert run.lost == (lost.worker,)
            await pool.machine.when("PoolReady", "PoolNormalized")
            assert pool.lost == 1
            assert pool.started == 3


async def first_gate(lab: Any, run: Any, outcomes: list[Any]) -> int:
    """Start the map by asking for its first outcome; the pid of the worker at the gate."""
    outcomes.append(await anext(run))
    return await lab.started("gate")


async def test_sigterm_to_a_busy_worker_loses_nothing(lab: Any) -> None:
    with anyio.fail_after(30):
        async with lab.pool("gate", min=2, drain=10.0) as pool, lab.client(pool) as client:
            inputs = ["gate", *(f"job {i}" for i in range(40))]
            outcomes = []
            async with client.map(inputs, config=FleetConfig(workers=2, depth=4)) as run:
                pid = await first_gate(lab, run, outcomes)
                (member,) = [m for m in pool.members.values() if m.pid == pid]
                os.kill(pid, signal.SIGTERM)
                await member.mirror.when("Draining")
                lab.open("gate")
                outcomes += [outcome async for outcome in run]
                exit_ = await member.handle.exited()
            assert sorted(o.index for o in outcomes) == list(range(len(inputs)))
            assert [o.error for o in outcomes if o.error is not None] == []
            assert (exit_.code, pool.lost, run.lost) == (0, 0, ())


async def test_a_stopped_worker_is_not_offered_then_killed_and_replaced(lab: Any) -> None:
    with anyio.fail_after(30):
        async with lab.pool("double", min=2, heartbeat=0.2, heartbeat_misses=3) as pool:
            first = next(iter(pool.members.values()))
            os.kill(first.pid, signal.SIGSTOP)
            await lab.until(
                lambda: not pool.view.workers[first.id].healthy(anyio.current_time(), pool.config)
            )
            async with lab.client(pool) as client:
                assert await client.call(1) == 2  # by the other one
                await lab.gone(first.pid)
                await pool.machine.when("PoolReady", "PoolNormalized")
                assert first.id not in pool.members
                assert pool.machine.tick("KillingWorker") == 2
                assert pool.lost == 1


async def test_a_client_that_is_killed_gives_its_worker_back(lab: Any) -> None:
    with anyio.fail_after(30):
        async with lab.pool("gate", min=2) as pool, lab.client(pool) as other:
            stranger = await anyio.open_process(
                [sys.executable, "-c", CLIENT, pool.address, pool.kind], cwd=lab.folder
            )
            async with stranger:
                pid = await lab.started("gate client")
                (member,) = [m for m in pool.members.values() if m.pid == pid]
                assert await other.call("before") == "before"
                stranger.kill()
                await stranger.wait()
            await member.mirror.when_not("ClientConnected")
            assert await other.call("meanwhile") == "meanwhile"
            assert pool.view.workers[member.id].phase != "idle", "its thread is still at the old job"
            lab.open("gate client")
            await member.mirror.when("Idle")
            await lab.until(lambda: not pool.desk.holds(member.id))
            assert await other.call("after") == "after"
            assert (pool.lost, pool.started) == (0, 2)


async def test_a_client_that_is_killed_cancels_its_async_job(lab: Any) -> None:
    with anyio.fail_after(30):
        async with lab.pool("async_gate") as pool:
            stranger = await anyio.open_process(
                [sys.executable, "-c", CLIENT, pool.address, pool.kind], cwd=lab.folder
            )
            async with stranger:
                await lab.started("gate client")
                stranger.kill()
                await stranger.wait()
            await lab.until((lab.folder / "gate client.cancelled").exists)
            async with lab.client(pool) as client:
                assert await client.call("next") == "next"
            assert pool.lost == 0


async def test_workers_of_a_killed_supervisor_end(lab: Any) -> None:
    """The idle one at once; the one at work has its drain time, and its client gets the result."""
    lab.left_by_a_kill = True
    with anyio.fail_after(40):
        command, address = await lab.supervisor("gate", "--min", "2", "--warm", "0", "--max", "2")
        results: list[Any] = []

        async def ask(client: NodeClient) -> None:
            results.append(await client.call("gate"))

        async with NodeClient([address], kind="jobs:gate") as client, anyio.create_task_group() as tasks:
            tasks.start_soon(ask, client)
            busy = await lab.started("gate")
            (idle,) = [w.pid for w in command.workers() if w.pid != busy]
            command.signal(signal.SIGKILL)
            assert await command.exit() == -signal.SIGKILL
            await lab.gone(idle, within=3)
            assert lab.processes() == [busy]
            lab.open("gate")
            await lab.gone(busy, within=3)
        assert results == ["gate"]


async def test_a_worker_without_supervisor_has_its_drain_time_and_no_more(lab: Any) -> None:
    lab.left_by_a_kill = True
    program = lab.folder / "own_supervisor.py"
    program.write_text(
        "import sys, anyio\n"
        "from asyncmachine.cli.pools import function_pool\n"
        "from asyncmachine.node.config import PoolConfig\n"
        "async def main():\n"
        "    async with function_pool('jobs:gate', config=PoolConfig(min=1, max=1, drain=0.5)) as pool:\n"
        "        print(pool.address, flush=True)\n"
        "        await anyio.sleep_forever()\n"
        "anyio.run(main)\n"
    )
    env = {**os.environ, "TMPDIR": str(lab.temp)}
    with anyio.fail_after(30):
        process = await anyio.open_process(
            [sys.executable, program.name], cwd=lab.folder, env=env, stderr=None
        )
        async with process:
            assert process.stdout is not None
            address = (await process.stdout.receive()).decode().strip()
            async with NodeClient([address], kind="jobs:gate") as client, anyio.create_task_group() as tasks:
                tasks.start_soon(kill_when_started, lab, process)
                with pytest.raises(WorkerLost):
                    await client.call("gate")
            await process.wait()
    assert lab.processes() == []


async def kill_when_started(lab: Any, process: Any) -> None:
    worker = await lab.started("gate")
    process.kill()
    await lab.gone(worker, within=3)
