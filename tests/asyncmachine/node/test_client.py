from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import pytest

from amstates.client import ClientStates as ss
from amstates.supervisor import SUPERVISOR_SCHEMA, SupervisorHandlers
from amstates.supervisor import SupervisorStates as super_ss
from asyncmachine.errors import NodeError, NotConnected, NoWorker, Refused
from asyncmachine.machine import Machine
from asyncmachine.node.client import ClientConfig, NodeClient
from asyncmachine.node.supervisor import Supervisor
from asyncmachine.rpc.acl import Acl
from asyncmachine.rpc.netmachine import NetMachine
from asyncmachine.rpc.server import Server

pytestmark = pytest.mark.anyio


def free_port() -> int:
    """A port that refuses connections."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Mute(SupervisorHandlers):
    """A supervisor that takes requests and never answers them; see :func:`mute`."""

    def __init__(self, kind: str) -> None:
        self.machine = Machine(SUPERVISOR_SCHEMA, self, id="mute")
        self.server = Server(self.machine, Acl.open("client"), kind=kind, max_sessions=9)
        self.asked = anyio.Event()
        self.dies_when_asked = False
        self.scope = anyio.CancelScope()
        self.address = ""

    def provide_worker_state(self, event: Any) -> None:
        self.asked.set()
        event.machine.remove(super_ss.ProvideWorker)
        if self.dies_when_asked:
            self.die()

    def die(self) -> None:
        """Its port and its sessions close without a word."""
        self.scope.cancel()

    async def serve(self, listener: Any) -> None:
        async with listener:
            with self.scope:
                await self.server.serve(listener)


@asynccontextmanager
async def mute(kind: str = "test") -> AsyncIterator[Mute]:
    one = Mute(kind)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    one.address = f"127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
    async with one.machine, anyio.create_task_group() as tasks:
        one.machine.add(super_ss.Start)
        tasks.start_soon(one.serve, listener)
        yield one
        one.die()


def client_of(*addresses: str, kind: str = "test", **config: float) -> NodeClient:
    return NodeClient(addresses, kind=kind, client_id="me", config=ClientConfig(**config))


async def until_waiting(supervisor: Supervisor, count: int) -> None:
    while supervisor.view.waiting != count:
        await anyio.lowlevel.checkpoint()


def test_a_list_with_what_is_no_address() -> None:
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        NodeClient(["127.0.0.1:1", "host"], kind="test")


def test_a_client_without_a_supervisor() -> None:
    with pytest.raises(ValueError, match="give at least one HOST:PORT"):
        NodeClient([], kind="test")


# -- finding a supervisor --------------------------------------------------------------------------


async def test_the_first_supervisor_that_answers(launcher: Any, pool: Any) -> None:
    async with pool(launcher()) as good, client_of(f"127.0.0.1:{free_port()}", good.address) as client:
        assert client.machine.is_active(ss.SuperConnected, ss.SuperReady)
        assert await client.call({"a": [1, None]}) == {"a": [1, None]}
        assert [s.client_id for s in good.server.sessions] == ["me"]


async def test_a_supervisor_of_another_kind_refuses(launcher: Any, pool: Any) -> None:
    async with pool(launcher()) as supervisor:
        with pytest.raises(Refused, match="this server is of kind 'test', not 'other'"):
            async with client_of(supervisor.address, kind="other"):
                pytest.fail("it is in")


async def test_nobody_is_there() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(NodeError, match=f"no supervisor could be reached at {address}"):
        async with client_of(address, start_timeout=0.05):
            pytest.fail("it is in")


async def test_somebody_listens_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(NodeError, match="no supervisor could be reached"):
            async with client_of(address, address_timeout=0.02, start_timeout=0.1):
                pytest.fail("it is in")


async def test_a_silent_one_does_not_keep_it_from_the_next(launcher: Any, pool: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        async with (
            pool(launcher()) as supervisor,
            client_of(address, supervisor.address, address_timeout=0.1) as client,
        ):
            assert await client.call(1) == 1


# -- losing it -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dies_when_asked", [False, True])
async def test_what_a_lost_supervisor_did_not_answer_is_asked_again(
    launcher: Any, pool: Any, dies_when_asked: bool
) -> None:
    async with (
        pool(launcher()) as good,
        mute() as first,
        client_of(first.address, good.address) as client,
    ):
        first.dies_when_asked = dies_when_asked
        lost = client.machine.when_next(ss.SuperLost)
        results: list[str] = []

        async def call() -> None:
            results.append(await client.call("x"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await first.asked.wait()
            assert results == []
            first.die()
            await lost
        assert results == ["x"]
        assert client.machine.is_active(ss.SuperReady)
        assert [s.client_id for s in good.server.sessions] == ["me"]


async def test_a_worker_is_kept_when_the_supervisor_is_lost(launcher: Any, pool: Any) -> None:
    async with pool(launcher()) as supervisor, client_of(supervisor.address) as client:
        assert await client.call(1) == 1
        lost = client.machine.when_next(ss.SuperLost)
        supervisor.server.close()
        await lost
        assert await client.call(2) == 2
        await client.machine.when(ss.SuperReady)
        assert supervisor.started == 1


async def test_an_old_refusal_does_not_end_a_client_that_was_let_in(launcher: Any, pool: Any) -> None:
    async with (
        mute("other") as other,
        pool(launcher()) as good,
        client_of(other.address, good.address) as client,
    ):
        lost = client.machine.when_next(ss.SuperLost)
        good.server.close()
        await lost
        await client.machine.when(ss.SuperReady)
        assert await client.call(1) == 1


class Gone:
    """A session that has ended, while the task that holds it does not know yet."""

    def __init__(self) -> None:
        self.machine = NetMachine(SUPERVISOR_SCHEMA, "gone", self._call)

    def _call(self, *request: object) -> Any:
        raise NotConnected("gone has no session")


async def test_a_request_in_the_moment_of_the_loss(launcher: Any, pool: Any) -> None:
    async with pool(launcher()) as supervisor, client_of(supervisor.address) as client:
        session = client._super
        results: list[int] = []

        async def call() -> None:
            results.append(await client.call(1))

        client._super = cast("Any", Gone())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await client.machine.when(ss.WorkerRequested)
            client._super = session
        assert results == [1]


async def test_no_supervisor_is_left(launcher: Any) -> None:
    async with mute() as only, client_of(only.address, lease_timeout=0.1) as client:
        only.die()
        await client.machine.when_not(ss.SuperReady)
        with pytest.raises(NodeError, match=f"no supervisor at {only.address}"):
            await client.status()
        with pytest.raises(NoWorker, match=r"no worker within 0\.1 s"):
            await client.call(1)


# -- asking it -------------------------------------------------------------------------------------


async def test_status(launcher: Any, pool: Any) -> None:
    async with pool(launcher(), min=2) as supervisor, client_of(supervisor.address) as client:
        await client.call(1)
        status = await client.status()
        assert (status.kind, status.clients, status.started) == ("test", ("me",), 2)
        assert sorted(w.client for w in status.workers) == ["", "me"]


async def test_a_request_that_nobody_waits_for_is_withdrawn(launcher: Any, pool: Any) -> None:
    async with (
        pool(launcher(), max=1) as supervisor,
        client_of(supervisor.address) as holder,
        NodeClient([supervisor.address], kind="test", config=ClientConfig(lease_timeout=0.2)) as client,
    ):
        assert await holder.call(1) == 1
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(until_waiting, supervisor, 1)
            with pytest.raises(NoWorker, match=r"no worker within 0\.2 s; the pool is busy"):
                await client.call(2)
        await until_waiting(supervisor, 0)
        assert client.machine.is_inactive(ss.WorkerRequested)


async def test_who_was_denied_may_ask_again(launcher: Any, pool: Any) -> None:
    async with (
        pool(launcher(), max=1) as supervisor,
        client_of(supervisor.address) as holder,
        NodeClient([supervisor.address], kind="test", config=ClientConfig(lease_timeout=0.1)) as client,
    ):
        async with holder.fleet() as fleet:
            assert await fleet.call(1) == 1
            with pytest.raises(NoWorker):
                await client.call(2)
        client.config = ClientConfig()
        assert await client.call(3) == 3


async def test_a_denial_is_told(launcher: Any, pool: Any) -> None:
    async with (
        pool(launcher(), max_client_workers=1, max=2) as supervisor,
        client_of(supervisor.address) as client,
    ):
        assert await client.call(1) == 1
        denied = client.machine.when_next(ss.WorkerDenied)
        async with client.fleet() as fleet:
            with pytest.raises(NoWorker, match="me"):
                await fleet.call(2)
        await denied
        assert await client.call(3) == 3


async def test_leaving_gives_everything_back(launcher: Any, pool: Any) -> None:
    async with pool(launcher()) as supervisor:
        async with client_of(supervisor.address) as client:
            await client.call(1)
        assert client.machine.disposed
        while supervisor.desk.leases.leases or supervisor.server.sessions:
            await anyio.lowlevel.checkpoint()
