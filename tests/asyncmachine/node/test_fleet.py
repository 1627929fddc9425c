from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from asyncmachine.errors import ArgsError, NoWorker, WorkerLost, WorkError, WorkTimeout
from asyncmachine.node.args import Answer
from asyncmachine.node.client import NodeClient
from asyncmachine.node.fleet import Fleet, FleetConfig, Outcome
from asyncmachine.node.link import MAX_INPUT

pytestmark = pytest.mark.anyio


class Gate:
    """Work that waits until it is let through, and shows what has begun."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.cancelled: list[Any] = []
        self._open: set[Any] = set()
        self._news = anyio.Event()

    async def work(self, value: Any) -> Any:
        self.begun.append(value)
        self._tell()
        try:
            await self._until(lambda: value in self._open or None in self._open)
        except anyio.get_cancelled_exc_class():
            self.cancelled.append(value)
            self._tell()
            raise
        return value

    def open(self, *values: Any) -> None:
        """Let these through; nothing: all."""
        self._open.update(values or (None,))
        self._tell()

    async def began(self, count: int) -> None:
        await self._until(lambda: len(self.begun) >= count)

    async def gave_up(self, count: int) -> None:
        await self._until(lambda: len(self.cancelled) >= count)

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def _until(self, holds: Any) -> None:
        while not holds():
            await self._news.wait()


@asynccontextmanager
async def client_of(supervisor: Any) -> AsyncIterator[NodeClient]:
    async with NodeClient([supervisor.address], kind="test", client_id="me") as client:
        yield client


def values(outcomes: list[Outcome]) -> list[Any]:
    return [o.result() for o in outcomes]


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"workers": 0}, "FleetConfig.workers is 0"),
        ({"deadline": 0.0}, "FleetConfig.deadline is 0.0"),
        ({"deadline": float("nan")}, "FleetConfig.deadline is nan"),
    ],
)
def test_bad_settings(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        FleetConfig(**settings)


# -- map -------------------------------------------------------------------------------------------


async def test_every_input_has_one_outcome(launcher: Any, pool: Any) -> None:
    config = FleetConfig(workers=3)
    async with pool(launcher(), min=3) as supervisor, client_of(supervisor) as client:
        outcomes = [o async for o in client.map(range(100), config=config)]
        assert sorted(o.index for o in outcomes) == list(range(100))
        assert all(o.result() == o.index for o in outcomes)
        assert {o.worker for o in outcomes} <= {"w1", "w2", "w3"}


@pytest.mark.parametrize(("ordered", "expected"), [(False, [1, 0]), (True, [0, 1])])
async def test_the_order_of_inputs_or_of_ends(
    launcher: Any, pool: Any, ordered: bool, expected: list[int]
) -> None:
    gate = Gate()
    got: list[int] = []
    config = FleetConfig(workers=2, depth=1)
    async with pool(launcher(gate.work), min=2) as supervisor, client_of(supervisor) as client:
        run = client.map(range(2), ordered=ordered, config=config)

        async def consume() -> None:
            async for outcome in run:
                got.append(outcome.index)
                gate.open(0)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(consume)
            await gate.began(2)
            gate.open(1)
            if ordered:
                while not run._parked:
                    await anyio.lowlevel.checkpoint()
                assert got == []
                gate.open(0)
    assert got == expected


async def test_inputs_are_taken_as_there_is_room(launcher: Any, pool: Any) -> None:
    gate = Gate()
    taken: list[int] = []

    def endless() -> Iterator[int]:
        for number in itertools.count():
            taken.append(number)
            yield number

    config = FleetConfig(workers=1, depth=3)
    async with (
        pool(launcher(gate.work)) as supervisor,
        client_of(supervisor) as client,
        client.map(endless(), config=config) as run,
    ):
        for number in range(3):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anext, run)
                await gate.began(number + 1)
                assert taken == list(range(number + 3))
                gate.open(number)
            assert taken == list(range(number + 4))


async def test_async_inputs_are_taken_as_there_is_room(launcher: Any, pool: Any) -> None:
    gate = Gate()
    taken: list[int] = []

    async def endless() -> AsyncIterator[int]:
        for number in itertools.count():
            await anyio.lowlevel.checkpoint()
            taken.append(number)
            yield number

    config = FleetConfig(workers=1, depth=2)
    async with (
        pool(launcher(gate.work)) as supervisor,
        client_of(supervisor) as client,
        client.map(endless(), config=config) as run,
    ):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anext, run)
            await gate.began(1)
            for _ in range(50):
                await anyio.lowlevel.checkpoint()
            assert taken == [0, 1, 2]  # one is held in hand until there is room
            gate.open()
        assert (await anext(run)).index == 1


async def test_async_inputs_that_end(launcher: Any, pool: Any) -> None:
    async def some() -> AsyncIterator[int]:
        for number in range(5):
            yield number

    async with pool(launcher()) as supervisor, client_of(supervisor) as client:
        assert values([o async for o in client.map(some(), ordered=True)]) == [0, 1, 2, 3, 4]


async def test_what_inputs_raise_the_iteration_raises(launcher: Any, pool: Any) -> None:
    def bad() -> Iterator[int]:
        yield 1
        raise LookupError("no more of these")

    async def bad_async() -> AsyncIterator[int]:
        for number in bad():
            yield number

    async with pool(launcher()) as supervisor, client_of(supervisor) as client:
        for inputs in (bad(), bad_async()):
            with pytest.raises(LookupError, match="no more of these"):
                async for outcome in client.map(inputs):
                    assert outcome.result() == 1


async def test_inputs_that_cannot_be_sent_are_outcomes(launcher: Any, pool: Any) -> None:
    inputs = [1, object(), "a" * (MAX_INPUT + 1), {3}, 2]
    async with pool(launcher()) as supervisor, client_of(supervisor) as client:
        outcomes = [o async for o in client.map(inputs, ordered=True)]
        assert [o.index for o in outcomes] == [0, 1, 2, 3, 4]
        assert [type(o.error) for o in outcomes] == [type(None), ArgsError, ArgsError, ArgsError, type(None)]
        assert "send a path" in str(outcomes[2].error)
        with pytest.raises(ArgsError, match="input cannot be sent"):
            outcomes[1].result()


async def test_leaving_early_cancels_the_rest_and_gives_the_workers_back(launcher: Any, pool: Any) -> None:
    gate = Gate()
    gate.open(0)
    config = FleetConfig(workers=1, depth=2)
    async with pool(launcher(gate.work)) as supervisor, client_of(supervisor) as client:
        async with client.map(itertools.count(), config=config) as run:
            assert (await anext(run)).result() == 0
            await gate.began(2)
        await gate.gave_up(1)
        while supervisor.desk.leases.leases:
            await anyio.lowlevel.checkpoint()
        assert gate.cancelled == [1]
        with pytest.raises(StopAsyncIteration):
            await anext(run)


async def test_no_inputs(launcher: Any, pool: Any) -> None:
    async with pool(launcher()) as supervisor, client_of(supervisor) as client:
        assert [o async for o in client.map([])] == []


async def test_two_maps_share_a_fleet(launcher: Any, pool: Any) -> None:
    async with pool(launcher()) as supervisor, client_of(supervisor) as client, client.fleet() as fleet:
        first = fleet.map(range(10), ordered=True)
        assert (await anext(first)).result() == 0
        assert values([o async for o in fleet.map("abc", ordered=True)]) == ["a", "b", "c"]
        assert values([o async for o in first]) == list(range(1, 10))
        assert fleet.workers == ("w1",)


# -- failures --------------------------------------------------------------------------------------


async def test_failures_of_the_work(launcher: Any, pool: Any) -> None:
    async def work(value: Any) -> Any:
        if value == "stuck":
            await anyio.sleep_forever()
        if value == "odd":
            return object()
        raise KeyError(value)

    async with pool(launcher(work)) as supervisor, client_of(supervisor) as client:
        with pytest.raises(WorkError, match="KeyError: 'x'") as caught:
            await client.call("x")
        assert "raise KeyError(value)" in caught.value.traceback
        with pytest.raises(WorkError, match="result cannot be sent"):
            await client.call("odd")
        with pytest.raises(WorkTimeout, match=r"no result within 0\.02 s"):
            await client.call("stuck", deadline=0.02)


async def test_a_worker_that_dies_loses_the_job_it_was_at(
    launcher: Any, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncmachine.node.fleet._NOTICE", 10.0)  # however slow this machine is
    gate = Gate()
    workers = launcher(gate.work)
    config = FleetConfig(workers=1, depth=3)
    async with pool(workers) as supervisor, client_of(supervisor) as client:
        run = client.map(range(3), ordered=True, config=config)
        outcomes: list[Outcome] = []
        async with anyio.create_task_group() as tasks:

            async def consume() -> None:
                outcomes.extend([o async for o in run])

            tasks.start_soon(consume)
            await gate.began(1)
            workers.hands["w1"].kill()
            gate.open(1, 2)
        assert isinstance(outcomes[0].error, WorkerLost)
        assert str(outcomes[0].error) == (
            "worker w1 was lost while it held this job: worker w1 (pid 1000) was ended by SIGKILL"
        )
        assert values(outcomes[1:]) == [1, 2]
        assert [o.worker for o in outcomes] == ["w1", "w2", "w2"]
        assert run.lost == ("w1",)
        assert gate.begun == [0, 1, 2]


async def test_a_job_that_may_be_run_again_is_until_it_has_killed_too_many(launcher: Any, pool: Any) -> None:
    workers = launcher()
    deaths: list[str] = []

    async def work(value: Any) -> Any:
        if value == "poison" or (value == "once" and not deaths):
            last = list(workers.hands.values())[-1]
            deaths.append(last.id)
            last.kill()
            await anyio.sleep_forever()
        return value

    workers.function = work
    config = FleetConfig(idempotent=True)
    async with (
        pool(workers, max=1) as supervisor,
        client_of(supervisor) as client,
        client.fleet(config) as fleet,
    ):
        assert await fleet.call("once") == "once"
        with pytest.raises(WorkerLost, match="the job is given up, 3 workers died with it"):
            await fleet.call("poison")
        assert await fleet.call("fine") == "fine"
    assert len(deaths) == 4


class Counter:
    """Where outcomes are delivered."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def __call__(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


