from __future__ import annotations

import errno
from typing import Any

import anyio
import pytest

from asyncmachine.testing.sim.host import Process
from asyncmachine.testing.sim.pipe import End
from asyncmachine.testing.sim.world import World, simulate

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


async def wait(process: Process) -> None:
    await anyio.sleep_forever()


def play(scenario: Any, backend: str = "asyncio", seed: int = 1) -> None:
    async def begin(world: World) -> None:
        await scenario(world, *(world.host(name).start(wait) for name in ("one", "other")))

    simulate(begin, seed=seed, backend=backend)


@BACKENDS
def test_nobody_listens(backend: str) -> None:
    async def scenario(world: World, one: Process, other: Process) -> None:
        with pytest.raises(ConnectionRefusedError, match="nobody listens on other:7"):
            await one.connect("other", 7)
        listener = other.listen(7)
        with pytest.raises(OSError, match="port 7 of other is in use"):
            other.listen(7)
        await listener.aclose()
        with pytest.raises(ConnectionRefusedError):
            await one.connect("other", 7)
        other.listen(7)
        with pytest.raises(KeyError, match="nowhere"):
            await one.connect("nowhere", 1)

    play(scenario, backend)


def test_connecting_waits_while_the_way_is_blocked() -> None:
    async def scenario(world: World, one: Process, other: Process) -> None:
        listener = other.listen(1)
        link = world.network.link(one.host, other.host)
        for way in (link, world.network.link(other.host, one.host)):
            way.blocked = True
            with anyio.move_on_after(20) as scope:
                await one.connect("other", 1)
            assert scope.cancelled_caught
            way.blocked = False
            world.network.settle()
            near = await one.connect("other", 1)
            await near.send(b"x")
        ends = [await listener.accept() for _ in range(3)]
        assert [end.connection.number for end in ends] == [1, 2, 3]
        with pytest.raises(anyio.EndOfStream):
            await ends[1].receive()  # of who gave up: it was open at this side only
        assert [await ends[n].receive() for n in (0, 2)] == [b"x", b"x"]

    play(scenario)


def test_a_full_backlog_lets_callers_wait() -> None:
    async def scenario(world: World, one: Process, other: Process) -> None:
        listener = other.listen(1)
        ends: list[End] = []

        async def call() -> None:
            ends.append(await one.connect("other", 1))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(call)
            await world.sleep(60)
            assert len(ends) == 16
            for _ in range(20):
                await listener.accept()
        assert len(ends) == 20

    play(scenario)


def test_accepting_without_descriptors() -> None:
    async def scenario(world: World, one: Process, other: Process) -> None:
        listener = other.listen(1)
        other.host.no_files = True
        near = await one.connect("other", 1)
        with pytest.raises(OSError, match="too many open files") as caught:
            await listener.accept()
        assert caught.value.errno == errno.EMFILE
        other.host.no_files = False
        far = await listener.accept()
        await far.send(b"hello")
        assert await near.receive() == b"hello"

    play(scenario)


@BACKENDS
def test_a_closed_listener_resets_who_waits(backend: str) -> None:
    async def scenario(world: World, one: Process, other: Process) -> None:
        listener = other.listen(1)
        closed: list[bool] = []

        async def accept() -> None:
            with pytest.raises(anyio.ClosedResourceError):
                await listener.accept()
            closed.append(True)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(accept)
            await world.sleep(1)
            await listener.aclose()
        assert closed

        for close in (other.listen(1).aclose, None):
            if close is None:
                other.listen(1)
            waiting = await one.connect("other", 1)
            if close is not None:
                await close()
            else:
                other.host.kill()
            with pytest.raises(anyio.BrokenResourceError):
                await waiting.receive()

    play(scenario, backend)


def test_events_come_in_order_and_when_they_are_due() -> None:
    seen: list[tuple[float, str]] = []

    async def scenario(world: World, one: Process, other: Process) -> None:
        now, network = anyio.current_time(), world.network

        def note(name: str) -> None:
            seen.append((round(anyio.current_time() - now, 9), name))

        network.at(now + 3, lambda: note("late"))
        await world.sleep(0.5)
        network.at(now + 1, lambda: note("a"))
        network.at(now + 1, lambda: note("b"))
        network.at(now + 1, lambda: network.at(now + 2, lambda: note("nested")))
        await world.sleep(5)

    play(scenario)
    assert seen == [(1, "a"), (1, "b"), (2, "nested"), (3, "late")]


def test_latencies_are_around_their_mean() -> None:
    async def scenario(world: World, one: Process, other: Process) -> None:
        world.network.normal.latency = 0.2
        link = world.network.link(one.host, other.host)
        drawn = [world.network.draw_latency(link) for _ in range(3000)]
        assert min(drawn) >= 0.05
        assert sum(drawn) / len(drawn) == pytest.approx(0.2, rel=0.05)
        assert world.network.links() == [link]

    play(scenario)
