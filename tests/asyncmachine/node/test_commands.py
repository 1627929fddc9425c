from __future__ import annotations

import stat
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from amstates.supervisor import SUPERVISOR_SCHEMA
from amstates.supervisor import SupervisorStates as ss
from asyncmachine.errors import Denied
from asyncmachine.node.client import NodeClient
from asyncmachine.node.fleet import FleetConfig
from asyncmachine.node.supervisor import Supervisor
from asyncmachine.rpc.client import Client, tcp

pytestmark = pytest.mark.anyio


async def until(supervisor: Supervisor, holds: Callable[[], bool]) -> None:
    while not holds():
        await anyio.sleep(0.005)


def phases(supervisor: Supervisor) -> dict[str, str]:
    return {name: record.phase for name, record in supervisor.view.workers.items()}


async def test_reload_replaces_idle_workers_one_by_one(launcher: Any, pool: Any) -> None:
    workers = launcher()
    async with pool(workers, min=3) as supervisor:
        await supervisor.machine.when(ss.PoolNormalized)
        old, fewest = dict(workers.hands), 3

        def done() -> bool:
            nonlocal fewest
            fewest = min(fewest, sum(p == "idle" for p in phases(supervisor).values()))
            new = set(supervisor.members) - set(old)
            return len(new) == 3 and set(phases(supervisor).values()) == {"idle"}

        supervisor.machine.add(ss.Reload)
        await supervisor.machine.when_query(lambda _: done())
        assert fewest == 2
        assert all(hand.gone and not hand.killed for hand in old.values())
        assert (supervisor.started, supervisor.lost) == (6, 0)
        assert supervisor.machine.is_active(ss.PoolReady)


async def test_reload_of_a_held_worker_loses_no_work(launcher: Any, pool: Any) -> None:
    begun, go = anyio.Event(), anyio.Event()

    async def work(value: Any) -> Any:
        if value == "long":
            begun.set()
            await go.wait()
        return value

    workers = launcher(work)
    async with pool(workers, min=1, max=2, drain=0.05) as supervisor:
        results: list[Any] = []
        async with (
            NodeClient([supervisor.address], kind="test") as client,
            client.fleet(FleetConfig(depth=4)) as fleet,
            anyio.create_task_group() as tasks,
        ):

            async def call(value: str) -> None:
                results.append(await fleet.call(value))

            tasks.start_soon(call, "long")
            await begun.wait()
            for value in ("a", "b"):
                tasks.start_soon(call, value)
            await until(supervisor, lambda: supervisor.members["w1"].jobs() == 3)
            supervisor.machine.add(ss.Reload)
            await until(supervisor, lambda: phases(supervisor)["w1"] == "draining")
            await anyio.sleep(0.2)  # it has more than its drain time
            assert (phases(supervisor)["w1"], results) == ("draining", [])
            go.set()  # what had not begun moves on to the next worker
        assert sorted(results) == ["a", "b", "long"]
        await until(supervisor, lambda: "w1" not in supervisor.members)
        assert supervisor.lost == 0


async def test_a_draining_pool_does_not_wait_for_the_patient(launcher: Any, pool: Any) -> None:
    begun = anyio.Event()

    async def work(value: Any) -> Any:
        begun.set()
        await anyio.sleep_forever()

    async with (
        pool(launcher(work), drain=0.1, grace=0.1) as supervisor,
        NodeClient([supervisor.address], kind="test") as client,
    ):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call, 1)
            await begun.wait()
            supervisor.machine.add(ss.Reload)
            await until(supervisor, lambda: phases(supervisor)["w1"] == "draining")
            with anyio.fail_after(5):
                await supervisor.stop()
            tasks.cancel_scope.cancel()
        assert not supervisor.members


async def test_a_worker_is_killed_on_demand_and_that_is_no_failure(launcher: Any, pool: Any) -> None:
    workers = launcher()
    async with pool(workers, min=2) as supervisor:
        await supervisor.machine.when(ss.PoolNormalized)
        assert supervisor.machine.add(ss.KillWorker, worker="w9").canceled
        assert supervisor.members.keys() == {"w1", "w2"}
        supervisor.machine.add(ss.KillWorker, worker="w1")
        await until(supervisor, lambda: supervisor.members.keys() == {"w2", "w3"})
        assert workers.hands["w1"].killed
        assert (supervisor.lost, supervisor.view.restarts.exits) == (0, ())


