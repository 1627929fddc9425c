"""Single jobs and streams of them: deadlines, cancelling, order, inputs that fail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest

from asyncmachine.errors import ArgsError, NoWorker, WorkTimeout
from asyncmachine.node.fleet import FleetConfig

pytestmark = pytest.mark.anyio


async def test_a_plain_function_over_its_deadline_costs_its_worker(lab: Any) -> None:
    with anyio.fail_after(30):
        async with lab.pool("gate", min=2) as pool, lab.client(pool) as client, lab.client(pool) as other:
            assert await other.call("before") == "before"
            with pytest.raises(WorkTimeout, match=r"within 0.2 s"):
                await client.call("gate", deadline=0.2)
            assert await other.call("other") == "other"
            assert await client.call("next") == "next"
            await lab.gone(await lab.started("gate"))
            await pool.machine.when("PoolReady", "PoolNormalized")


async def test_an_async_function_over_its_deadline_is_cancelled(lab: Any) -> None:
    with anyio.fail_after(30):
        async with lab.pool("async_gate") as pool, lab.client(pool) as client:
            with pytest.raises(WorkTimeout):
                await client.call("gate", deadline=0.2)
            assert (lab.folder / "gate.cancelled").exists()
            assert await client.call("next") == "next"
            assert pool.started == 1


async def test_cancelling_the_caller_cancels_an_async_function(lab: Any) -> None:
    with anyio.fail_after(30):
        async with lab.pool("async_gate") as pool, lab.client(pool) as client:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.call, "gate")
                await lab.started("gate")
                tasks.cancel_scope.cancel()
            await lab.until((lab.folder / "gate.cancelled").exists)
            assert await client.call("next") == "next"
            assert pool.started == 1


async def test_async_inputs_in_order(lab: Any) -> None:
    async def inputs() -> AsyncIterator[int]:
        for number in range(50):
            await anyio.lowlevel.checkpoint()
            yield number

    with anyio.fail_after(30):
        async with lab.pool(min=2) as pool, lab.client(pool) as client:
            run = client.map(inputs(), ordered=True, config=FleetConfig(workers=2))
            assert [o.value async for o in run] == [2 * n for n in range(50)]
            loose = client.map(inputs(), config=FleetConfig(workers=2))
            assert sorted([o.value async for o in loose]) == [2 * n for n in range(50)]


async def test_leaving_early_takes_no_more_inputs_and_gives_the_worker_back(lab: Any) -> None:
    taken: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            taken.append(len(taken))
            yield taken[-1]

    with anyio.fail_after(30):
        async with lab.pool() as pool, lab.client(pool) as client:
            async with client.map(endless()) as run:
                async for outcome in run:
                    if outcome.index >= 10:
                        break
            count = len(taken)
            await lab.until(lambda: not pool.desk.leases.leases)
            assert len(taken) == count < 200
            assert await client.call(4) == 8


async def test_inputs_that_cannot_be_sent_cost_only_themselves(lab: Any) -> None:
    with anyio.fail_after(30):
        async with lab.pool() as pool, lab.client(pool) as client:
            inputs = [1, {1, 2}, "a" * (1 << 20), 3]
            outcomes = [o async for o in client.map(inputs, ordered=True)]
            assert [o.value for o in outcomes] == [2, None, None, 6]
            assert all(isinstance(outcomes[i].error, ArgsError) for i in (1, 2))
            assert pool.lost == 0


@pytest.mark.parametrize("is_async", [False, True])
async def test_what_the_inputs_raise_the_map_raises(lab: Any, is_async: bool) -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    async def failing_later() -> AsyncIterator[int]:
        for item in failing():
            yield item

    with anyio.fail_after(30):
        async with lab.pool() as pool, lab.client(pool) as client:
            with pytest.raises(LookupError, match="no more"):
                async for _ in client.map(failing_later() if is_async else failing()):
                    pass
            assert await client.call(2) == 4


async def test_calls_do_not_outlive_their_fleet(lab: Any) -> None:
    failures: list[Exception] = []

    async def ask(fleet: Any) -> None:
        try:
            await fleet.call("gate")
        except NoWorker as error:
            failures.append(error)

    with anyio.fail_after(30):
        async with lab.pool("async_gate") as pool, lab.client(pool) as client:
            async with anyio.create_task_group() as tasks, client.fleet() as fleet:
                tasks.start_soon(ask, fleet)
                await lab.started("gate")
            assert "stopped" in str(failures[0])