@asynccontextmanager
async def alone(lease: Any, **settings: Any) -> AsyncIterator[Fleet]:
    """A fleet without a client; nobody says how its workers die."""

    async def explain(worker: str) -> tuple[str, None]:
        await anyio.sleep_forever()
        return worker, None

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            identity = ("me", "test")
            fleet = Fleet(lease, explain, tasks.start_soon, identity=identity, config=FleetConfig(**settings))
            fleet.start()
            yield fleet
            fleet.stop()


async def test_a_loss_that_nobody_explains(launcher: Any, pool: Any) -> None:
    gate = Gate()
    workers = launcher(gate.work)
    async with pool(workers) as supervisor, client_of(supervisor) as client:
        async with alone(client._lease) as fleet, anyio.create_task_group() as tasks:
            errors: list[str] = []

            async def call() -> None:
                with pytest.raises(WorkerLost) as caught:
                    await fleet.call("x")
                errors.append(str(caught.value))

            tasks.start_soon(call)
            await gate.began(1)
            workers.hands["w1"].kill()
        assert errors == ["worker w1 was lost while it held this job: its connection ended"]


async def test_the_last_denial_fails_all_jobs() -> None:
    asked = 0
    last = anyio.Event()

    async def lease() -> Answer:
        nonlocal asked
        asked += 1
        if asked == 2:
            await last.wait()
        raise NoWorker(f"denial {asked}")

    counter = Counter()
    async with alone(lease, workers=2) as fleet:
        fleet.submit(1, counter)
        fleet.submit(2, counter)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        assert counter.outcomes == []
        assert not fleet.failed
        last.set()
        with pytest.raises(NoWorker, match="denial 2"):
            await fleet.call(3)
        assert fleet.failed
        assert [(o.index, str(o.error)) for o in counter.outcomes] == [(0, "denial 2"), (1, "denial 2")]
        with pytest.raises(NoWorker, match="denial 2"):
            fleet.submit(4, counter)
    assert len(counter.outcomes) == 2


