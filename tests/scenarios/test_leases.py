"""Several clients and few workers: who gets one, who waits, who is told no."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio.abc import TaskStatus

from asyncmachine.errors import NodeError, NoWorker, Refused
from asyncmachine.node.client import ClientConfig, NodeClient
from asyncmachine.node.fleet import FleetConfig

pytestmark = pytest.mark.anyio


async def test_the_last_worker_goes_to_one_and_then_to_the_other(lab: Any) -> None:
    with anyio.fail_after(30):
        async with lab.pool(max=1) as pool, lab.client(pool, "one") as one, lab.client(pool, "two") as two:
            answers: list[tuple[str, Any]] = []
            leave = {"one": anyio.Event(), "two": anyio.Event()}

            async def use(client: NodeClient) -> None:
                async with client.fleet() as fleet:
                    answers.append((client.id, await fleet.call(21)))
                    await leave[client.id].wait()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(use, one)
                tasks.start_soon(use, two)
                await lab.until(lambda: answers and pool.desk.leases.waiting == 1)
                first = answers[0][0]
                second = "two" if first == "one" else "one"
                (lease,) = pool.desk.leases.leases
                assert lease.client == first
                status = await one.status()
                assert (status.waiting, len(status.workers), set(status.clients)) == (1, 1, {"one", "two"})
                assert status.workers[0].client == first
                leave[first].set()
                await lab.until(lambda: len(answers) == 2)
                (lease,) = pool.desk.leases.leases
                assert lease.client == second
                leave[second].set()
            assert answers == [(first, 42), (second, 42)]
            assert pool.started == 1


async def test_more_than_the_quota_is_denied(lab: Any) -> None:
    with anyio.fail_after(30):
        async with lab.pool(max=2, max_client_workers=1) as pool, lab.client(pool) as client:
            assert await client.call(1) == 2
            async with client.fleet(FleetConfig(workers=1)) as fleet:
                with pytest.raises(NoWorker, match="at most 1 are allowed") as denied:
                    await fleet.call(1)
            assert denied.value.retry_after is None
            assert await client.call(2) == 4


async def test_a_full_queue_is_answered_with_busy(lab: Any) -> None:
    with anyio.fail_after(30):
        async with (
            lab.pool(max=1, queue_limit=0) as pool,
            lab.client(pool, "one") as one,
            lab.client(pool, "two") as two,
        ):
            assert await one.call(1) == 2
            with pytest.raises(NoWorker, match="too many requests are waiting") as busy:
                await two._lease()
            assert busy.value.retry_after is not None
            assert busy.value.retry_after >= 1.0


async def test_a_client_that_does_not_get_a_worker_in_time_is_told(lab: Any) -> None:
    with anyio.fail_after(30):
        async with lab.pool(max=1) as pool, lab.client(pool, "one") as one:
            assert await one.call(1) == 2
            config = ClientConfig(lease_timeout=0.2)
            async with NodeClient([pool.address], kind=pool.kind, client_id="two", config=config) as two:
                with pytest.raises(NoWorker, match=r"no worker within 0.2 s"):
                    await two.call(1)
            await lab.until(lambda: pool.desk.leases.waiting == 0)
            assert await one.call(2) == 4


async def test_a_client_of_another_kind_is_turned_away(lab: Any) -> None:
    with anyio.fail_after(30):
        async with lab.pool() as pool:
            with pytest.raises(Refused, match="of kind 'jobs:double', not 'other'"):
                async with NodeClient([pool.address], kind="other"):
                    pytest.fail("it is of another kind")


async def test_a_client_without_supervisor_says_where_it_looked(lab: Any) -> None:
    config = ClientConfig(start_timeout=0.3)
    with anyio.fail_after(10):
        with pytest.raises(NodeError, match=r"no supervisor could be reached at 127\.0\.0\.1:1"):
            async with NodeClient(["127.0.0.1:1"], kind="x", config=config):
                pytest.fail("nobody is there")


async def test_the_next_supervisor_of_the_list_takes_over(lab: Any) -> None:
    with anyio.fail_after(30):
        async with lab.pool() as second, anyio.create_task_group() as tasks:
            first, leave = lab.pool(), anyio.Event()

            async def serve(*, task_status: TaskStatus[None]) -> None:
                async with first:
                    task_status.started()
                    await leave.wait()

            await tasks.start(serve)
            async with NodeClient([first.address, second.address], kind=first.kind) as client:
                assert await client.call(1) == 2
                assert first.desk.leases.leases
                leave.set()
                await client.machine.when_tick("SuperLost", 2)
                assert await client.call(2) == 4
                assert second.desk.leases.leases


async def test_a_granted_client_that_never_comes_loses_its_lease(lab: Any) -> None:
    with anyio.fail_after(30):
        async with lab.pool(max=1, ticket_ttl=0.3) as pool, lab.client(pool) as client:
            answer = await client._lease()
            assert pool.desk.holds(answer.worker)
            await lab.until(lambda: not pool.desk.holds(answer.worker))
            assert await client.call(1) == 2


async def test_workers_are_not_kept_for_who_has_stopped_waiting(lab: Any) -> None:
    with anyio.fail_after(30):
        async with lab.pool(max=1) as pool, lab.client(pool) as client:
            for _ in range(3):
                run = client.map(range(5), config=FleetConfig(workers=3))
                assert {outcome.value async for outcome in run} == {0, 2, 4, 6, 8}
                await lab.until(lambda: not pool.desk.leases.waiting and not pool.desk.leases.leases, 2)


async def test_a_lease_is_not_given_back_by_somebody_else(lab: Any) -> None:
    with anyio.fail_after(30):
        async with lab.pool(max=1) as pool, lab.client(pool, "one") as one, lab.client(pool, "two") as two:
            assert await one.call(1) == 2
            (lease,) = pool.desk.leases.leases
            for number in range(lease.request.number + 2):
                await two._super.machine.add("ReleaseWorker", request=number)
            assert pool.desk.leases.leases[0].id == lease.id
            assert await one.call(2) == 4
            await one._super.machine.add("ReleaseWorker", request=lease.request.number)
            await lab.until(lambda: pool.desk.leases.lease(lease.id) is None)
