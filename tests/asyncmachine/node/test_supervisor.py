from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from amstates.supervisor import SupervisorStates as ss
from asyncmachine.errors import LaunchError, NodeError, PoolBroken
from asyncmachine.node.client import NodeClient
from asyncmachine.node.config import PoolConfig, WorkerSpec
from asyncmachine.node.supervisor import Supervisor

pytestmark = pytest.mark.anyio

SPEC = WorkerSpec(kind="test", argv=("worker",))


def events(supervisor: Supervisor, state: str) -> int:
    """How often this happened: an event is active for a moment, so its tick moves by two."""
    return supervisor.machine.tick(state) // 2


async def until(supervisor: Supervisor, holds: Callable[[], bool]) -> None:
    """Until *holds*, asked after each transition of the supervisor."""
    if not holds():
        await supervisor.machine.when_query(lambda _: holds())


def client_of(supervisor: Supervisor) -> NodeClient:
    return NodeClient([supervisor.address], kind="test")


async def dies(hand: Any) -> int:
    """A worker that ends before it has said anything."""
    await anyio.lowlevel.checkpoint()
    return 3


async def sits(hand: Any) -> int:
    """A worker that never says anything, and does not listen either."""
    await anyio.sleep_forever()
    return 0


# -- the start -------------------------------------------------------------------------------------


async def test_it_starts_with_its_least_number_of_workers(launcher: Any, pool: Any) -> None:
    workers = launcher()
    async with pool(workers, min=2, warm=1) as supervisor:
        machine = supervisor.machine
        assert machine.is_active(ss.Start, ss.Ready, ss.PoolReady, ss.WorkersAvailable)
        assert machine.is_inactive(ss.PoolStarting, ss.ErrPool, ss.Exception, ss.Draining)
        assert (supervisor.started, supervisor.lost) == (2, 0)
        assert sorted(supervisor.members) == ["w1", "w2"]
        await machine.when(ss.PoolWarm, ss.PoolNormalized)
        assert machine.is_inactive(ss.NormalizingPool)
        assert [events(supervisor, s) for s in (ss.ForkWorker, ss.WorkerReady, ss.WorkerLost)] == [2, 2, 0]
    assert supervisor.members == {}
    assert machine.disposed


async def test_a_pool_may_be_empty(launcher: Any, pool: Any) -> None:
    async with pool(launcher(), min=0) as supervisor:
        assert supervisor.machine.is_active(ss.Ready, ss.PoolReady, ss.PoolWarm)
        assert supervisor.machine.is_inactive(ss.WorkersAvailable)
        assert supervisor.started == 0


async def test_workers_are_told_who_they_are(launcher: Any, pool: Any) -> None:
    workers = launcher()
    async with pool(workers, heartbeat=1.5, drain=7.0) as supervisor:
        hand = workers.hands["w1"]
        settings = hand.settings()
        assert (settings.worker, settings.kind, settings.drain, settings.heartbeat) == (
            "w1",
            "test",
            7.0,
            1.5,
        )
        assert hand.spec.digest == supervisor.schema.digest
        assert supervisor.members["w1"].pid == hand.pid
        folder = anyio.Path(settings.run_dir)
        assert await folder.is_dir()
    assert not await folder.exists()


async def test_a_launch_that_fails_at_the_start(launcher: Any, pool: Any) -> None:
    workers = launcher()
    workers.error = LaunchError("no such command: 'worker'")
    with pytest.raises(LaunchError, match="no such command"):
        async with pool(workers):
            pytest.fail("it has started")
    assert workers.hands == {}


async def test_workers_that_die_at_the_start(launcher: Any, pool: Any) -> None:
    workers = launcher()
    workers.life = dies
    with pytest.raises(PoolBroken) as caught:
        async with pool(workers, boot_failures=2):
            pytest.fail("it has started")
    text = str(caught.value)
    assert text.startswith("2 workers in a row failed to start; the last: worker w2 (pid 1001) exited")
    assert "exited with code 3" in text
    assert text.endswith("its last output:\nits last words")
    assert len(workers.hands) == 2


async def test_a_worker_that_is_not_ready_in_time(launcher: Any, pool: Any) -> None:
    workers = launcher()
    workers.life = sits
    with pytest.raises(PoolBroken, match=r"was ended by SIGKILL; not ready 0\.05 s after its launch"):
        async with pool(workers, boot_failures=1, boot_timeout=0.05):
            pytest.fail("it has started")
    assert workers.hands["w1"].killed


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org", ""])  # noqa: S104 - refused
def test_only_loopback(launcher: Any, host: str) -> None:
    with pytest.raises(NodeError, match=f"host is '{host}': without authentication only a loopback"):
        Supervisor(launcher(), SPEC, host=host)


