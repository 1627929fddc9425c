from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute

from amstates.rpc_client import RpcClientStates as S
from asyncmachine.errors import MachineDisposed, NotConnected, OutcomeUnknown, Refused, RpcError
from asyncmachine.machine import Machine
from asyncmachine.rpc.acl import Acl, TicketBook
from asyncmachine.rpc.client import Client, from_socket, tcp, unix
from asyncmachine.rpc.config import RpcConfig
from asyncmachine.rpc.server import Server
from asyncmachine.rpc.transport import jitter

pytestmark = pytest.mark.anyio

QUICK = RpcConfig(interval=0.0, retry_base=0.002, retry_cap=0.01)


async def test_states_show_what_goes_on(session: Any) -> None:
    async with session() as pair:
        states = pair.client.states
        assert states.is_active(S.Start, S.Connected, S.HandshakeDone, S.Ready)
        assert not states.any_active(S.Exception, S.Connecting, S.Handshaking, S.Disconnected)
        assert pair.mirror.connected
    assert states.is_active(S.Disconnected)
    assert not states.any_active(S.Start, S.Ready, S.Connected)


async def test_a_thousand_pipelined_mutations_end_in_order(session: Any) -> None:
    async with session() as pair:
        replies = [pair.mirror.toggle("Start") for _ in range(1000)]
        last = pair.mirror.add("Start")
        results = [await reply for reply in replies]
        assert all(result.executed for result in results)
        assert (await last).executed
        assert pair.mirror.tick("Start") == pair.source.tick("Start") == 1001


async def test_too_many_unanswered_requests_are_refused_here(session: Any) -> None:
    async with session() as pair:
        limit = pair.client.config.limits.in_flight
        replies = [pair.mirror.add("Start") for _ in range(limit)]
        with pytest.raises(RpcError, match=f"{limit} requests are not answered yet"):
            pair.mirror.add("Start")
        for reply in replies:
            await reply
        assert await pair.mirror.add("Start")


async def test_stopping_with_calls_under_way(session: Any) -> None:
    async with session() as pair:
        replies = [pair.mirror.add("Start") for _ in range(10)]
        pair.client.stop()
        outcomes = []
        for reply in replies:
            try:
                outcomes.append(await reply)
            except OutcomeUnknown as error:
                outcomes.append(str(error))
        assert len(outcomes) == 10
        await pair.mirror.when_disposed()
        with pytest.raises(NotConnected):
            await pair.client.ready()
        with pytest.raises(NotConnected):
            pair.mirror.add("Start")


async def test_waits_outlive_a_connection_and_see_what_was_missed(lamp: Machine, link: Any) -> None:
    server = Server(lamp, Acl.open("client"), config=QUICK)
    opened = []
    async with anyio.create_task_group() as tasks:

        async def dial() -> Any:
            near, far = link()
            opened.append(far)
            tasks.start_soon(server.serve_stream, far)
            return near

        client = Client(dial, lamp.schema, client_id="me", config=QUICK)
        tasks.start_soon(client.run)
        mirror = await client.ready()
        await mirror.add("Start")
        waiting = mirror.when("Seen")
        with anyio.fail_after(5):
            lost = client.states.when(S.Disconnected)
            await opened[0].aclose()
            await lost
            assert mirror.stale
            assert mirror.is_active("Start")
            lamp.add("Seen")
            await waiting
        assert mirror.connected
        assert not mirror.stale
        assert len(opened) == 2
        assert client.error is None
        client.stop()


async def test_calls_have_an_unknown_outcome_when_the_connection_breaks(lamp: Machine, link: Any) -> None:
    server = Server(lamp, Acl.open("client"), config=QUICK)
    far_ends = []
    async with anyio.create_task_group() as tasks:

        async def dial() -> Any:
            near, far = link()
            far_ends.append(far)
            tasks.start_soon(server.serve_stream, far)
            return near

        client = Client(dial, lamp.schema, client_id="me", config=QUICK, reconnect=False)
        tasks.start_soon(client.run)
        mirror = await client.ready()
        call = mirror.add("Start")
        await far_ends[0].aclose()
        with anyio.fail_after(5), pytest.raises(OutcomeUnknown):
            await call


async def test_a_refusal_is_final(lamp: Machine, link: Any) -> None:
    server = Server(lamp, Acl.tickets("client", TicketBook()), config=QUICK)
    dialled = []
    async with anyio.create_task_group() as tasks:

        async def dial() -> Any:
            near, far = link()
            dialled.append(near)
            tasks.start_soon(server.serve_stream, far)
            return near

        client = Client(dial, lamp.schema, client_id="me", config=QUICK, ticket=bytes(32))
        tasks.start_soon(client.run)
        with anyio.fail_after(5), pytest.raises(Refused, match="the server refused the session: refused"):
            await client.ready()
        assert client.states.is_active(S.ErrAuth)
    assert len(dialled) == 1
    assert server.sessions == ()


