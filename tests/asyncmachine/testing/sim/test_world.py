from __future__ import annotations

import logging
import random

import anyio
import pytest

from asyncmachine.testing.clock import Deadlock
from asyncmachine.testing.sim.host import Process
from asyncmachine.testing.sim.world import World, explore, simulate

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


async def chat(process: Process) -> None:
    """Some traffic whose order depends on the seed."""
    other = {"a": "b", "b": "a"}[process.host.name]
    listener = process.listen(1)

    async def answer() -> None:
        while True:
            end = await listener.accept()
            await end.send(await end.receive())
            await end.aclose()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(answer)
        for n in range(10):
            end = await process.connect(other, 1)
            await end.send(bytes([n]) * random.randint(1, 9))
            await end.receive()
            await end.aclose()


async def scenario(world: World) -> None:
    world.host("a").start(chat)
    world.host("b").start(chat)
    await world.sleep(30)


async def fails(world: World) -> None:
    await world.sleep(1)
    world.trace.note("thought", f"{world.chance('x').random():.3f}")
    assert world.seed != 3, "three is wrong"


@BACKENDS
def test_one_seed_has_one_trace(backend: str) -> None:
    runs = [simulate(scenario, seed=seed, backend=backend) for seed in (1, 1, 2)]
    assert runs[0].trace.lines == runs[1].trace.lines
    assert runs[0].trace.digest == runs[1].trace.digest != runs[2].trace.digest
    assert runs[0].seconds == 30
    assert runs[0].trace.counts["connect"] == 20


@BACKENDS
def test_the_common_random_numbers_are_seeded_and_given_back(backend: str) -> None:
    drawn: list[float] = []

    async def draw(world: World) -> None:
        drawn.append(random.random())

    random.seed(5)
    simulate(draw, seed=1, backend=backend)
    simulate(draw, seed=1, backend=backend)
    after = random.random()
    random.seed(5)
    assert drawn[0] == drawn[1]
    assert after == random.random()


def test_purposes_have_their_own_chance() -> None:
    async def draw(world: World) -> None:
        one, other = world.chance("one"), world.chance("other")
        values = [one.random() for _ in range(3)]
        assert values == [world.chance("one").random(), *values[1:]]
        assert other.random() != values[0]
        assert world.chance("other").random() == world.chance("other").random()

    simulate(draw, seed=1)


@BACKENDS
def test_a_failure_says_how_to_replay_it_and_what_happened(backend: str) -> None:
    with pytest.raises(AssertionError, match="three is wrong") as caught:
        explore(fails, range(6), backend=backend)
    (note,) = caught.value.__notes__
    assert f"simulation with seed 3 on {backend} failed" in note
    place = f"{fails.__module__}:fails"
    assert f"python -m asyncmachine.testing.sim {place} --seed 3 --backend {backend}\n" in note
    assert note.rstrip().splitlines()[-1].strip().startswith("1.000000 thought 0.")


def test_the_command_is_a_true_one() -> None:
    async def local(world: World) -> None:
        raise LookupError

    with pytest.raises(LookupError) as caught:
        simulate(local, seed=1)
    assert "<locals>.local, seed=1, backend='asyncio')" in caught.value.__notes__[0]
    with pytest.raises(LookupError) as caught:
        explore(local, [7], replay="make replay SEED={seed} ON={backend}")
    assert "  make replay SEED=7 ON=asyncio\n" in caught.value.__notes__[0]


def test_several_errors_stay_a_group() -> None:
    async def both(world: World) -> None:
        async with anyio.create_task_group() as tasks:

            async def fail(error: Exception) -> None:
                raise error

            tasks.start_soon(fail, KeyError("a"))
            tasks.start_soon(fail, IndexError("b"))

    with pytest.raises(BaseExceptionGroup) as caught:
        simulate(both, seed=1)
    assert caught.group_contains(KeyError)
    assert caught.group_contains(IndexError)
    assert "with seed 1 on asyncio" in caught.value.__notes__[0]


@BACKENDS
def test_it_must_be_over_in_time(backend: str) -> None:
    with pytest.raises(TimeoutError):
        simulate(scenario, seed=1, backend=backend, limit=20)


@BACKENDS
def test_a_deadlock_is_found(backend: str) -> None:
    async def stuck(world: World) -> None:
        await anyio.Event().wait()

    with pytest.raises(Deadlock):
        simulate(stuck, seed=1, backend=backend, limit=float("inf"))


def test_a_frozen_process_does_not_hinder_the_end() -> None:
    async def frozen(world: World) -> None:
        world.host("a").start(chat)
        world.host("b").start(chat)
        await world.sleep(0.01)
        world.host("a").freeze()
        raise LookupError("the end")

    with pytest.raises(LookupError, match="the end"):
        simulate(frozen, seed=1)


def test_the_log_of_the_library_is_in_the_trace() -> None:
    async def logs(world: World) -> None:
        log = logging.getLogger("asyncmachine.rpc")
        log.warning("a warning of %r", object())
        log.error("an error", exc_info=ValueError("its cause"))
        assert world.errors == ["an error: ValueError('its cause')"]

    run = simulate(logs, seed=1)
    other = simulate(logs, seed=1)
    assert run.trace.lines[1].endswith("log WARNING a warning of <object object at 0x...>")
    assert run.trace.digest == other.trace.digest


def test_lines_can_be_watched() -> None:
    seen: list[str] = []
    run = simulate(scenario, seed=1, watch=seen.append)
    assert seen == run.trace.lines


def test_an_unknown_backend() -> None:
    with pytest.raises(ValueError, match="'curio': must be 'asyncio' or 'trio'"):
        simulate(scenario, seed=1, backend="curio")
