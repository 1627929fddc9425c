from __future__ import annotations

import socket
from math import inf
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketAttribute

from asyncmachine._wire.frames import FrameReader
from asyncmachine.rpc.client import from_socket
from asyncmachine.rpc.config import Limits
from asyncmachine.rpc.protocol.connection import PREFACE, Connection
from asyncmachine.rpc.protocol.events import Closed, Event
from asyncmachine.rpc.protocol.messages import (
    Auth,
    Challenge,
    Code,
    Hello,
    Message,
    Mutate,
    Payload,
    Ready,
    Snapshot,
    Welcome,
)
from asyncmachine.rpc.protocol.states import Role
from asyncmachine.rpc.transport import Link, ask, tune

pytestmark = pytest.mark.anyio

HELLO = Hello(0, 0, "me", bytes(16), bytes(32), ("none",), "digest", "")
ANSWERS: dict[type, list[Message]] = {
    Hello: [Challenge(0, bytes(16), bytes(32), "none", 60_000)],
    Auth: [Welcome("src", "", 1, "digest", "client", {}), Snapshot(1, 1, b"\0")],
}


class Host:
    """The least that drives a link: lets everyone in, notes what arrives."""

    def __init__(self, stream: Any, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self.conn = Connection(Role.SERVER, limits, now=anyio.current_time(), heartbeat=60.0)
        self.link = Link(stream, self.conn, self)
        self.events: list[Event] = []
        self.open = anyio.Event()
        self.due = inf
        self.fail = False

    def on_events(self, events: list[Event], now: float) -> None:
        for event in events:
            self.events.append(event)
            for message in ANSWERS.get(type(event), ()):
                self.conn.send(message)
            if isinstance(event, Ready):
                self.open.set()
            if isinstance(event, Mutate) and self.fail:
                raise ValueError("a fault of the driver")

    def before_send(self, now: float) -> None:
        pass

    def deadline(self) -> float:
        return self.due

    def on_time(self, now: float) -> None:
        self.due = inf
        self.conn.send(Payload(1, "late", "s", 0, 0, b""))

    def closed(self) -> Closed:
        (found,) = [event for event in self.events if isinstance(event, Closed)]
        return found


async def shake(stream: Any) -> Connection:
    """Open the client's end by hand."""
    conn = Connection(Role.CLIENT, Limits(), now=0.0, states=1)
    conn.send(HELLO)
    for answer in (Auth(None), Ready(1)):
        await stream.send(conn.data_to_send(0.0))
        while not conn.receive_data(await stream.receive(), 0.0):
            pass
        conn.send(answer)
    await stream.send(conn.data_to_send(0.0))
    return conn


async def pair() -> tuple[Any, Any]:
    one, other = socket.socketpair()
    return await from_socket(one)(), await from_socket(other)()


async def test_what_is_queued_in_one_turn_leaves_together_and_in_order() -> None:
    near, far = await pair()
    host = Host(far)
    async with near, anyio.create_task_group() as tasks:
        tasks.start_soon(host.link.run)
        client = await shake(near)
        await host.open.wait()
        for pid in range(1, 101):
            host.conn.send(Payload(pid, "n", "s", 0, 0, b""))
            host.link.flush(anyio.current_time())
        got: list[Any] = []
        with anyio.fail_after(5):
            chunks = 0
            while len(got) < 100:
                got += client.receive_data(await near.receive(), 0.0)
                while client.more:
                    got += client.receive_data(b"", 0.0)
                chunks += 1
        assert [p.pid for p in got] == list(range(1, 101))
        assert chunks <= 2
        tasks.cancel_scope.cancel()


async def test_a_peer_that_takes_nothing_holds_back_nothing_else_and_loses_nothing() -> None:
    near, far = await pair()
    host = Host(far)
    size = 2**20
    async with near, anyio.create_task_group() as tasks:
        tasks.start_soon(host.link.run)
        client = await shake(near)
        await host.open.wait()
        for pid in range(1, 6):
            host.conn.send(Payload(pid, "n", "s", size, 0, bytes([pid]) * size))
            host.conn.send(Payload(pid + 100, "small", "s", 0, 0, b""))
            host.link.flush(anyio.current_time())
            await anyio.wait_all_tasks_blocked()
        got: list[Any] = []
        with anyio.fail_after(10):
            while len(got) < 10:
                got += client.receive_data(await near.receive(), 0.0)
        assert [p.pid for p in got] == [1, 101, 2, 102, 3, 103, 4, 104, 5, 105]
        assert all(set(p.data) <= {p.pid} for p in got)
        tasks.cancel_scope.cancel()


class Grudging:
    """A stream that takes a few bytes at a time when it must not wait, or none."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.turns = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write_some(self, data: bytes) -> int:
        self.turns += 1
        if self.turns % 3 == 0:
            raise BlockingIOError
        sent: int = self.stream.extra(SocketAttribute.raw_socket).send(data[: self.turns % 3 * 7])
        return sent


async def test_what_a_direct_write_leaves_over_is_sent_next() -> None:
    near, far = await pair()
    host = Host(Grudging(far))
    async with near, anyio.create_task_group() as tasks:
        tasks.start_soon(host.link.run)
        client = await shake(near)
        await host.open.wait()
        for pid in range(1, 31):
            host.conn.send(Payload(pid, "n", "s", 30, 0, bytes([pid]) * 30))
            host.link.flush(anyio.current_time())
            if pid % 4 == 0:
                await anyio.wait_all_tasks_blocked()
        got: list[Any] = []
        with anyio.fail_after(5):
            while len(got) < 30:
                got += client.receive_data(await near.receive(), 0.0)
        assert [(p.pid, set(p.data)) for p in got] == [(n, {n}) for n in range(1, 31)]
        assert host.link._stream.turns > 3  # type: ignore[attr-defined]
        tasks.cancel_scope.cancel()


async def test_a_peer_that_reads_nothing_is_dropped() -> None:
    near, far = await pair()
    host = Host(far, Limits(stall_seconds=0.05))
    with anyio.fail_after(5):
        async with near, anyio.create_task_group() as tasks:
            tasks.start_soon(host.link.run)
            await shake(near)
            await host.open.wait()
            size = 2**20
            for pid in range(1, 8):
                host.conn.send(Payload(pid, "n", "s", size, 0, bytes(size)))
            host.link.wake()
    assert host.closed().code == Code.SLOW


async def test_what_was_sent_before_the_end_arrives_and_then_the_end() -> None:
    near, far = await pair()
    host = Host(far)
    async with near, anyio.create_task_group() as tasks:
        tasks.start_soon(host.link.run)
        client = await shake(near)
        await host.open.wait()
        host.conn.send(Payload(1, "n", "s", 3, 0, b"abc"))
        host.link.close(Code.OK, "done")
        got: list[Event] = []
        with anyio.fail_after(5):
            while client.closed is None:
                got += client.receive_data(await near.receive(), 0.0)
            with pytest.raises(anyio.EndOfStream):
                await near.receive()
        assert got == [Payload(1, "n", "s", 3, 0, b"abc"), Closed(0, "done", True, said=True)]
        await near.aclose()
    assert host.closed() == Closed(0, "done", False)


async def test_the_peer_leaves() -> None:
    near, far = await pair()
    host = Host(far)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(host.link.run)
        client = await shake(near)
        await host.open.wait()
        client.close(Code.OK, "so long", 0.0)
        await near.send(client.data_to_send(0.0))
        await near.aclose()
    assert host.closed() == Closed(0, "so long", True, said=True)


async def test_half_a_frame_and_the_end() -> None:
    near, far = await pair()
    host = Host(far)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(host.link.run)
        await near.send(PREFACE + b"\0\0\0\x10\0abc")
        await near.send_eof()
        with anyio.fail_after(5), pytest.raises(anyio.EndOfStream):
            await near.receive()
        await near.aclose()
    assert "cut within a frame" in host.closed().text


async def test_a_fault_of_the_driver_stays_inside(caplog: pytest.LogCaptureFixture) -> None:
    near, far = await pair()
    host = Host(far)
    host.fail = True
    async with near, anyio.create_task_group() as tasks:
        tasks.start_soon(host.link.run)
        client = await shake(near)
        await host.open.wait()
        client.send(Mutate(1, 0, [0], None, 0, 1))
        await near.send(client.data_to_send(0.0))
    assert host.closed().text == "the connection was given up"
    assert "a fault of this side" in caplog.text


async def test_cancelled_from_outside_it_still_tells_of_its_end() -> None:
    near, far = await pair()
    host = Host(far)
    async with near, anyio.create_task_group() as tasks:
        tasks.start_soon(host.link.run)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert host.closed().text == "the connection was given up"


async def test_the_drivers_deadline() -> None:
    near, far = await pair()
    host = Host(far)
    async with near, anyio.create_task_group() as tasks:
        tasks.start_soon(host.link.run)
        client = await shake(near)
        await host.open.wait()
        host.due = anyio.current_time()
        host.link.hurry(host.due)
        with anyio.fail_after(5):
            assert client.receive_data(await near.receive(), 0.0) == [Payload(1, "late", "s", 0, 0, b"")]
        tasks.cancel_scope.cancel()


async def test_flushed_waits_for_the_writer() -> None:
    near, far = await pair()
    host = Host(far)
    async with near, anyio.create_task_group() as tasks:
        tasks.start_soon(host.link.run)
        await shake(near)
        await host.open.wait()
        host.conn.send(Payload(1, "n", "s", 3, 0, b"abc"))
        host.link.wake()
        with anyio.fail_after(5):
            await host.link.flushed()
        assert host.conn.unsent == 0
        reader = FrameReader(10_000)
        reader.feed(await near.receive())
        assert reader.next_body() is not None
        tasks.cancel_scope.cancel()


def test_the_error_of_a_consumer_is_a_value(caplog: pytest.LogCaptureFixture) -> None:
    assert ask(lambda x: x + 1, 1) == 2
    error = ask(lambda x: 1 // x, 0)
    assert isinstance(error, ZeroDivisionError)
    assert "a consumer of payloads failed" in caplog.text


async def test_options_are_set_on_tcp_only() -> None:
    near, far = await pair()
    tune(near, 1.0)
    tune(object(), 1.0)
    await near.aclose()
    await far.aclose()
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        stream = await anyio.connect_tcp("127.0.0.1", listener.extra(SocketAttribute.local_port))
        tune(stream, 7.0)
        raw = stream.extra(SocketAttribute.raw_socket)
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await stream.aclose()
        tune(stream, 7.0)
