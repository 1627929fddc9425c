from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncmachine.machine import Machine
from asyncmachine.rpc.acl import Acl
from asyncmachine.rpc.client import Client
from asyncmachine.rpc.server import Server
from asyncmachine.schema import Schema, State
from asyncmachine.testing.clock import run_virtual
from asyncmachine.testing.pytest_plugin import RunVirtual
from asyncmachine.testing.wire import Wire

LAMP = Schema("Lamp", {"On": State(rpc={"user": ("add", "remove", "read")})}, roles=("user",))


async def read_all(receive: Callable[[], Awaitable[bytes]]) -> list[bytes]:
    pieces: list[bytes] = []
    while True:
        try:
            pieces.append(await receive())
        except anyio.EndOfStream:
            return pieces


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=40), max_size=10), st.one_of(st.none(), st.integers(1, 9)))
def test_all_bytes_arrive_in_order_in_pieces(parts: list[bytes], piece: int | None) -> None:
    async def main() -> list[bytes]:
        wire = Wire(piece=piece, delay=0.01)
        async with anyio.create_task_group() as tasks:

            async def send() -> None:
                for part in parts:
                    if part:
                        await wire.near.send(part)
                await wire.near.aclose()

            tasks.start_soon(send)
            return await read_all(wire.far.receive)
        raise AssertionError("unreachable")

    pieces = run_virtual(main)
    assert b"".join(pieces) == b"".join(parts)
    assert all(0 < len(p) <= (piece or 40) for p in pieces)


def test_bytes_take_their_time(virtual_time: RunVirtual) -> None:
    async def main() -> list[float]:
        wire, seen = Wire(delay=2), []
        began = anyio.current_time()
        await wire.far.send(b"abc")
        await anyio.sleep(1)
        await wire.far.send(b"def")
        for _ in range(2):
            await wire.near.receive()
            seen.append(round(anyio.current_time() - began, 6))
        return seen

    assert virtual_time(main) == [2, 3]


def test_a_cut_is_noticed_at_once_by_both(virtual_time: RunVirtual) -> None:
    async def main() -> None:
        wire = Wire()
        noticed: list[str] = []

        async def wait(name: str, end: Any) -> None:
            with pytest.raises(anyio.BrokenResourceError):
                await end.receive()
            noticed.append(name)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait, "near", wire.near)
            tasks.start_soon(wait, "far", wire.far)
            await anyio.sleep(1)
            wire.cut()
        assert sorted(noticed) == ["far", "near"]
        with pytest.raises(anyio.BrokenResourceError):
            await wire.near.send(b"x")

    virtual_time(main)


def test_a_stall_holds_bytes_and_a_full_buffer_holds_senders(virtual_time: RunVirtual) -> None:
    async def main() -> None:
        wire = Wire(buffer=4)
        wire.stall()
        await wire.near.send(b"12345")
        with anyio.move_on_after(60) as sending:
            await wire.near.send(b"6")
        with anyio.move_on_after(60) as receiving:
            await wire.far.receive()
        assert sending.cancelled_caught
        assert receiving.cancelled_caught
        wire.resume()
        assert await wire.far.receive() == b"12345"
        await wire.near.send(b"6")
        assert await wire.far.receive() == b"6"

    virtual_time(main)


def test_ends_close_like_sockets(virtual_time: RunVirtual) -> None:
    async def main() -> None:
        wire = Wire()
        await wire.near.send(b"last")
        await wire.near.send_eof()
        await wire.far.send(b"answer")
        assert await wire.near.receive(3) == b"ans"
        assert await read_all(wire.far.receive) == [b"last"]
        with pytest.raises(anyio.ClosedResourceError):
            await wire.near.send(b"more")
        await wire.near.aclose()
        await wire.near.aclose()
        with pytest.raises(anyio.ClosedResourceError):
            await wire.near.receive()
        with pytest.raises(anyio.BrokenResourceError):
            await wire.far.send(b"nobody reads")
        with pytest.raises(ValueError, match="piece is 0"):
            Wire(piece=0)

    virtual_time(main)


def test_a_client_survives_cuts_in_virtual_time(virtual_time: RunVirtual) -> None:
    """The whole of aRPC, byte by byte, with its real timeouts."""

    async def main() -> int:
        lamp = Machine(LAMP, id="lamp")
        server = Server(lamp, Acl.open("user"))
        wires: list[Wire] = []
        async with anyio.create_task_group() as tasks:

            async def dial() -> Any:
                wires.append(Wire(piece=1, delay=0.05))
                tasks.start_soon(server.serve_stream, wires[-1].far)
                return wires[-1].near

            client = Client(dial, LAMP, client_id="me")
            tasks.start_soon(client.run)
            for _ in range(3):
                mirror = await client.ready()
                assert (await mirror.toggle("On")).executed
                assert mirror.is_active("On") == lamp.is_active("On")
                wires[-1].cut()
                await client.states.when_not("Connected")
            mirror = await client.ready()
            wires[-1].stall()  # a pulled cable: only heartbeats can notice
            await client.states.when("ErrNetworkTimeout")
            await client.ready()
            client.stop()
        return len(wires)

    assert virtual_time(main) == 5
