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
from typing import Any

import anyio
import cbor2
from anyio.abc import SocketAttribute

from asyncmachine.machine import Machine
from asyncmachine.rpc.acl import Acl
from asyncmachine.rpc.client import Client, tcp
from asyncmachine.rpc.server import Server
from asyncmachine.schema import Schema, State

ANY = {"client": ("add", "remove", "read")}
SCHEMA = Schema(
    "Bench", {f"S{n}": State(multi=n == 0, rpc=ANY) for n in range(50)}, roles=("client",)
)
WARM_UP = 500
WINDOW = 100


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
    body = cbor2.dumps(value)
    return len(body).to_bytes(4, "big") + b"\0" + body


async def echo(stream: Any) -> None:
    buffer = bytearray()
    try:
        while True:
            buffer += await stream.receive()
            await stream.send(b"".join([packed(message) for message in frames(buffer)]))
    except anyio.EndOfStream:
        pass


async def serve() -> None:
    """Both servers, until standard input ends."""
    server = Server(Machine(SCHEMA), Acl.open("client"))
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
    """Microseconds of each call, after a warm-up."""
    for _ in range(WARM_UP):
        await call()
    found: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        await call()
        found.append((time.perf_counter() - began) * 1e6)
    return found


def show(name: str, found: list[float]) -> float:
    p50 = statistics.median(found)
    p99 = statistics.quantiles(found, n=100)[98]
    print(f"{name:34} p50 {p50:7.1f} us   p99 {p99:7.1f} us")
    return p50


async def echo_rates(port: int, rounds: int) -> tuple[list[float], float]:
    """Times of single echoes, and echoes a second with ``WINDOW`` in flight."""
    stream = await anyio.connect_tcp("127.0.0.1", port)
    buffer = bytearray()
    message = [20, 1000, 1000, 1000, 0, [3], None, 0, 3000]

    async def once() -> None:
        await stream.send(packed(message))
        while not frames(buffer):
            buffer.extend(await stream.receive())

    async with stream:
        single = await timed(once, rounds)
        began = time.perf_counter()
        for _ in range(rounds // WINDOW):
            await stream.send(b"".join([packed(message) for _ in range(WINDOW)]))
            left = WINDOW
            while left:
                buffer.extend(await stream.receive())
                left -= len(frames(buffer))
        return single, rounds / (time.perf_counter() - began)


async def measure(echo_port: int, port: int, rounds: int) -> None:
    single, echo_rate = await echo_rates(echo_port, rounds)
    floor = show("raw anyio CBOR echo", single)
    client = Client(tcp("127.0.0.1", port), SCHEMA, client_id="bench")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.run)
        mirror = await client.ready()
        for name, call in (
            ("await mirror.toggle('S1')", lambda: mirror.toggle("S1")),
            ("await mirror.add('S0'), Multi", lambda: mirror.add("S0")),
        ):
            p50 = show(name, await timed(call, rounds))
            print(f"{'':34} ratio {p50 / floor:.2f}")
        began = time.perf_counter()
        for _ in range(rounds // WINDOW):
            replies = [mirror.add("S0") for _ in range(WINDOW)]
            for reply in replies:
                await reply
        rate = rounds / (time.perf_counter() - began)
        print(f"{WINDOW} in flight: echo {echo_rate:,.0f}/s, mutations {rate:,.0f}/s, ratio {rate / echo_rate:.2f}")
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
