"""Commands about a worker hold for the picture that they were decided on; and what is told of its end."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from asyncmachine.errors import NodeError, StaleDecision, WorkerLost
from asyncmachine.node import desk
from asyncmachine.node.client import NodeClient
from asyncmachine.node.exits import ExitReason, ExitReport
from asyncmachine.node.supervisor import Supervisor

pytestmark = pytest.mark.anyio


def client_of(pool: Supervisor, name: str = "me") -> NodeClient:
    return NodeClient([pool.address], kind=pool.kind, client_id=name)


async def test_a_kill_on_an_old_picture_is_refused(launcher: Any, pool: Any) -> None:
    workers = launcher()
    async with pool(workers) as supervisor, client_of(supervisor) as client:
        seen = supervisor.clock("w1")
        assert await client.call(1) == 1
        assert supervisor.clock("w1") > seen
        with pytest.raises(StaleDecision):
            supervisor.kill("w1", if_clock=seen)
        assert await client.call(2) == 2, "nothing has happened to it"
        assert not workers.hands["w1"].killed


async def test_a_kill_on_the_present_picture_is_done_and_reported(launcher: Any, pool: Any) -> None:
    workers = launcher()
    async with pool(workers) as supervisor, client_of(supervisor) as client:
        supervisor.kill("w1", if_clock=supervisor.clock("w1"))
        await workers.hands["w1"].exited()
        assert await client.call(3) == 3
        (report,) = await client.exits()
        assert (report.worker, report.reason) == ("w1", ExitReason.KILLED_BY_SUPERVISOR)
        assert report.phase == "killed"
        with pytest.raises(NodeError, match="no worker 'w1'"):
            supervisor.kill("w1")


async def test_the_loss_carries_the_report(launcher: Any, pool: Any) -> None:
    begun = anyio.Event()

    async def hang(_: Any) -> None:
        begun.set()
        await anyio.sleep_forever()

    workers = launcher(hang)
    async with pool(workers) as supervisor, client_of(supervisor) as client:
        caught: list[WorkerLost] = []

        async def call() -> None:
            with pytest.raises(WorkerLost) as info:
                await client.call(1)
            caught.append(info.value)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await begun.wait()
            await supervisor.members["w1"].mirror.when("Working", "ClientConnected")
            workers.hands["w1"].kill()
        report = caught[0].report
        assert isinstance(report, ExitReport)
        assert (report.worker, report.client, report.reason) == ("w1", "me", ExitReason.SIGNALLED)
        assert (report.signal, report.code, report.jobs) == (9, None, 1)
        assert report.clock["WorkRequested"] == 1
        assert {"Working", "ClientConnected", "Provided"} <= set(report.states)
        assert supervisor.exits.of("w1") == report


async def test_assign_gives_one_worker_to_one_client_that_waits(
    launcher: Any, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "pick_idle", lambda *_: None)  # nobody has a turn
    async with pool(launcher(), max=1) as supervisor, client_of(supervisor) as client:
        with pytest.raises(NodeError, match="client 'me' does not wait for one"):
            supervisor.assign("w1", "me")
        with pytest.raises(NodeError, match="no worker 'w9'"):
            supervisor.assign("w9", "me")
        answers: list[int] = []

        async def ask() -> None:
            answers.append(await client.call(2))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            while supervisor.view.waiting == 0:
                await supervisor.machine.when_next("ProvideWorker")
            clock = supervisor.clock("w1")
            with pytest.raises(StaleDecision):
                supervisor.assign("w1", "me", if_clock=clock - 1)
            assert supervisor.desk.leases.leases == ()
            lease = supervisor.assign("w1", "me", if_clock=clock)
            with pytest.raises(NodeError, match="it is leased"):
                supervisor.assign("w1", "me")
        assert answers == [2]
        (held,) = supervisor.desk.leases.leases
        assert (held.id, held.worker, held.client) == (lease, "w1", "me")
