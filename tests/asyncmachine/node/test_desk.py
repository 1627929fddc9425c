from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

import anyio
import pytest

from amstates.supervisor import SUPERVISOR_SCHEMA
from amstates.supervisor import SupervisorStates as ss
from amstates.worker import WORKER_SCHEMA
from asyncmachine.errors import LaunchError, Refused
from asyncmachine.node.args import Answer, LostNotice, PoolStatus
from asyncmachine.node.exits import ExitReason, ExitReport
from asyncmachine.node.function_worker import FunctionWorker
from asyncmachine.node.link import WorkerLink
from asyncmachine.node.supervisor import Supervisor
from asyncmachine.rpc.client import Client, tcp

pytestmark = pytest.mark.anyio


class Customer:
    """A client of a supervisor that keeps all that it is told."""

    def __init__(self, supervisor: Supervisor, name: str) -> None:
        self.name = name
        self.told: list[Answer | LostNotice | PoolStatus] = []
        self._news = anyio.Event()
        host, _, port = supervisor.address.rpartition(":")
        self.rpc = Client(
            tcp(host, int(port)),
            SUPERVISOR_SCHEMA,
            client_id=name,
            kind="test",
            on_payload=self._payload,
            reconnect=False,
        )

    def _payload(self, payload: Any) -> None:
        kinds = {ss.ProvideWorker: Answer, ss.WorkerLost: LostNotice, ss.ListWorkers: PoolStatus}
        self.told.append(kinds[payload.name].decode(payload.data))
        self._news.set()
        self._news = anyio.Event()

    async def ask(self, request: int, **args: str) -> Any:
        """Ask for a worker; the first word on it."""
        asked = {"client": self.name, "kind": "test", "digest": WORKER_SCHEMA.digest, **args}
        await self.rpc.machine.add(ss.ProvideWorker, request=request, **asked)
        return await self.hear(lambda told: isinstance(told, Answer) and told.request == request)

    async def hear(self, wanted: Callable[[Any], bool]) -> Any:
        """The first word that is *wanted*; it counts as heard from now on."""
        while True:
            for told in self.told:
                if wanted(told):
                    self.told.remove(told)
                    return told
            await self._news.wait()

    async def final(self, request: int) -> Answer:
        """The last word on a request."""
        answer: Answer = await self.hear(
            lambda told: isinstance(told, Answer) and told.request == request and told.status != "queued"
        )
        return answer

    async def release(self, request: int) -> None:
        await self.rpc.machine.add(ss.ReleaseWorker, request=request)

    async def __aenter__(self) -> Self:
        self._tasks = await anyio.create_task_group().__aenter__()
        self._tasks.start_soon(self.rpc.run)
        await self.rpc.ready()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.rpc.stop()
        if error[0] is not None:
            self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)


@asynccontextmanager
async def connected(answer: Answer, client: str) -> AsyncIterator[WorkerLink]:
    """The holder of a lease, at its worker."""
    link = WorkerLink(answer, client, "test", lambda _link, _result: None)
    async with anyio.create_task_group() as tasks:
        await tasks.start(link.run)
        yield link
        link.release()


async def until(supervisor: Supervisor, worker: str, phase: str) -> None:
    """Until the supervisor has seen the worker in this phase."""
    while worker not in supervisor.view.workers or supervisor.view.workers[worker].phase != phase:
        await anyio.lowlevel.checkpoint()


# -- answers ---------------------------------------------------------------------------------------


async def test_a_grant_opens_the_worker(launcher: Any, pool: Any) -> None:
    async with pool(launcher()) as supervisor, Customer(supervisor, "ann") as ann:
        answer = await ann.ask(7)
        assert (answer.request, answer.status, answer.worker, answer.lease) == (7, "granted", "w1", 1)
        assert (answer.host, len(answer.ticket)) == ("127.0.0.1", 32)
        assert supervisor.desk.holds("w1")
        assert supervisor.view.workers["w1"].client == "ann"
        await supervisor.machine.when_not(ss.WorkersAvailable)
        async with connected(answer, "ann"):
            await until(supervisor, "w1", "leased")
        await until(supervisor, "w1", "idle")
        assert not supervisor.desk.holds("w1")
        await supervisor.machine.when(ss.WorkersAvailable)


async def test_a_ticket_is_for_one_client_and_one_session(launcher: Any, pool: Any) -> None:
    async with pool(launcher()) as supervisor, Customer(supervisor, "ann") as ann:
        answer = await ann.ask(1)
        with pytest.RaisesGroup(pytest.RaisesExc(Refused), flatten_subgroups=True):
            async with connected(answer, "bob"):
                pytest.fail("bob is in")
        async with connected(answer, "ann"):
            pass


