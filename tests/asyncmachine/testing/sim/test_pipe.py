from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncmachine.testing.sim.host import Process
from asyncmachine.testing.sim.pipe import Connection, End
from asyncmachine.testing.sim.world import Run, World, simulate

Story = Callable[[World, End, End], Awaitable[None]]
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


async def wait(process: Process) -> None:
    await anyio.sleep_forever()


def tell(story: Story, *, seed: int = 1, backend: str = "asyncio") -> Run:
    """Run *story* with the two ends of an open connection."""

    async def scenario(world: World) -> None:
        one, other = (world.host(name).start(wait) for name in ("one", "other"))
        listener = other.listen(1)
        near = await one.connect("other", 1)
        await story(world, near, await listener.accept())

    return simulate(scenario, seed=seed, backend=backend)


async def read_all(end: End) -> list[bytes]:
    pieces: list[bytes] = []
    while True:
        try:
            pieces.append(await end.receive())
        except anyio.EndOfStream:
            return pieces


@settings(max_examples=40)
@given(
    st.lists(st.binary(min_size=1, max_size=60), max_size=8),
    st.one_of(st.none(), st.integers(1, 9)),
    st.booleans(),
    st.integers(0, 2**16),
)
def test_all_bytes_arrive_in_order(parts: list[bytes], piece: int | None, direct: bool, seed: int) -> None:
    got: list[bytes] = []

    async def story(world: World, near: End, far: End) -> None:
        world.network.link(near.process.host, far.process.host).piece = piece
        world.network.buffer = 50

        async def send() -> None:
            for part in parts:
                sent = 0
                if direct:
                    try:
                        sent = near.write_some(part)
                    except OSError:
                        sent = 0
                if part[sent:]:
                    await near.send(part[sent:])
            await near.aclose()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            got.extend(await read_all(far))

    tell(story, seed=seed)
    assert b"".join(got) == b"".join(parts)
    assert all(got)


@BACKENDS
def test_both_directions_and_half_an_end(backend: str) -> None:
    async def story(world: World, near: End, far: End) -> None:
        await near.send(b"question")
        await near.send_eof()
        assert await far.receive(5) == b"quest"
        assert await read_all(far) == [b"ion"]
        await far.send(b"answer")
        assert await near.receive() == b"answer"
        with pytest.raises(anyio.ClosedResourceError):
            await near.send(b"more")
        with pytest.raises(BlockingIOError):
            near.write_some(b"more")
        await far.aclose()
        await far.aclose()
        assert await read_all(near) == []
        with pytest.raises(anyio.ClosedResourceError):
            await far.receive()

    tell(story, backend=backend)


def test_a_full_buffer_holds_senders_until_something_is_received() -> None:
    async def story(world: World, near: End, far: End) -> None:
        world.network.buffer = 10
        await near.send(bytes(10))
        with anyio.move_on_after(60) as blocked:
            await near.send(b"x")
        assert blocked.cancelled_caught
        with pytest.raises(BlockingIOError):
            near.write_some(b"x")
        assert await far.receive(4) == bytes(4)
        await near.send(b"1234")
        assert near.out.room == 0

    tell(story)


def test_a_rate_takes_its_time() -> None:
    async def story(world: World, near: End, far: End) -> None:
        link = world.network.link(near.process.host, far.process.host)
        link.rate, link.latency = 100.0, 1e-6
        began = anyio.current_time()
        await near.send(bytes(50))
        await near.send(bytes(50))
        got = 0
        while got < 100:
            got += len(await far.receive())
        assert anyio.current_time() - began == pytest.approx(1, abs=0.01)

    tell(story)


def test_who_closes_with_bytes_unread_resets_the_other() -> None:
    async def story(world: World, near: End, far: End) -> None:
        await near.send(b"unread")
        await world.sleep(1)
        await far.aclose()
        with pytest.raises(anyio.BrokenResourceError):
            await near.receive()
        with pytest.raises(anyio.BrokenResourceError):
            await near.send(b"x")

    tell(story)


def test_what_is_sent_to_who_has_left_is_answered_by_a_reset() -> None:
    async def story(world: World, near: End, far: End) -> None:
        await far.aclose()
        assert await read_all(near) == []
        await near.send(b"x")
        await world.sleep(1)
        with pytest.raises(anyio.BrokenResourceError):
            await near.send(b"y")

    tell(story)