async def test_a_busy_pool_is_asked_again() -> None:
    asked = 0

    async def lease() -> Answer:
        nonlocal asked
        asked += 1
        raise NoWorker("busy", retry_after=0.001) if asked < 3 else NoWorker("denied")

    async with alone(lease) as fleet:
        with pytest.raises(NoWorker, match="denied"):
            await fleet.call(1)
    assert asked == 3


async def test_a_map_that_is_denied_its_workers() -> None:
    async def lease() -> Answer:
        raise NoWorker("none for you")

    async with alone(lease) as fleet:
        with pytest.raises(NoWorker, match="none for you"):
            async for _ in fleet.map([1, 2]):
                pytest.fail("there is an outcome")


# -- the end of jobs -------------------------------------------------------------------------------


async def test_a_cancelled_call_cancels_the_work(launcher: Any, pool: Any) -> None:
    gate = Gate()
    counter = Counter()
    async with (
        pool(launcher(gate.work)) as supervisor,
        client_of(supervisor) as client,
        client.fleet() as fleet,
    ):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fleet.call, "unwanted")
            await gate.began(1)
            tasks.cancel_scope.cancel()
        await gate.gave_up(1)
        assert gate.cancelled == ["unwanted"]
        gate.open("next")
        assert await fleet.call("next") == "next"
        index = fleet.submit("waits", counter)
        fleet.cancel(index)
        fleet.cancel(index)
    assert counter.outcomes == []