async def test_who_comes_later_waits(launcher: Any, pool: Any) -> None:
    async with (
        pool(launcher(), max=1) as supervisor,
        Customer(supervisor, "ann") as ann,
        Customer(supervisor, "bob") as bob,
        Customer(supervisor, "cid") as cid,
    ):
        first = await ann.ask(1)
        assert first.status == "granted"
        second, third = await bob.ask(1), await cid.ask(1)
        assert [(a.status, a.position) for a in (second, third)] == [("queued", 1), ("queued", 2)]
        assert supervisor.view.waiting == 2
        await ann.release(1)
        granted = await bob.final(1)
        assert (granted.status, granted.lease) == ("granted", 2)
        assert supervisor.view.waiting == 1
        assert cid.told == []


async def test_the_queue_has_an_end(launcher: Any, pool: Any) -> None:
    async with pool(launcher(), max=1, queue_limit=1) as supervisor, Customer(supervisor, "ann") as ann:
        statuses = [(await ann.ask(n)).status for n in (1, 2, 3)]
        assert statuses == ["granted", "queued", "busy"]
        busy = await ann.ask(4)
        assert busy.retry_after >= 1
        assert busy.reason == "too many requests are waiting"


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ({"kind": "other"}, "this pool does 'test', not 'other'"),
        ({"digest": "0" * 64}, f"workers of this pool run schema {WORKER_SCHEMA.digest}, you expect 000"),
    ],
)
async def test_a_pool_of_something_else(launcher: Any, pool: Any, args: Any, reason: str) -> None:
    async with pool(launcher()) as supervisor, Customer(supervisor, "ann") as ann:
        answer = await ann.ask(1, **args)
        assert answer.status == "denied"
        assert answer.reason.startswith(reason)
        assert supervisor.desk.leases.leases == ()


async def test_a_client_may_hold_so_many(launcher: Any, pool: Any) -> None:
    async with (
        pool(launcher(), min=2, max_client_workers=1) as supervisor,
        Customer(supervisor, "ann") as ann,
        Customer(supervisor, "bob") as bob,
    ):
        assert (await ann.ask(1)).status == "granted"
        assert (await ann.ask(2)).status == "denied"
        assert (await bob.ask(1)).status == "granted"


async def test_who_waits_is_denied_when_the_pool_ends(launcher: Any, pool: Any) -> None:
    async with pool(launcher(), max=1) as supervisor, Customer(supervisor, "ann") as ann:
        await ann.ask(1)
        assert (await ann.ask(2)).status == "queued"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(supervisor.stop)
            denied = await ann.final(2)
            assert (denied.status, denied.reason) == ("denied", "the pool is draining")
            late = await ann.ask(3)
            assert late.status == "denied"
            assert "draining" in late.reason


async def test_a_broken_pool_says_so(launcher: Any, pool: Any) -> None:
    workers = launcher()
    async with pool(workers, boot_failures=1) as supervisor, Customer(supervisor, "ann") as ann:
        workers.error = LaunchError("no memory")
        workers.hands["w1"].kill()
        await supervisor.machine.when(ss.ErrPool)
        while not supervisor.view.broken:
            await anyio.lowlevel.checkpoint()
        answer = await ann.ask(1)
        assert answer.status == "denied"
        assert answer.reason.startswith("the pool is broken: 1 workers in a row failed to start")


# -- workers ---------------------------------------------------------------------------------------


class Unwilling(FunctionWorker):
    """Takes no client."""

    def serve_client_enter(self, event: Any) -> bool:
        return False


async def test_a_refused_request_goes_on_to_the_next_worker(launcher: Any, pool: Any) -> None:
    workers = launcher()
    willing = workers.make
    workers.make = lambda s: Unwilling(s, workers.function) if s.worker == "w2" else willing(s)
    async with pool(workers, min=2) as supervisor, Customer(supervisor, "ann") as ann:
        await supervisor.machine.when(ss.PoolNormalized)
        answer = await ann.ask(1)
        assert (answer.status, answer.worker) == ("granted", "w1")
        assert not supervisor.desk.holds("w2")


async def test_a_request_that_all_refuse_is_denied(launcher: Any, pool: Any) -> None:
    workers = launcher()
    workers.make = lambda s: Unwilling(s, workers.function)
    async with pool(workers, min=2, max=2, lease_tries=2) as supervisor, Customer(supervisor, "ann") as ann:
        answer = await ann.ask(1)
        assert answer.status == "denied"
        assert answer.reason.startswith("2 workers refused: w")
        assert supervisor.desk.leases.leases == ()
        assert supervisor.view.waiting == 0


async def test_the_holder_hears_how_its_worker_died(launcher: Any, pool: Any) -> None:
    workers = launcher()
    async with pool(workers) as supervisor, Customer(supervisor, "ann") as ann:
        answer = await ann.ask(1)
        workers.hands["w1"].kill()
        notice = await ann.hear(lambda told: isinstance(told, LostNotice))
        assert (notice.worker, notice.lease) == ("w1", answer.lease)
        assert notice.reason.startswith("worker w1 (pid 1000) was ended by SIGKILL")
        report = ExitReport.decode(notice.report)
        assert (report.reason, report.signal, report.client) == (ExitReason.SIGNALLED, 9, "ann")
        assert (report.lease, report.request) == (answer.lease, 1)
        assert "Provided" in report.states
        assert supervisor.desk.leases.leases == ()
        assert ann.told == []