async def test_a_client_that_cannot_connect_tries_again_until_it_can(lamp: Machine, link: Any) -> None:
    server = Server(lamp, Acl.open("client"), config=QUICK)
    attempts = []
    async with anyio.create_task_group() as tasks:

        async def dial() -> Any:
            attempts.append(1)
            if len(attempts) < 4:
                raise ConnectionRefusedError("nobody there")
            near, far = link()
            tasks.start_soon(server.serve_stream, far)
            return near

        client = Client(dial, lamp.schema, client_id="me", config=QUICK)
        tasks.start_soon(client.run)
        failed = client.states.when(S.ErrConnecting)
        with anyio.fail_after(5):
            await failed
            await client.ready()
        assert len(attempts) == 4
        assert not client.states.any_active(S.ErrConnecting, S.Exception)
        client.stop()


async def test_a_client_gives_up_after_a_while(lamp: Machine) -> None:
    async def dial() -> Any:
        raise ConnectionRefusedError("nobody there")

    config = RpcConfig(retry_base=0.001, retry_cap=0.002, retry_total=0.01)
    client = Client(dial, lamp.schema, client_id="me", config=config)
    with anyio.fail_after(5):
        await client.run()
    assert client.states.tick(S.ConnRetryFailed) > 0
    with pytest.raises(NotConnected, match="gave up"):
        await client.ready()


async def test_a_connection_that_does_not_open_is_given_up(lamp: Machine) -> None:
    config = RpcConfig(connect_timeout=0.01)
    client = Client(anyio.sleep_forever, lamp.schema, client_id="me", config=config, reconnect=False)  # type: ignore[arg-type]
    with anyio.fail_after(5):
        await client.run()
    with pytest.raises(NotConnected, match="no connection within"):
        await client.ready()


@pytest.mark.parametrize("while_", ["dialling", "pausing"])
async def test_stop_ends_it_at_any_time(lamp: Machine, while_: str) -> None:
    async def dial() -> Any:
        if while_ == "dialling":
            await anyio.sleep_forever()
        raise ConnectionRefusedError("nobody there")

    config = RpcConfig(retry_base=1000, retry_cap=1000)
    client = Client(dial, lamp.schema, client_id="me", config=config)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.run)
        with anyio.fail_after(5):
            await client.states.when(S.Connecting if while_ == "dialling" else S.RetryingConn)
            await anyio.wait_all_tasks_blocked()
            client.stop()
    with pytest.raises(NotConnected):
        await client.ready()


async def test_it_runs_once(session: Any) -> None:
    async with session() as pair:
        with pytest.raises(RpcError, match="has run already"):
            await pair.client.run()


async def test_the_mirror_is_disposed_of_with_its_client(session: Any) -> None:
    async with session() as pair:
        waiting = pair.mirror.when("Secret")
    with pytest.raises(MachineDisposed):
        await waiting
    assert pair.mirror.disposed


@pytest.mark.parametrize("client_id", ["", "x" * 256])
def test_client_ids_have_a_length(lamp: Machine, client_id: str) -> None:
    with pytest.raises(RpcError, match="client_id"):
        Client(tcp("127.0.0.1", 1), lamp.schema, client_id=client_id)


async def use(client: Client) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.run)
        with anyio.fail_after(5):
            mirror = await client.ready()
            for _ in range(20):
                assert await mirror.toggle("Start")
        assert mirror.tick("Start") == 20
        client.stop()


async def test_over_tcp(lamp: Machine) -> None:
    server = Server(lamp, Acl.open("client"))
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, listener)
        port = listener.extra(SocketAttribute.local_port)
        await use(Client(tcp("127.0.0.1", port), lamp.schema, client_id="me"))
        tasks.cancel_scope.cancel()


async def test_over_a_unix_socket(lamp: Machine, tmp_path: Path) -> None:
    server = Server(lamp, Acl.open("client"))
    path = str(tmp_path / "s")
    async with await anyio.create_unix_listener(path) as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, listener)
        await use(Client(unix(path), lamp.schema, client_id="me"))
        tasks.cancel_scope.cancel()


async def test_over_a_socket_pair(lamp: Machine) -> None:
    one, other = socket.socketpair()
    server = Server(lamp, Acl.open("client"))
    far = await from_socket(other)()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve_stream, far)
        await use(Client(from_socket(one), lamp.schema, client_id="me", reconnect=False))


async def test_a_socket_is_good_for_one_attempt(lamp: Machine) -> None:
    one, other = socket.socketpair()
    connect = from_socket(one)
    stream = await connect()
    await stream.aclose()
    other.close()
    with pytest.raises(OSError, match="has been used"):
        await connect()


def test_jitter_is_full() -> None:
    found = [jitter(2.0) for _ in range(1000)]
    assert all(0 <= x <= 2 for x in found)
    assert min(found) < 0.2
    assert max(found) > 1.8
