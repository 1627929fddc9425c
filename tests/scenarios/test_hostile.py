"""Strangers at the ports of a pool: they are turned away, once in the log, and nobody else notices."""

from __future__ import annotations

import logging
import socket
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from amstates.worker import WORKER_SCHEMA
from asyncmachine.errors import Refused
from asyncmachine.rpc.client import Client, tcp
from asyncmachine.rpc.config import RpcConfig

pytestmark = pytest.mark.anyio

GARBAGE = [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\xff" * 4096, bytes(range(256)) * 8, b"\x00"]


async def closed(stream: SocketStream) -> None:
    """Read until the other side has closed."""
    try:
        while True:
            await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return


async def leave_with(stream: SocketStream, data: bytes) -> None:
    """Send *data*, and see that it is not liked."""
    await stream.send(data)
    await closed(stream)


def warnings_of(caplog: pytest.LogCaptureFixture, port: int) -> list[str]:
    return [
        r.getMessage()
        for r in caplog.records
        if r.name == "asyncmachine.rpc" and f":{port}" in r.getMessage()
    ]


async def local_port(stream: SocketStream) -> int:
    return int(stream.extra(anyio.abc.SocketAttribute.local_port))


@pytest.mark.parametrize("data", GARBAGE, ids=["http", "ff", "all bytes", "zero"])
async def test_garbage_at_the_supervisor(lab: Any, caplog: pytest.LogCaptureFixture, data: bytes) -> None:
    with anyio.fail_after(30), caplog.at_level(logging.INFO, "asyncmachine.rpc"):
        async with lab.pool() as pool, lab.client(pool) as client:
            assert await client.call(1) == 2
            host, port = pool.address.split(":")
            async with await anyio.connect_tcp(host, int(port)) as stream:
                mine = await local_port(stream)
                if len(data) == 1:  # part of a preface, and then the end
                    await stream.send(data)
                    await stream.send_eof()
                    data = b""
                assert await client.call(2) == 4
                if data:
                    await stream.send(data)
                await closed(stream)
            await lab.until(lambda: warnings_of(caplog, mine))
            assert await client.call(3) == 6
            assert len(warnings_of(caplog, mine)) == 1
            assert "Traceback" not in caplog.text
            assert (pool.lost, len(pool.server.sessions)) == (0, 1)


async def test_a_frame_that_is_too_long(lab: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A client that says that a huge frame follows is cut off before it comes."""
    seen: list[bytes] = []
    async with lab.pool() as pool, lab.client(pool) as client:
        await record_opening(pool, seen)
        preface = seen[0]
        with anyio.fail_after(20):
            host, port = pool.address.split(":")
            async with await anyio.connect_tcp(host, int(port)) as stream:
                mine = await local_port(stream)
                await leave_with(stream, preface[:8] + b"\xff\xff\xff\x7f" + b"\x00" * 100)
            await lab.until(lambda: warnings_of(caplog, mine))
            assert len(warnings_of(caplog, mine)) == 1
            assert await client.call(3) == 6


async def record_opening(pool: Any, seen: list[bytes]) -> None:
    """The first bytes that a real client sends."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        client = Client(tcp("127.0.0.1", port), WORKER_SCHEMA, client_id="x", reconnect=False)
        tasks.start_soon(client.run)

        async def take(stream: SocketStream) -> None:
            async with stream:
                seen.append(await stream.receive())
            client.stop()
            tasks.cancel_scope.cancel()

        await listener.serve(take)


async def test_silence_at_the_supervisor(
    lab: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that say nothing are closed in time, and there may not be too many of them."""
    with anyio.fail_after(40):
        async with lab.pool() as pool, lab.client(pool) as client:
            host, port = pool.address.split(":")
            limit = pool.server.config.limits
            count = limit.preauth_per_address + limit.preauth_waiting + 6
            sockets = [socket.create_connection((host, int(port))) for _ in range(count)]
            try:
                await lab.until(lambda: "too many connections are not authenticated yet" in caplog.text)
                assert await client.call(2) == 4
                first = sockets[0]
                first.setblocking(False)
                await anyio.wait_readable(first)  # closed by the supervisor, after preauth_seconds
                await lab.until(lambda: pool.server.entrance.gate.unauthenticated == 0)
            finally:
                for one in sockets:
                    one.close()
            async with lab.client(pool) as another:
                await another.status()
            assert await client.call(3) == 6


async def worker_port(pool: Any) -> tuple[str, int]:
    (member,) = pool.members.values()
    return member.address.host, member.address.port


async def test_strangers_at_a_worker(lab: Any) -> None:
    """Whatever comes to its port, the worker serves its client, and says little about the others."""
    with anyio.fail_after(40):
        async with lab.pool() as pool, lab.client(pool) as client:
            assert await client.call(1) == 2
            (member,) = pool.members.values()
            address = await worker_port(pool)
            for data in GARBAGE[:3]:
                async with await anyio.connect_tcp(*address) as stream:
                    await leave_with(stream, data)
            assert await client.call(2) == 4
            for ticket in (None, bytes(32)):
                await refused(address, pool.kind, ticket)
                assert await client.call(3) == 6
            async with await anyio.connect_tcp(*address):  # says nothing
                assert await client.call(4) == 8
            output = member.handle.tail().decode()
            lines = [line for line in output.splitlines() if line]
            assert 0 < len(lines) <= 2 * len(GARBAGE)
            assert "Traceback" not in output
            assert (pool.lost, pool.started) == (0, 1)


async def refused(address: tuple[str, int], kind: str, ticket: bytes | None) -> None:
    stranger = Client(
        tcp(*address),
        WORKER_SCHEMA,
        client_id="stranger",
        ticket=ticket,
        kind=kind,
        reconnect=False,
        config=RpcConfig(connect_timeout=2.0),
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stranger.run)
        with pytest.raises(Refused):
            await stranger.ready()


async def test_a_ticket_opens_once_and_for_its_client_only(lab: Any) -> None:
    with anyio.fail_after(30):
        async with lab.pool(max=1) as pool, lab.client(pool, "one") as client:
            answer = await client._lease()
            address = (answer.host, answer.port)
            await refused(address, pool.kind, answer.ticket)  # it is not the stranger's

            async def use(hold: anyio.Event) -> None:
                link = Client(
                    tcp(*address),
                    WORKER_SCHEMA,
                    client_id="one",
                    ticket=answer.ticket,
                    kind=pool.kind,
                    reconnect=False,
                )
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(link.run)
                    try:
                        await link.ready()
                        await hold.wait()
                    finally:
                        link.stop()

            done = anyio.Event()
            done.set()
            await use(done)
            await lab.until(lambda: not pool.desk.holds(answer.worker))
            with pytest.raises(ExceptionGroup) as again:
                await use(done)
            assert again.group_contains(Refused)
            assert await client.call(5) == 10
