from __future__ import annotations

import anyio
import pytest

from asyncmachine.testing.sim.host import Process
from asyncmachine.testing.sim.world import World, simulate

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


class Clock:
    """A program that notes each second, and its end."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def main(self, process: Process) -> None:
        try:
            for second in range(1, 100):
                await anyio.sleep(1)
                self.seen.append(f"{process} {second}")
        finally:
            self.seen.append(f"{process} {'ended' if process.alive else 'was killed'}")


@BACKENDS
def test_lives_of_a_program(backend: str) -> None:
    clock = Clock()

    async def scenario(world: World) -> None:
        host = world.host("a")
        assert world.host("a") is host
        with pytest.raises(RuntimeError, match="host a: has no program"):
            host.start()
        first = host.start(clock.main)
        with pytest.raises(RuntimeError, match="host a: runs already"):
            host.start()
        await world.sleep(2.5)
        host.kill()
        host.kill()
        assert not first.alive
        assert not host.running
        await world.sleep(1)
        assert host.start().life == 2
        await world.sleep(1.5)

    simulate(scenario, seed=1, backend=backend)
    assert clock.seen == ["a/1 1", "a/1 2", "a/1 was killed", "a/2 1", "a/2 was killed"]


@BACKENDS
def test_who_is_killed_at_once_has_done_nothing(backend: str) -> None:
    began: list[int] = []

    async def main(process: Process) -> None:
        began.append(process.life)
        try:
            process.listen(1)
            await anyio.sleep_forever()
        finally:
            process.listen(1)  # of a dead process: it takes no port

    async def scenario(world: World) -> None:
        host = world.host("a")
        for _ in range(3):
            host.start(main)
            host.kill()
        host.start()
        await world.sleep(1)
        host.kill()
        await world.sleep(1)
        host.start()
        await world.sleep(1)

    simulate(scenario, seed=1, backend=backend)
    assert began == [4, 5]


@BACKENDS
def test_a_program_may_end_by_itself(backend: str) -> None:
    async def main(process: Process) -> None:
        listener = process.listen(1)
        end = await listener.accept()
        await end.send(b"bye")

    async def other(process: Process) -> None:
        await anyio.sleep_forever()

    async def scenario(world: World) -> None:
        host = world.host("a")
        host.start(main)
        await world.sleep(1)
        end = await world.host("b").start(other).connect("a", 1)
        assert await end.receive() == b"bye"
        with pytest.raises(anyio.EndOfStream):
            await end.receive()
        assert not host.running
        host.kill()

    run = simulate(scenario, seed=1, backend=backend)
    assert [line for line in run.trace.lines if line.endswith("end a/1 exit")]


@BACKENDS
def test_a_program_that_raises_ends_the_simulation(backend: str) -> None:
    async def main(process: Process) -> None:
        raise LookupError("mine")

    async def scenario(world: World) -> None:
        world.host("a").start(main)
        await world.sleep(1)

    with pytest.raises(LookupError, match="mine"):
        simulate(scenario, seed=1, backend=backend)


@BACKENDS
def test_a_kill_is_heard_and_a_power_cut_is_not(backend: str) -> None:
    async def serve(process: Process) -> None:
        listener = process.listen(1)
        while True:
            await listener.accept()

    async def ask(process: Process) -> None:
        await anyio.sleep_forever()

    async def scenario(world: World) -> None:
        server, client = world.host("server"), world.host("client").start(ask)
        server.start(serve)
        await world.sleep(1)
        end = await client.connect("server", 1)
        server.kill()
        with pytest.raises(anyio.EndOfStream):
            await end.receive()

        server.start()
        await world.sleep(1)
        end = await client.connect("server", 1)
        server.power_off()
        with anyio.move_on_after(1000) as silence:
            await end.receive()
        assert silence.cancelled_caught
        with anyio.move_on_after(1000) as calling:
            await client.connect("server", 1)
        assert calling.cancelled_caught
        await end.send(b"lost")
        server.start()
        with pytest.raises(anyio.BrokenResourceError):
            await end.receive()  # the new process knows nothing of it

    simulate(scenario, seed=1, backend=backend, limit=1e6)


def test_a_frozen_process_does_nothing_and_then_everything() -> None:
    clock = Clock()

    async def scenario(world: World) -> None:
        host = world.host("a")
        process = host.start(clock.main)
        await world.sleep(2.5)
        host.freeze()
        host.freeze()
        assert process.frozen
        await world.sleep(10)
        assert clock.seen == ["a/1 1", "a/1 2"]
        host.thaw()
        host.thaw()
        await world.sleep(0.1)
        assert clock.seen[2:] == ["a/1 3"]
        host.freeze()
        host.kill()
        await world.sleep(0.1)
        assert clock.seen[3:] == ["a/1 was killed"]
        host.freeze()
        assert not process.frozen

    simulate(scenario, seed=1)


def test_bytes_wait_for_a_frozen_process() -> None:
    got: list[bytes] = []

    async def serve(process: Process) -> None:
        end = await process.listen(1).accept()
        while True:
            got.append(await end.receive())

    async def ask(process: Process) -> None:
        await anyio.sleep_forever()

    async def scenario(world: World) -> None:
        world.host("server").start(serve)
        await world.sleep(1)
        end = await world.host("client").start(ask).connect("server", 1)
        world.host("server").freeze()
        await end.send(b"one")
        await world.sleep(world.network.user_timeout * 3)
        await end.send(b"two")  # acknowledged all the time: nobody knows that it is frozen
        await world.sleep(1)
        assert not got
        world.host("server").thaw()
        await world.sleep(1)
        assert b"".join(got) == b"onetwo"

    simulate(scenario, seed=1)


def test_trio_cannot_freeze() -> None:
    async def scenario(world: World) -> None:
        assert not world.can_freeze
        world.host("a").start(Clock().main)
        with pytest.raises(RuntimeError, match="host a: processes can be frozen on asyncio only"):
            world.host("a").freeze()
        world.host("a").thaw()

    simulate(scenario, seed=1, backend="trio")