async def test_a_port_that_is_taken(launcher: Any) -> None:
    workers = launcher()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen at 127.0.0.1:{port}: "):
            async with Supervisor(workers, SPEC, port=port):
                pytest.fail("it has started")
    assert workers.hands == {}


# -- repair ----------------------------------------------------------------------------------------


async def test_a_worker_that_dies_is_replaced(
    launcher: Any, pool: Any, caplog: pytest.LogCaptureFixture
) -> None:
    workers = launcher()
    async with pool(workers) as supervisor:
        machine = supervisor.machine
        await machine.when(ss.PoolNormalized)
        lost = machine.when_args(ss.WorkerLost, worker="w1")
        unsettled = machine.when(ss.NormalizingPool)
        workers.hands["w1"].kill()
        await lost
        await unsettled
        await until(supervisor, lambda: "w2" in supervisor.members and machine.is_active(ss.PoolNormalized))
        assert list(supervisor.members) == ["w2"]
        assert (supervisor.started, supervisor.lost) == (2, 1)
        assert events(supervisor, ss.WorkerLost) == 1
        assert events(supervisor, ss.ErrWorker) == 1
        assert machine.is_active(ss.PoolReady, ss.WorkersAvailable)
        assert machine.is_inactive(ss.ErrWorker, ss.ErrPool, ss.Exception)
    assert "worker w1 (pid 1000) was ended by SIGKILL" in caplog.text


async def test_the_pool_is_not_ready_without_its_workers(launcher: Any, pool: Any) -> None:
    workers = launcher()
    async with pool(workers) as supervisor:
        workers.life = sits
        workers.hands["w1"].kill()
        await supervisor.machine.when_not(ss.PoolReady, ss.WorkersAvailable, ss.Ready)
        assert supervisor.machine.is_active(ss.NormalizingPool)


async def test_a_broken_pool_tries_again_and_recovers(launcher: Any, pool: Any) -> None:
    workers = launcher()
    async with pool(workers, boot_failures=2, probe_every=0.05) as supervisor:
        machine = supervisor.machine
        workers.life = dies
        workers.hands["w1"].kill()
        await machine.when(ss.ErrPool, ss.Exception)
        assert machine.is_inactive(ss.PoolNormalized, ss.PoolReady)
        assert "failed to start" in supervisor.view.restarts.broken
        workers.life = workers.serve
        await machine.when(ss.PoolReady)
        await machine.when_not(ss.ErrPool, ss.Exception)
        await machine.when(ss.PoolNormalized)
        assert not supervisor.view.broken


async def test_a_launch_that_fails_once_is_over_with_the_next_worker(launcher: Any, pool: Any) -> None:
    workers = launcher()
    async with pool(workers) as supervisor:
        machine = supervisor.machine
        workers.error = LaunchError("no memory")
        workers.hands["w1"].kill()
        await machine.when(ss.ErrPool)
        workers.error = None
        await machine.when(ss.PoolReady)
        await machine.when_not(ss.ErrPool, ss.Exception)


async def test_a_worker_of_another_schema_never_joins(launcher: Any, pool: Any) -> None:
    workers = launcher()

    def liar(settings: Any) -> Any:
        worker = workers_made(settings)
        worker.settings = type(settings)(worker="w9", kind=settings.kind, run_dir=settings.run_dir)
        return worker

    workers_made, workers.make = workers.make, liar
    with pytest.raises(PoolBroken, match="says that it is worker w9"):
        async with pool(workers, boot_failures=1, grace=0.05):
            pytest.fail("it has started")


# -- size ------------------------------------------------------------------------------------------


async def test_it_grows_with_its_clients_and_shrinks_again(launcher: Any, pool: Any) -> None:
    async with pool(launcher(), warm=1, shrink_after=0.05) as supervisor:
        async with client_of(supervisor) as client:
            assert await client.call("x") == "x"
            await until(supervisor, lambda: len(supervisor.members) == 2)
            await supervisor.machine.when(ss.PoolWarm, ss.PoolNormalized)
        await until(supervisor, lambda: len(supervisor.members) == 1)
        assert events(supervisor, ss.WorkerKilled) == 1
        assert supervisor.lost == 0
        assert supervisor.machine.is_active(ss.PoolReady)


async def test_never_more_than_the_most(launcher: Any, pool: Any) -> None:
    async with pool(launcher(), min=1, max=1, warm=1) as supervisor, client_of(supervisor) as client:
        assert await client.call(1) == 1
        await supervisor.machine.when_not(ss.WorkersAvailable, ss.PoolWarm)
        assert supervisor.machine.is_active(ss.PoolReady)
        assert supervisor.started == 1


