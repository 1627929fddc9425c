"""From an empty machine to delivered results and back, in the order in which the parts meet."""

from __future__ import annotations

import os
import signal
from typing import Any

import anyio
import pytest

from amstates.worker import WORKER_SCHEMA
from asyncmachine.errors import WorkError
from asyncmachine.node.args import OK, Answer, WorkResult, decode_value, encode_value
from asyncmachine.node.fleet import FleetConfig, Outcome
from asyncmachine.rpc.client import Client, tcp

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The loop of supervisor and client; workers have their own."""
    return str(request.param)


async def test_the_whole_flow(lab: Any, history: Any) -> None:
    pool = lab.pool("gate", min=2, max=3, warm=1, max_client_workers=2)
    seen = history()
    pool.machine.trace(seen)
    with anyio.fail_after(40):
        async with pool:
            # It has opened its port, started workers, and is connected to each of them.
            assert seen.has_in_order("PoolStarting", "PublicRpcReady", "PoolReady", "Ready"), seen.entered
            assert pool.machine.tick("ForkWorker") == 2 * pool.started == 4
            await pool.machine.when("WorkersAvailable", "PoolNormalized", "PoolWarm")
            for member in members(pool):
                await member.mirror.when("Ready", "Idle", "SuperConnected")

            async with lab.client(pool) as client:
                await pool.machine.when_tick("ClientConnected", 2)
                assert client.machine.is_active("SuperConnected", "SuperReady")
                told = history()
                client.machine.trace(told)
                await delegate(lab, pool, client)
                assert "WorkerRequested" in told.entered
                await replace_a_killed_worker(lab, pool)
            await pool.machine.when_tick("ClientDisconnected", 2)
            await lab.until(lambda: all(record.phase == "idle" for record in pool.view.workers.values()))
            last = [member.pid for member in members(pool)]
        assert pool.machine.disposed
        assert pool.machine.tick("WorkerKilled") >= 4
        await lab.gone(*last)
    assert lab.processes() == []


def members(pool: Any) -> list[Any]:
    return list(pool.members.values())


async def delegate(lab: Any, pool: Any, client: Any) -> None:
    """A lease, a direct connection, work that both sides see, and its result."""
    results: list[Any] = []

    async def ask() -> None:
        results.append(await client.call("gate"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        pid = await lab.started("gate")
        (member,) = [m for m in members(pool) if m.pid == pid]
        await member.mirror.when("Provided", "ClientConnected", "Working", "WorkRequested")
        assert member.mirror.is_inactive("Idle")
        (lease,) = pool.desk.leases.leases
        assert (lease.worker, lease.client) == (member.id, client.id)
        assert member.phase() == "busy"
        lab.open("gate")
    assert results == ["gate"]
    await member.mirror.when_not("Working")
    assert member.jobs() == 1
    assert member.phase() == "leased"
    assert await client.call("again") == "again"


async def replace_a_killed_worker(lab: Any, pool: Any) -> None:
    victim = next(m for m in members(pool) if m.phase() == "idle")
    os.kill(victim.pid, signal.SIGKILL)
    await pool.machine.when_tick("WorkerLost", 2)
    await lab.gone(victim.pid)
    await pool.machine.when("PoolNormalized", "PoolReady", "WorkersAvailable")
    assert victim.id not in pool.members
    assert pool.lost == 1
    assert pool.machine.is_inactive("Exception")


async def test_work_through_states_alone(lab: Any) -> None:
    """What ``call`` does, by hand: the lease, the ticket, a mutation and a payload."""
    with anyio.fail_after(20):
        async with lab.pool("double") as pool, lab.client(pool) as client:
            answer: Answer = await client._lease()
            payloads: list[Any] = []
            arrived = anyio.Event()

            def keep(payload: Any) -> bool:
                payloads.append(payload)
                arrived.set()
                return True

            direct = Client(
                tcp(answer.host, answer.port),
                WORKER_SCHEMA,
                client_id=client.id,
                ticket=answer.ticket,
                kind=pool.kind,
                on_payload=keep,
                reconnect=False,
            )
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(direct.run)
                mirror = await direct.ready()
                await mirror.when("Provided", "ClientConnected")
                result = await mirror.add("WorkRequested", id=7, input=encode_value(21))
                assert not result.canceled
                await arrived.wait()
                (payload,) = payloads
                work = WorkResult.decode(payload.data)
                assert (work.id, work.status, decode_value(work.value)) == (7, OK, 42)
                mirror.remove_nowait("Provided")  # gives the worker back, which ends this session
            await lab.until(lambda: pool.view.workers[answer.worker].phase == "idle")


async def test_map_over_several_workers(lab: Any) -> None:
    with anyio.fail_after(20):
        async with lab.pool("positive", min=2) as pool, lab.client(pool) as client:
            inputs = [3, -1, *range(200)]
            run = client.map(inputs, config=FleetConfig(workers=2))
            outcomes: list[Outcome] = [outcome async for outcome in run]
    assert sorted(o.index for o in outcomes) == list(range(len(inputs)))
    (failed,) = [o for o in outcomes if o.error is not None]
    assert failed.index == 1
    assert isinstance(failed.error, WorkError)
    assert failed.error.kind == "ValueError"
    assert "in positive" in failed.error.traceback
    assert all(o.value == inputs[o.index] for o in outcomes if o.error is None)
    assert len({o.worker for o in outcomes}) == 2
