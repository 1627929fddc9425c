from __future__ import annotations

import random
from typing import Any

import anyio
import pytest

from asyncmachine.testing.sim.faults import KINDS, Fault, FaultKind, Nemesis, draw_faults
from asyncmachine.testing.sim.host import Process
from asyncmachine.testing.sim.pipe import End
from asyncmachine.testing.sim.world import World, simulate

HOSTS = ["server", "c1", "c2"]


async def wait(process: Process) -> None:
    await anyio.sleep_forever()


async def connected(world: World) -> tuple[Nemesis, End, End]:
    """A nemesis, and the ends of a connection from c1 to server."""
    server, one, _ = (world.host(name).start(wait) for name in HOSTS)
    listener = server.listen(1)
    near = await one.connect("server", 1)
    return Nemesis(world), near, await listener.accept()


def play(scenario: Any, backend: str = "asyncio", seed: int = 1) -> Any:
    return simulate(scenario, seed=seed, backend=backend)


def test_drawn_faults_are_repeatable_valid_and_various() -> None:
    kinds: set[str] = set()
    for seed in range(60):
        faults = draw_faults(random.Random(seed), HOSTS, seconds=30, count=10)
        assert faults == draw_faults(random.Random(seed), HOSTS, seconds=30, count=10)
        assert len(faults) <= 10
        assert list(faults) == sorted(faults, key=lambda fault: fault.at)
        for fault in faults:
            kinds.add(fault.kind)
            assert 0 <= fault.at <= 30
            assert 0 <= fault.seconds <= 10
            assert "server" in (fault.here, fault.there)
            assert fault.here != fault.there
            assert {fault.here, fault.there} <= set(HOSTS)
    assert kinds == set(KINDS)
    only = draw_faults(random.Random(1), HOSTS, seconds=30, count=40, kinds=["kill"])
    assert {fault.kind for fault in only} == {"kill"}
    with pytest.raises(ValueError, match=r"hosts are \['server'\]"):
        draw_faults(random.Random(1), ["server"], seconds=1, count=1)


def state(world: World, near: End) -> dict[str, Any]:
    """What faults may disturb between c1 and server."""
    there, back = (near.out, near.into)
    links = [world.network.link(way.sender.process.host, way.receiver.process.host) for way in (there, back)]
    hosts = [world.host(name) for name in ("server", "c1")]
    return {
        "latency": [link.latency for link in links],
        "rate": [link.rate for link in links],
        "piece": [link.piece for link in links],
        "blocked": [link.blocked for link in links],
        "reading": [host.reading for host in hosts],
        "no_files": [host.no_files for host in hosts],
        "running": [host.running for host in hosts],
        "up": [host.up for host in hosts],
        "frozen": [host.process is not None and host.process.frozen for host in hosts],
    }


DISTURBED: dict[FaultKind, dict[str, Any]] = {
    "slow": {"latency": [0.505, 0.505]},
    "narrow": {"rate": [2000.0, 2000.0]},
    "pieces": {"piece": [3, 3]},
    "partition": {"blocked": [True, True]},
    "one_way": {"blocked": [True, False]},
    "slow_reader": {"reading": [None, (0.2, 64)]},
    "no_files": {"no_files": [False, True]},
    "kill": {"running": [True, False]},
    "power_off": {"running": [True, False], "up": [True, False]},
    "freeze": {"frozen": [False, True]},
}


@pytest.mark.parametrize("kind", DISTURBED)
def test_a_fault_begins_and_ends(kind: FaultKind) -> None:
    async def scenario(world: World) -> None:
        nemesis, near, _ = await connected(world)
        before = state(world, near)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(nemesis.play, [Fault(kind, 1.0, 2.0, "c1", "server")])
            await world.sleep(0.9)
            assert state(world, near) == before
            await world.sleep(1)
            assert state(world, near) == before | DISTURBED[kind]
        assert state(world, near) == before

    play(scenario)


def test_every_lasting_kind_is_tested() -> None:
    assert set(DISTURBED) | {"reset", "half_open", "truncate"} == set(KINDS)


def test_faults_that_overlap_end_with_the_last() -> None:
    async def scenario(world: World) -> None:
        nemesis, near, _ = await connected(world)
        faults = [
            Fault("partition", 1, 4, "c1", "server"),
            Fault("one_way", 2, 1, "c1", "server"),
            Fault("kill", 1, 6, "c2", "server"),
            Fault("power_off", 2, 2, "c2", "server"),
        ]
        link = world.network.link(near.process.host, world.host("server"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(nemesis.play, faults)
            await world.sleep(4.5)
            assert link.blocked
            assert not world.host("c2").running
            await world.sleep(1)
            assert not link.blocked
        assert world.host("c2").running
        assert world.host("c2").process.life == 2  # type: ignore[union-attr]

    play(scenario)


def test_healing_ends_all_at_once() -> None:
    async def scenario(world: World) -> None:
        nemesis, near, _ = await connected(world)
        before = state(world, near)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(nemesis.play, [Fault(kind, 0, 100, "c1", "server") for kind in DISTURBED])
            await world.sleep(1)
            assert state(world, near) != before
            nemesis.heal()
            assert state(world, near) == before
        assert state(world, near) == before

    play(scenario)


@pytest.mark.parametrize("kind", ["reset", "half_open", "truncate"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_strikes_hit_only_the_connections_between_the_two(kind: FaultKind, backend: str) -> None:
    async def scenario(world: World) -> None:
        nemesis, near, far = await connected(world)
        assert nemesis.between("server", "c1") == [near.connection]
        await nemesis.play([Fault(kind, 1, 0, "server", "c2")])
        assert not near.broken
        assert not far.broken
        await nemesis.play([Fault(kind, 1, 0, "server", "c1")])
        if kind == "truncate":
            for end in (near, far):
                with pytest.raises(anyio.EndOfStream):
                    await end.receive()
        else:
            assert [near.broken, far.broken].count(True) == (1 if kind == "half_open" else 2)

    play(scenario, backend)


def test_a_host_that_ended_by_itself_is_not_started() -> None:
    async def scenario(world: World) -> None:
        nemesis, _, _ = await connected(world)

        async def short(process: Process) -> None:
            await anyio.sleep(0.1)

        world.host("short").start(short)
        await nemesis.play([Fault("slow", 1, 1, "c1", "server"), Fault("kill", 1, 1, "short", "server")])
        nemesis.heal()
        assert not world.host("short").running

    play(scenario)


def test_trio_leaves_out_what_freezes() -> None:
    async def scenario(world: World) -> None:
        nemesis, _, _ = await connected(world)
        await nemesis.play([Fault("freeze", 1, 1, "c1", "server")])

    assert "fault" not in play(scenario, "trio").trace.counts
