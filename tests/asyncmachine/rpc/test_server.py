"""Over real sockets too: hostile peers, and that others are not affected."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute

from asyncmachine.errors import NotConnected, Refused
from asyncmachine.machine import Machine
from asyncmachine.rpc.acl import Acl, TicketBook, ticket_digest
from asyncmachine.rpc.client import Client, tcp
from asyncmachine.rpc.config import Limits, RpcConfig
from asyncmachine.rpc.protocol.connection import PREFACE
from asyncmachine.rpc.protocol.messages import Code
from asyncmachine.rpc.server import Server
from asyncmachine.schema import Schema
from asyncmachine.testing.sim.host import Process
from asyncmachine.testing.sim.world import World, simulate

pytestmark = pytest.mark.anyio

QUICK = RpcConfig(interval=0.0, limits=Limits(preauth_seconds=1.0, refusal_seconds=0.01))
HASTY = RpcConfig(limits=Limits(preauth_seconds=0.05, refusal_seconds=0.01))


@asynccontextmanager
async def listening(server: Server) -> AsyncIterator[int]:
    """The port on which *server* serves."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, listener)
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


async def attempt(server: Server, link: Any, schema: Schema | None = None, **options: Any) -> None:
    """One session that is opened and ended. Raises what ``ready`` raises."""
    async with anyio.create_task_group() as tasks:

        async def dial() -> Any:
            near, far = link()
            tasks.start_soon(server.serve_stream, far)
            return near

        args = {"client_id": "me", "reconnect": False, "config": server.config, **options}
        client = Client(dial, schema or server.source.schema, **args)
        tasks.start_soon(client.run)
        failure = None
        with anyio.fail_after(5):
            try:
                await client.ready()
            except (Refused, NotConnected) as error:
                failure = error
        client.stop()
    if failure is not None:
        raise failure


async def read_all(stream: Any) -> bytes:
    got = b""
    try:
        while True:
            got += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return got


HOSTILE = {
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "redis": b"*1\r\n$4\r\nPING\r\n",
    "silence": b"",
    "preface only": PREFACE,
    "half a frame": PREFACE + b"\0\0\0\x10\0abc",
    "oversize": PREFACE + b"\xff\xff\xff\xff\0",
    "empty frame": PREFACE + bytes(5),
    "garbage": PREFACE + b"\0\0\0\x08\0" + b"\xff" * 8,
    "flood": PREFACE + bytes([0, 0, 0x1F, 0xFF, 0]) + bytes(100_000),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_peer_is_closed_in_time_and_others_are_not_affected(lamp: Machine, name: str) -> None:
    server = Server(lamp, Acl.open("client"), config=QUICK)
    async with listening(server) as port, anyio.create_task_group() as tasks:
        client = Client(tcp("127.0.0.1", port), lamp.schema, client_id="good")
        tasks.start_soon(client.run)
        mirror = await client.ready()
        server.config = HASTY
        with anyio.fail_after(5):
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                if HOSTILE[name]:
                    await stream.send(HOSTILE[name])
                answer = await read_all(stream)
            assert (await mirror.add("Start")).executed
        assert answer == b"" or b"refused" in answer
        assert [s.client_id for s in server.sessions] == ["good"]
        client.stop()


async def test_a_hostile_peer_is_one_line_in_the_log(
    lamp: Machine, link: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(lamp, Acl.open("client"), config=QUICK)
    near, far = link()
    with caplog.at_level(logging.INFO, "asyncmachine.rpc"):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve_stream, far)
            await near.send(PREFACE + b"\0\0\0\x03\0\xffab")
            with anyio.fail_after(5):
                await read_all(near)
            await near.aclose()
    assert len(caplog.records) == 1
    assert server.sessions == ()


async def test_tickets_over_tcp(lamp: Machine) -> None:
    book = TicketBook()
    server = Server(lamp, Acl.tickets("client", book), config=QUICK)
    ticket = bytes(range(32))
    async with listening(server) as port:

        async def knock(proof: bytes | None, who: str = "me") -> None:
            client = Client(tcp("127.0.0.1", port), lamp.schema, client_id=who, ticket=proof, reconnect=False)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.run)
                failure = None
                try:
                    await client.ready()
                except Refused as error:
                    failure = error
                client.stop()
            if failure is not None:
                raise failure

        book.register(ticket_digest(ticket), "me", anyio.current_time() + 60)
        for proof, who in ((None, "me"), (bytes(32), "me"), (ticket, "you"), (ticket[:5], "me"), (b"", "me")):
            with pytest.raises(Refused, match=r"refused$"):
                await knock(proof, who)
        await knock(ticket)
        with pytest.raises(Refused):
            await knock(ticket)
        book.register(ticket_digest(ticket), "me", anyio.current_time() - 1)
        with pytest.raises(Refused):
            await knock(ticket)


