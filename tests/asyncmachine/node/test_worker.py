from __future__ import annotations

import os
import stat
from typing import Any

import anyio
import pytest

from amstates.worker import WORKER_SCHEMA
from asyncmachine.errors import NodeError
from asyncmachine.node.worker import Worker, WorkerSettings

pytestmark = pytest.mark.anyio


async def test_it_reports_where_it_is(worker: Any, run_dir: str) -> None:
    async with worker(str) as living:
        address = living.address
        assert (address.worker, address.kind, address.pid) == ("w1", "test", os.getpid())
        assert address.digest == WORKER_SCHEMA.digest
        assert address.private == f"{run_dir}/w1.sock"
        assert stat.S_IMODE((await anyio.Path(address.private).stat()).st_mode) == 0o600
        assert living.mirror.is_active("Ready", "RpcReady", "SuperConnected", "Idle")


async def test_one_client_at_a_time(worker: Any) -> None:
    async with worker(str) as living:
        assert await living.lease("one") is not None
        await living.mirror.when("Provided")
        assert living.mirror.is_inactive("Idle")
        assert await living.lease("two") is None


async def test_a_client_that_does_not_come_in_time(worker: Any) -> None:
    async with worker(str) as living:
        assert await living.lease(ttl=0.05) is not None
        await living.mirror.when("Idle")
        assert len(living.worker.tickets) == 0


async def test_the_lease_ends_with_the_client(worker: Any) -> None:
    async with worker(str) as living:
        async with living.linked():
            await living.mirror.when("ClientConnected")
        await living.mirror.when("Idle")
        assert living.mirror.is_inactive("Provided", "ClientConnected")


async def test_the_supervisor_ends_a_lease(worker: Any) -> None:
    async with worker(str) as living, living.linked() as talk:
        await living.mirror.remove("Provided")
        await living.mirror.when("Idle")
        await living.mirror.when_not("ClientConnected")
        await talk.ended.wait()
        assert not talk.send(1, "late")


async def test_an_idle_worker_that_drains_is_gone(worker: Any) -> None:
    async with worker(str) as living:
        living.worker.orphaned()
        await living.ended.wait()
        assert living.worker.machine.disposed


def test_its_public_port_is_on_loopback() -> None:
    settings = WorkerSettings(worker="w", kind="k", run_dir="/nowhere", host="192.0.2.1")
    with pytest.raises(NodeError, match="tickets travel in the clear"):
        Worker(settings)


async def test_a_client_that_gives_its_lease_back_is_answered(worker: Any) -> None:
    async with worker(str) as living, living.linked() as talk:
        mirror = talk.link._rpc.machine
        assert (await mirror.remove("Provided")).executed
        assert mirror.is_inactive("Provided")
        await talk.ended.wait()
        assert talk.link.dismissed
        await living.mirror.when("Idle")
        assert living.worker.client is None


async def test_who_gave_the_lease_back_is_out_before_the_next_is_let_in(worker: Any) -> None:
    seen: list[int] = []
    async with worker(str) as living, living.linked() as talk:
        register = living.worker.tickets.register

        def watched(*args: Any, **options: Any) -> None:
            seen.append(len(living.worker._public.sessions))
            register(*args, **options)

        living.worker.tickets.register = watched
        talk.link._rpc.machine.remove_nowait("Provided")
        await living.mirror.when("Idle")
        assert await living.lease("next") is not None
        await talk.ended.wait()
    assert seen == [0]
