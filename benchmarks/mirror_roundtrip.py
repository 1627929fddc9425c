"""Round trip of one mutation of a mirror, against a raw CBOR echo over anyio, in one run.

Two processes over loopback TCP. The peer is the floor of this design: the same stream, chunked reads,
one CBOR array of about the same size each way, nothing else.

    python benchmarks/mirror_roundtrip.py [ROUNDS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any

import anyio
import cbor2
from anyio.abc import SocketAttribute

from asyncmachine.machine import Machine
from asyncmachine.rpc.acl import Acl
from asyncmachine.rpc.client import Client, tcp
from asyncmachine.rpc.config import Limits, RpcConfig
from asyncmachine.rpc.server import Server
from asyncmachine.schema import Schema, State

ANY = {"client": ("add", "remove", "read")}
SCHEMA = Schema("Bench", {f"S{n}": State(multi=n == 0, rpc=ANY) for n in range(50)}, roles=("client",))
WINDOW = 100
BLOCKS = 10
LIMIT = "(limit: at most 1.5 x)"
LIMIT_FLIGHT = "(limit: at most 2 x, half its rate)"
MESSAGE = [20, 1000, 1000, 1000, 0, [3], None, 0, 3000]


def frames(buffer: bytearray) -> list[Any]:
    """All complete frames; they are removed from *buffer*."""
    found: list[Any] = []
    at = 0
    while len(buffer) - at >= 5:
        size = int.from_bytes(buffer[at : at + 4], "big")
        if len(buffer) - at < 5 + size:
            break
        found.append(cbor2.loads(bytes(buffer[at + 5 : at + 5 + size])))
        at += 5 + size
    del buffer[:at]
    return found


def packed(value: object) -> bytes:
    """One frame."""
    body = cbor2.dumps(value)
    return len(body).to_bytes(4, "big") + b"\0" + body


async def echo(stream: Any) -> None:
    """Send back what comes, until the end."""
    buffer = bytearray()
    try:
        while True:
            buffer += await stream.receive()
            await stream.send(b"".join([packed(message) for message in frames(buffer)]))
    except anyio.EndOfStream:
        pass


async def serve() -> None:
    """Both servers, until standard input ends."""
    config = RpcConfig(limits=Limits(request_rate=inf))  # a client may send as fast as it can
    server = Server(Machine(SCHEMA), Acl.open("client"), config=config)
    first = await anyio.create_tcp_listener(local_host="127.0.0.1")
    second = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first.serve, echo)
        tasks.start_soon(server.serve, second)
        ports = [listener.extra(SocketAttribute.local_port) for listener in (first, second)]
        print(*ports, flush=True)
        await anyio.to_thread.run_sync(sys.stdin.read)
        tasks.cancel_scope.cancel()


async def timed(call: Callable[[], Awaitable[object]], rounds: int) -> list[float]:
    """Microseconds of each call."""
    found: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        await call()
        found.append((time.perf_counter() - began) * 1e6)
    return found


class Echo:
    """The peer that mutations are compared with."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def once(self) -> None:
        """One message there and back."""
        await self.burst(1)

    async def burst(self, count: int) -> None:
        """So many messages in one write; until all are back."""
        await self._stream.send(b"".join([packed(MESSAGE) for _ in range(count)]))
        while count:
            self._buffer += await self._stream.receive()
            count -= len(frames(self._buffer))


async def compare(echo: Echo, mirror: Any, rounds: int) -> None:
    """Blocks of each in turn, so that a slow moment of the computer hits all alike."""

    async def pipelined() -> None:
        replies = [mirror.add("S0") for _ in range(WINDOW)]
        for reply in replies:
            await reply

    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "raw anyio CBOR echo": echo.once,
        "await mirror.toggle('S1')": lambda: mirror.toggle("S1"),
        "await mirror.add('S0')": lambda: mirror.add("S0"),
        f"echo, {WINDOW} in flight": lambda: echo.burst(WINDOW),
        f"mirror.add, {WINDOW} in flight": pipelined,
    }
    found: dict[str, list[float]] = {name: [] for name in calls}
    for block in range(-1, BLOCKS):
        for name, call in calls.items():
            each = WINDOW if "flight" in name else 1
            times = await timed(call, max(1, rounds // BLOCKS // each))
            if block >= 0:  # the first one warms up
                found[name] += [t / each for t in times]
    floor = 0.0
    for name, times in found.items():
        p50 = statistics.median(times)
        p99 = statistics.quantiles(times, n=100)[98]
        floor = p50 if "echo" in name else floor
        limit = "" if "echo" in name else LIMIT_FLIGHT if "flight" in name else LIMIT
        print(f"{name:30} p50 {p50:7.1f} us   p99 {p99:7.1f} us   {p50 / floor:5.2f} x the echo {limit}")


async def measure(echo_port: int, port: int, rounds: int) -> None:
    """Connect to both and compare."""
    client = Client(tcp("127.0.0.1", port), SCHEMA, client_id="bench")
    async with await anyio.connect_tcp("127.0.0.1", echo_port) as stream, anyio.create_task_group() as tasks:
        tasks.start_soon(client.run)
        await compare(Echo(stream), await client.ready(), rounds)
        client.stop()


def main() -> None:
    """Run the servers in another process and measure from this one."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    with subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        ports = [int(port) for port in peer.stdout.readline().split()]
        anyio.run(measure, *ports, rounds)
        peer.stdin.close()


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        anyio.run(serve)
    else:
        main()