async def test_two_clients_with_one_stolen_ticket(lamp: Machine, link: Any) -> None:
    book = TicketBook()
    server = Server(lamp, Acl.tickets("client", book), config=QUICK, max_sessions=5)
    book.register(ticket_digest(bytes(32)), "me", anyio.current_time() + 60)
    outcomes: list[str] = []

    async def knock() -> None:
        try:
            await attempt(server, link, ticket=bytes(32))
        except Refused:
            outcomes.append("refused")
        else:
            outcomes.append("in")

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(knock)
    assert sorted(outcomes) == ["in", "refused", "refused", "refused"]


async def test_another_schema_is_told_apart_after_authentication_only(lamp: Machine, link: Any) -> None:
    other = Schema("Other", dict(lamp.schema.states))
    assert other.digest == lamp.schema.digest
    await attempt(Server(lamp, Acl.open("client"), config=QUICK), link, other)
    states = dict(lamp.schema.states)
    states.pop("Shy")
    with pytest.raises(Refused, match="has digest"):
        await attempt(Server(lamp, Acl.open("client"), config=QUICK), link, Schema("Lamp", states))
    closed = Server(lamp, Acl.tickets("client", TicketBook()), config=QUICK)
    with pytest.raises(Refused, match=r"refused$"):
        await attempt(closed, link, Schema("Lamp", states), ticket=bytes(32))


async def test_kinds(lamp: Machine, link: Any) -> None:
    server = Server(lamp, Acl.open("client"), config=QUICK, kind="squares")
    await attempt(server, link)
    await attempt(server, link, kind="squares")
    with pytest.raises(Refused, match="of kind 'squares', not 'cubes'"):
        await attempt(server, link, kind="cubes")


async def test_a_full_server_is_busy_and_uses_no_ticket_up(lamp: Machine, link: Any, session: Any) -> None:
    async with session(lamp) as pair:
        with pytest.raises(NotConnected, match="1 sessions are open, the limit"):
            await attempt(pair.server, link)
        book = TicketBook()
        book.register(ticket_digest(bytes(32)), "me", anyio.current_time() + 60)
        pair.server.acl = Acl.tickets("client", book)
        with pytest.raises(NotConnected, match="the limit"):
            await attempt(pair.server, link, ticket=bytes(32))
        assert len(book) == 1


async def test_a_disposed_machine(lamp: Machine, link: Any, session: Any) -> None:
    async with session(lamp, reconnect=False) as pair:
        lamp.dispose()
        with anyio.fail_after(5):
            await pair.mirror.when_disposed()
        with pytest.raises(NotConnected, match="the machine is disposed"):
            await pair.client.ready()
        with pytest.raises(NotConnected, match="the machine is disposed"):
            await attempt(pair.server, link)


async def test_hooks_come_in_pairs(lamp: Machine, link: Any) -> None:
    seen: list[tuple[str, str, bool]] = []
    server = Server(
        lamp,
        Acl.open("client"),
        on_session=lambda s: seen.append(("begin", s.client_id, s.open)),
        on_session_end=lambda s: seen.append(("end", s.client_id, s.open)),
    )
    await attempt(server, link)
    near, far = link()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve_stream, far)
        await near.aclose()
    assert seen == [("begin", "me", True), ("end", "me", False)]
    assert server.sessions == ()


async def test_a_machine_without_sessions_is_not_traced(lamp: Machine, session: Any) -> None:
    async with session(lamp):
        assert lamp._engine.tracers.items
    assert not lamp._engine.tracers.items


async def test_many_sessions_of_one_machine_see_the_same(lamp: Machine, link: Any) -> None:
    server = Server(lamp, Acl.open("client"), max_sessions=20, config=RpcConfig(interval=0.0))
    async with anyio.create_task_group() as tasks:

        async def dial() -> Any:
            near, far = link()
            tasks.start_soon(server.serve_stream, far)
            return near

        clients = [Client(dial, lamp.schema, client_id=f"c{n}") for n in range(20)]
        for client in clients:
            tasks.start_soon(client.run)
        with anyio.fail_after(10):
            mirrors = [await client.ready() for client in clients]
            for mirror in mirrors:
                await mirror.add("Work", number=1)
            for mirror in mirrors:
                await mirror.when_tick("Work", lamp.tick("Work"))
        assert {mirror.tick("Work") for mirror in mirrors} == {39}
        server.close(Code.OK, "closing")
        for client in clients:
            client.stop()