def test_a_blocked_way_holds_bytes_and_heals() -> None:
    async def story(world: World, near: End, far: End) -> None:
        link = world.network.link(near.process.host, far.process.host)
        link.blocked = True
        await near.send(b"late")
        await world.sleep(10)
        assert not far.into.inbox
        await far.send(b"back")  # the other way is free; its acknowledgement is not
        assert await near.receive() == b"back"
        link.blocked = False
        world.network.settle()
        assert await far.receive() == b"late"
        await world.sleep(60)
        assert not near.broken
        assert not far.broken

    tell(story)


@pytest.mark.parametrize("back", [False, True])
def test_nothing_acknowledged_breaks_the_sender_alone(back: bool) -> None:
    async def story(world: World, near: End, far: End) -> None:
        here, there = near.process.host, far.process.host
        (world.network.link(there, here) if back else world.network.link(here, there)).blocked = True
        await near.send(b"x")
        began = anyio.current_time()
        with pytest.raises(anyio.BrokenResourceError):
            await near.receive()
        assert anyio.current_time() - began == pytest.approx(world.network.user_timeout)
        assert not far.broken
        assert bool(far.into.inbox) == back

    tell(story)


def test_progress_is_not_a_timeout() -> None:
    async def story(world: World, near: End, far: End) -> None:
        link = world.network.link(near.process.host, far.process.host)
        for n in range(10):
            link.blocked = True
            await near.send(bytes([n]))
            await world.sleep(world.network.user_timeout * 0.7)
            link.blocked = False
            world.network.settle()
            assert await far.receive() == bytes([n])
        assert not near.broken

    tell(story)


@pytest.mark.parametrize("seed", range(8))
def test_a_reset_delivers_a_part_at_most(seed: int) -> None:
    async def story(world: World, near: End, far: End) -> None:
        await near.send(b"abcdefgh")
        near.connection.reset()
        for end in (near, far):
            with pytest.raises(anyio.BrokenResourceError):
                while True:
                    assert b"abcdefgh".startswith(await end.receive())

    tell(story, seed=seed)


def test_of_a_half_reset_the_other_end_hears_when_it_sends() -> None:
    async def story(world: World, near: End, far: End) -> None:
        near.connection.reset(half=True)
        (left,) = [end for end in (near, far) if not end.broken]
        await left.send(b"are you there?")
        with pytest.raises(anyio.BrokenResourceError):
            await left.receive()

    tell(story)


def test_truncated_connections_end_early() -> None:
    lengths = set()

    async def story(world: World, near: End, far: End) -> None:
        await near.send(b"abcdefgh")
        near.connection.truncate()
        got = b"".join(await read_all(far))
        assert b"abcdefgh".startswith(got)
        lengths.add(len(got))
        assert await read_all(near) == []

    for seed in range(8):
        tell(story, seed=seed)
    assert len(lengths) > 3


def test_slow_readers_take_little_at_a_time() -> None:
    async def story(world: World, near: End, far: End) -> None:
        far.process.host.reading = 0.5, 3
        await near.send(b"abcdef")
        began = anyio.current_time()
        assert [await far.receive(), await far.receive()] == [b"abc", b"def"]
        assert anyio.current_time() - began == pytest.approx(1)

    tell(story)


def test_the_dead_do_not_speak() -> None:
    async def story(world: World, near: End, far: End) -> None:
        far.process.host.kill()
        for act in (lambda: far.send(b"x"), far.receive):
            with anyio.move_on_after(5) as scope:
                await act()
            assert scope.cancelled_caught
        await far.aclose()
        assert await read_all(near) == []

    tell(story)


def test_addresses_taps_and_names() -> None:
    told: list[tuple[str, bytes]] = []

    def tap(connection: Connection, end: End, data: bytes) -> str:
        told.append((str(end), data))
        return f"({len(told)})"

    async def story(world: World, near: End, far: End) -> None:
        world.network.taps.append(tap)
        await near.send(b"hello")
        assert near.extra(SocketAttribute.remote_address) == ("other", 1)
        assert near.extra(SocketAttribute.local_address) == ("one", 1)
        marker: Any = object()
        assert near.extra(SocketAttribute.raw_socket, marker) is marker

    run = tell(story)
    assert told == [("#1 one", b"hello")]
    assert any(line.endswith("send #1 one 5 B (1)") for line in run.trace.lines)