async def test_a_worker_that_dies_before_its_client_knows_is_replaced_by_another(
    launcher: Any, pool: Any
) -> None:
    workers = launcher()

    class Dying(FunctionWorker):
        def serve_client_enter(self, event: Any) -> bool:
            workers.hands[self.settings.worker].kill()
            return False

    willing = workers.make
    workers.make = lambda s: Dying(s, workers.function) if s.worker == "w1" else willing(s)
    async with pool(workers, max=1) as supervisor, Customer(supervisor, "ann") as ann:
        await ann.rpc.machine.add(
            ss.ProvideWorker, request=1, client="ann", kind="test", digest=WORKER_SCHEMA.digest
        )
        answer = await ann.final(1)
        assert (answer.status, answer.worker) == ("granted", "w2")
        assert not any(isinstance(told, LostNotice) for told in ann.told)
        assert supervisor.lost == 1


# -- ends of leases --------------------------------------------------------------------------------


async def test_a_lease_that_nobody_claims_ends(launcher: Any, pool: Any) -> None:
    async with pool(launcher(), max=1, ticket_ttl=0.05) as supervisor, Customer(supervisor, "ann") as ann:
        assert (await ann.ask(1)).status == "granted"
        assert (await ann.ask(2)).status == "queued"
        assert (await ann.final(2)).status == "granted"


async def test_only_the_holder_can_release(launcher: Any, pool: Any) -> None:
    async with (
        pool(launcher()) as supervisor,
        Customer(supervisor, "ann") as ann,
        Customer(supervisor, "eve") as eve,
    ):
        answer = await ann.ask(1)
        async with connected(answer, "ann") as link:
            await eve.release(1)
            await eve.release(answer.lease)
            assert supervisor.desk.holds("w1")
            assert link._rpc.machine.connected
            await ann.release(1)
            await until(supervisor, "w1", "idle")
            await link._rpc.machine.when_disposed()
        assert not supervisor.desk.holds("w1")


async def test_a_waiting_request_can_be_withdrawn(launcher: Any, pool: Any) -> None:
    async with pool(launcher(), max=1) as supervisor, Customer(supervisor, "ann") as ann:
        await ann.ask(1)
        assert (await ann.ask(2)).status == "queued"
        await ann.release(2)
        assert supervisor.view.waiting == 0
        await ann.release(1)
        await until(supervisor, "w1", "idle")
        assert ann.told == []


async def test_the_requests_of_a_client_that_is_gone_are_dropped(launcher: Any, pool: Any) -> None:
    async with pool(launcher(), max=1) as supervisor, Customer(supervisor, "ann") as ann:
        answer = await ann.ask(1)
        async with Customer(supervisor, "bob") as bob:
            assert (await bob.ask(1)).status == "queued"
        while supervisor.view.waiting:
            await anyio.lowlevel.checkpoint()
        async with connected(answer, "ann"):
            assert supervisor.desk.holds("w1")
        await until(supervisor, "w1", "idle")


async def test_a_lease_outlives_the_session_with_the_supervisor(launcher: Any, pool: Any) -> None:
    async with pool(launcher()) as supervisor:
        async with Customer(supervisor, "ann") as ann:
            answer = await ann.ask(1)
        async with connected(answer, "ann"):
            while supervisor.server.sessions:
                await anyio.lowlevel.checkpoint()
            assert supervisor.desk.holds("w1")
        await until(supervisor, "w1", "idle")


# -- status ----------------------------------------------------------------------------------------


async def test_status(launcher: Any, pool: Any) -> None:
    workers = launcher()
    async with (
        pool(workers, min=2, max=2) as supervisor,
        Customer(supervisor, "ann") as ann,
        Customer(supervisor, "eve") as eve,
    ):
        held = await ann.ask(1)
        await ann.ask(2)
        assert (await ann.ask(3)).status == "queued"
        await eve.rpc.machine.add(ss.ListWorkers, request=9)
        status = await eve.hear(lambda told: isinstance(told, PoolStatus))
        assert (status.request, status.kind, status.waiting) == (9, "test", 1)
        assert (status.started, status.lost) == (2, 0)
        assert status.clients == ("ann", "eve")
        assert ss.PoolReady in status.states
        assert [(w.worker, w.pid, w.jobs, w.client) for w in status.workers] == [
            ("w1", workers.hands["w1"].pid, 0, "ann"),
            ("w2", workers.hands["w2"].pid, 0, "ann"),
        ]
        row = next(w for w in status.workers if w.worker == held.worker)
        assert row.phase == "leased"
        assert {"Ready", "Provided"} <= set(row.states)
        assert row.age >= 0
        assert ann.told == []