async def test_a_worn_worker_is_replaced_when_it_is_free(
    launcher: Any, pool: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with pool(launcher(), max_jobs=2) as supervisor:
        async with client_of(supervisor) as client:
            assert [await client.call(n) for n in range(3)] == [0, 1, 2]
            assert list(supervisor.members) == ["w1"]
        await until(supervisor, lambda: "w2" in supervisor.members and "w1" not in supervisor.members)
        await supervisor.machine.when(ss.PoolReady)
        assert supervisor.lost == 0
    assert "worker w1 stops: recycled: 3 jobs done" in caplog.text


async def test_a_worker_that_has_grown_too_large_is_replaced_when_it_is_free(
    launcher: Any, pool: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    workers = launcher()
    async with pool(workers, max_rss=1000) as supervisor:
        workers.hands["w1"].resident = 999
        async with client_of(supervisor) as client:
            assert await client.call(1) == 1
            assert list(supervisor.members) == ["w1"]
            workers.hands["w1"].resident = 1000
            assert await client.call(2) == 2
            assert list(supervisor.members) == ["w1"], "not while a client has it"
        await until(supervisor, lambda: "w2" in supervisor.members and "w1" not in supervisor.members)
        assert supervisor.lost == 0
    assert "worker w1 stops: recycled: 1000 bytes of memory" in caplog.text


# -- clients ---------------------------------------------------------------------------------------


async def test_clients_are_counted(launcher: Any, pool: Any) -> None:
    async with pool(launcher()) as supervisor:
        for count in (1, 2):
            async with client_of(supervisor):
                await until(supervisor, lambda n=count: events(supervisor, ss.ClientConnected) == n)
            await until(supervisor, lambda n=count: events(supervisor, ss.ClientDisconnected) == n)
        assert supervisor.server.sessions == ()


# -- the end ---------------------------------------------------------------------------------------


async def test_it_stops_the_youngest_first_and_loses_none(
    launcher: Any, pool: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    workers = launcher()
    async with pool(workers, min=3) as supervisor:
        await supervisor.stop()
        assert supervisor.members == {}
        assert supervisor.machine.is_active(ss.Draining)
        assert supervisor.machine.is_inactive(ss.PoolReady, ss.WorkersAvailable)
        assert supervisor.lost == 0
        assert events(supervisor, ss.WorkerKilled) == 3
        assert events(supervisor, ss.ForkWorker) == 3
    assert [r.args[0] for r in caplog.records if r.msg.startswith("worker %s stops")] == ["w3", "w2", "w1"]
    assert not any(hand.killed for hand in workers.hands.values())


async def test_work_may_end_before_the_pool_does(launcher: Any, pool: Any) -> None:
    go, began = anyio.Event(), anyio.Event()

    async def work(value: str) -> str:
        began.set()
        await go.wait()
        return value

    async with pool(launcher(work)) as supervisor, client_of(supervisor) as client:
        results: list[str] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: _call(client, "late", results))
            await began.wait()
            tasks.start_soon(supervisor.stop)
            await supervisor.machine.when(ss.Draining)
            await until(supervisor, lambda: supervisor.view.workers["w1"].phase == "draining")
            assert results == []
            go.set()
        assert results == ["late"]
        assert supervisor.members == {}
        assert supervisor.lost == 0


async def _call(client: NodeClient, value: str, results: list[str]) -> None:
    results.append(await client.call(value))


async def test_a_worker_that_does_not_end_is_killed(launcher: Any, pool: Any) -> None:
    workers = launcher()

    async def stays(hand: Any) -> int:
        await workers.serve(hand)
        await anyio.sleep_forever()
        return 0

    workers.life = stays
    async with pool(workers, grace=0.05) as supervisor:
        pass
    assert workers.hands["w1"].killed
    assert supervisor.lost == 0


async def test_a_pool_that_is_cancelled_leaves_nothing(launcher: Any, pool: Any) -> None:
    workers = launcher()
    with anyio.CancelScope() as scope:
        async with pool(workers, min=2) as supervisor:
            folder = anyio.Path(workers.hands["w1"].settings().run_dir)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert supervisor.members == {}
    assert not await folder.exists()


async def test_a_start_that_is_cancelled_leaves_nothing(launcher: Any) -> None:
    workers = launcher()
    launched = anyio.Event()

    async def life(hand: Any) -> int:
        launched.set()
        return await sits(hand)

    workers.life = life
    supervisor = Supervisor(workers, SPEC, config=PoolConfig(min=1, warm=0, grace=0.05))
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(supervisor.__aenter__)
            await launched.wait()
            tasks.cancel_scope.cancel()
    assert supervisor.members == {}
    assert workers.hands["w1"].gone