async def test_a_job_is_delivered_once(launcher: Any, pool: Any) -> None:
    gate = Gate()
    counter = Counter()
    workers = launcher(gate.work)
    config = FleetConfig(depth=2)
    async with (
        pool(workers) as supervisor,
        client_of(supervisor) as client,
        client.fleet(config) as fleet,
    ):
        for value in "abc":
            fleet.submit(value, counter)
        await gate.began(1)
        gate.open("a")
        await gate.began(2)
        workers.hands["w1"].kill()
        await gate.began(3)
        fleet.stop()
        fleet.stop()
    assert [(o.index, type(o.error)) for o in counter.outcomes] == [
        (0, type(None)),
        (1, WorkerLost),
        (2, NoWorker),
    ]


async def test_a_fleet_that_is_stopped_takes_nothing(launcher: Any, pool: Any) -> None:
    async with pool(launcher()) as supervisor, client_of(supervisor) as client:
        async with client.fleet() as fleet:
            assert await fleet.call(1) == 1
        with pytest.raises(NoWorker, match="the fleet was stopped"):
            await fleet.call(2)
        while supervisor.desk.leases.leases:
            await anyio.lowlevel.checkpoint()


async def test_jobs_end_with_their_client(launcher: Any, pool: Any) -> None:
    gate = Gate()
    counter = Counter()
    async with pool(launcher(gate.work)) as supervisor:
        async with client_of(supervisor) as client:
            fleet = client._make_fleet(None)
            fleet.start()
            fleet.submit("x", counter)
            await gate.began(1)
        assert [str(o.error) for o in counter.outcomes] == ["the client ended before this job had an outcome"]