class Listener:
    """Fails as often as told, then gives streams."""

    def __init__(self, *results: Any) -> None:
        self.results = list(results)

    async def accept(self) -> Any:
        result = self.results.pop(0)
        if isinstance(result, BaseException):
            raise result
        return result


@pytest.mark.parametrize(
    "error",
    [
        OSError(24, "Too many open files"),
        OSError(23, "table overflow"),
        ConnectionAbortedError(103, "aborted"),
        None,
    ],
)
async def test_accepting_survives_a_lack_of_descriptors(
    lamp: Machine, link: Any, error: OSError | None
) -> None:
    if error is None:  # as trio shows it
        broken = anyio.BrokenResourceError()
        broken.__cause__ = OSError(24, "Too many open files")
    near, far = link()
    await near.aclose()
    listener = Listener(error or broken, far, anyio.ClosedResourceError())
    with anyio.fail_after(5):
        await Server(lamp, Acl.open("client"), config=QUICK).serve(listener)
    assert listener.results == []


async def test_accepting_does_not_hide_other_errors(lamp: Machine) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        await Server(lamp, Acl.open("client")).serve(Listener(OSError(22, "Invalid argument")))
    assert caught.group_contains(OSError, match="Invalid argument")


async def test_too_many_that_do_not_say_who_they_are(lamp: Machine, link: Any) -> None:
    config = RpcConfig(limits=Limits(preauth_connections=2, preauth_seconds=0.05))
    pairs = [link() for _ in range(5)]
    listener = Listener(*[far for _, far in pairs], anyio.ClosedResourceError())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Server(lamp, Acl.open("client"), config=config).serve, listener)
        with anyio.fail_after(5):
            for near, _ in pairs:
                assert await read_all(near) == b""
                await near.aclose()


async def test_options_of_the_socket(lamp: Machine) -> None:
    server = Server(lamp, Acl.open("client"))
    async with listening(server) as port, anyio.create_task_group() as tasks:
        client = Client(tcp("127.0.0.1", port), lamp.schema, client_id="me")
        tasks.start_soon(client.run)
        await client.ready()
        stream: Any = client._session._link._stream  # type: ignore[union-attr]
        raw = stream.extra(SocketAttribute.raw_socket)
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 15_000
        client.stop()


async def test_a_new_session_of_a_client_ends_the_one_that_it_had(lamp: Machine, link: Any) -> None:
    """Which the server may still take for alive; it does not count as one too many."""
    seen: list[str] = []
    server = Server(
        lamp,
        Acl.open("client"),
        on_session=lambda one: seen.append(f"open {one.id}"),
        on_session_end=lambda one: seen.append(f"end {one.id} {one.closed.code}"),
    )
    async with anyio.create_task_group() as tasks:

        async def dial() -> Any:
            near, far = link()
            tasks.start_soon(server.serve_stream, far)
            return near

        first, again, other = (Client(dial, lamp.schema, client_id="me", reconnect=False) for _ in range(3))
        again._identity = first._identity
        with anyio.fail_after(5):
            for client in (first, again):
                tasks.start_soon(client.run)
                await client.ready()
            await first.machine.when_disposed()
            assert "the client has opened another session" in str(first.error)
            assert (await again.machine.add("Start")).executed
            tasks.start_soon(other.run)
            with pytest.raises(NotConnected, match="1 sessions are open"):
                await other.ready()
        again.stop()
    assert seen == ["open 1", f"end 1 {Code.MOVED}", "open 2", "end 2 0"]


@pytest.mark.parametrize("seed", range(8))
def test_what_was_asked_in_a_lost_session_is_not_executed_after_the_next(seed: int, lamp: Machine) -> None:
    """The server has not read all of it when the client is back, and asks for something else."""

    async def serve(process: Process) -> None:
        lamp.add("Start")
        await Server(lamp, Acl.open("client"), max_sessions=2).serve(process.listen(1))

    async def ask(process: Process) -> None:
        world = process.host.world
        client = Client(process.dial("server", 1), lamp.schema, client_id="me")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.run)
            mirror = await client.ready()
            await world.sleep(1)
            world.host("server").reading = 0.2, 64
            for _ in range(60):
                mirror.add_nowait("On")
            await world.sleep(0.1)
            world.network.connections[0].ends[0].fail()  # and nothing of it reaches the server
            await client.states.when_not("HandshakeDone")
            assert (await (await client.ready()).remove("On")).executed
            await world.sleep(30)
            assert not lamp.is_active("On")
            client.stop()
        world.trace.note("done")

    async def scenario(world: World) -> None:
        world.host("server").start(serve)
        world.host("client").start(ask)
        await world.sleep(60)

    assert simulate(scenario, seed=seed).trace.counts["done"] == 1