async def test_sizes_change(launcher: Any, pool: Any) -> None:
    async with pool(launcher(), min=1, max=3) as supervisor:
        supervisor.machine.add(ss.SetPool, min=3, max=4, warm=0)
        await until(supervisor, lambda: list(phases(supervisor).values()) == ["idle"] * 3)
        supervisor.machine.add(ss.SetPool, min=1, max=1, warm=0)
        await until(supervisor, lambda: list(phases(supervisor).values()) == ["idle"])
        assert supervisor.machine.add(ss.SetPool, min=3, max=2, warm=0).canceled
        assert (supervisor.config.min, supervisor.config.max) == (1, 1)


async def test_logs_are_rotated_here_and_there(launcher: Any, pool: Any) -> None:
    workers = launcher()
    async with pool(workers, min=2) as supervisor:
        await supervisor.machine.when(ss.PoolNormalized)
        supervisor.machine.add(ss.LogRotate)
        assert [hand.rotated for hand in workers.hands.values()] == [1, 1]
        for hand in workers.hands.values():
            await hand.worker.machine.when_tick("LogRotate", 2)


async def test_complaints_count_for_ones_own_worker_only(launcher: Any, pool: Any) -> None:
    async with (
        pool(launcher(), min=2) as supervisor,
        NodeClient([supervisor.address], kind="test", client_id="one") as one,
        NodeClient([supervisor.address], kind="test", client_id="two") as two,
    ):
        assert await one.call(1) == 1
        (lease,) = supervisor.desk.leases.leases
        await two._super.machine.add(ss.WorkerIssues, lease=lease.id, text="slow")
        await two._super.machine.add(ss.WorkerIssues, lease=99, text="slow")
        assert supervisor.view.workers[lease.worker].errors == ()
        await one._super.machine.add(ss.WorkerIssues, lease=lease.id, text="slow")
        assert len(supervisor.view.workers[lease.worker].errors) == 1


async def test_errors_of_a_worker_count_and_too_many_replace_it(launcher: Any, pool: Any) -> None:
    workers = launcher()
    async with pool(workers, kill_over=1) as supervisor:
        await supervisor.machine.when(ss.PoolNormalized)
        machine = workers.hands["w1"].worker.machine
        for count in (1, 2):
            machine.add_error(RuntimeError("no luck"), "ErrWork")
            await until(
                supervisor,
                lambda n=count: (
                    "w1" not in supervisor.members or len(supervisor.view.workers["w1"].errors) == n
                ),
            )
            machine.remove(["ErrWork", "Exception"])
        await until(supervisor, lambda: list(supervisor.members) == ["w2"])


async def test_clients_may_not_command(launcher: Any, pool: Any) -> None:
    async with pool(launcher()) as supervisor, anyio.create_task_group() as tasks:
        host, _, port = supervisor.address.rpartition(":")
        client = Client(tcp(host, int(port)), SUPERVISOR_SCHEMA, client_id="me", reconnect=False)
        tasks.start_soon(client.run)
        mirror = await client.ready()
        for state, args in {
            ss.Draining: {},
            ss.Reload: {},
            ss.LogRotate: {},
            ss.KillWorker: {"worker": "w1"},
            ss.SetPool: {"min": 0, "max": 1, "warm": 0},
        }.items():
            with pytest.raises(Denied):
                await mirror.add(state, **args)
        assert list(supervisor.members) == ["w1"]
        client.stop()


async def test_the_socket_for_administrators_is_for_this_user(launcher: Any, pool: Any) -> None:
    async with pool(launcher()) as supervisor:
        path = anyio.Path(supervisor.admin_path)
        assert stat.S_IMODE((await path.stat()).st_mode) == 0o600
        assert stat.S_IMODE((await path.parent.stat()).st_mode) == 0o700
