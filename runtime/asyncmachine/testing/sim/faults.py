"""What breaks when: a list of faults, played by a nemesis, and healed at the end."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import anyio

from asyncmachine.testing.sim.pipe import Connection
from asyncmachine.testing.sim.world import World

__all__ = ["FREEZING", "KINDS", "Fault", "FaultKind", "Nemesis", "draw_faults"]

FaultKind: TypeAlias = Literal[
    "slow", "narrow", "pieces", "partition", "one_way", "reset", "half_open", "truncate", "slow_reader",
    "no_files", "kill", "power_off", "freeze",
]  # fmt: skip
KINDS: Final[tuple[FaultKind, ...]] = get_args(FaultKind)
FREEZING: Final = frozenset({"freeze"})
"""Kinds that are skipped where a process cannot be frozen."""

_STRIKES: Final = frozenset({"reset", "half_open", "truncate"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that breaks.

    | kind | what |
    |---|---|
    | ``slow`` | packets between the two take half a second more |
    | ``narrow`` | 2,000 bytes a second get through, each way |
    | ``pieces`` | packets of one to three bytes |
    | ``partition`` | nothing gets through between the two, and nobody is told |
    | ``one_way`` | nothing gets from *here* to *there* |
    | ``reset`` | connections between the two break, within a frame or not |
    | ``half_open`` | the same, but only one end of each hears of it |
    | ``truncate`` | both ends of connections between the two find their end, within a frame or not |
    | ``slow_reader`` | processes of *here* receive 64 bytes every 0.2 s |
    | ``no_files`` | *here* cannot accept connections |
    | ``kill`` | the process of *here* is killed, and started again at the end |
    | ``power_off`` | *here* loses power: its peers hear nothing until it is started again |
    | ``freeze`` | the process of *here* is stopped |

    Attributes:
        at: seconds from the beginning.
        seconds: how long it lasts; ``reset``, ``half_open`` and ``truncate`` happen again and again in it.
        here, there: names of hosts.
    """

    kind: FaultKind
    at: float
    seconds: float
    here: str
    there: str

    def __str__(self) -> str:
        return f"{self.kind} {self.here} {self.there} for {self.seconds:.3f} s"


def draw_faults(
    chance: random.Random,
    hosts: Sequence[str],
    *,
    seconds: float,
    count: int,
    kinds: Sequence[FaultKind] = KINDS,
) -> tuple[Fault, ...]:
    """Up to *count* faults within *seconds*, of a random part of *kinds*, each of up to a third of the time.

    A run with few kinds goes deeper than one where everything breaks all the time.

    Args:
        hosts: names; the first is where everybody connects to.

    Raises:
        ValueError: fewer than two hosts.
    """
    if len(hosts) < 2:
        raise ValueError(f"hosts are {list(hosts)!r}: faults need two at least")
    some = chance.sample(list(kinds), chance.randint(1, len(kinds)))
    faults = []
    for _ in range(chance.randint(0, count)):
        pair = [hosts[0], chance.choice(hosts[1:])]
        if chance.random() < 0.5:
            pair.reverse()
        at = chance.uniform(0, seconds)
        length = min(chance.expovariate(6 / seconds), seconds / 3)
        faults.append(Fault(chance.choice(some), round(at, 3), round(length, 3), *pair))
    return tuple(sorted(faults, key=lambda fault: fault.at))


class Nemesis:
    """Lets faults happen in a world, and heals it.

    Faults may overlap: what was disturbed is right again when the last fault that disturbs it is over.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._active: list[Fault] = []
        self._downed: set[str] = set()  # hosts whose process is to be started again

    async def play(self, faults: Iterable[Fault]) -> None:
        """Let them happen, each at its time; returns when the last is over."""
        began = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for fault in faults:
                if self.world.can_freeze or fault.kind not in FREEZING:
                    tasks.start_soon(self._happen, fault, began)

    async def _happen(self, fault: Fault, began: float) -> None:
        await anyio.sleep_until(began + fault.at)
        if fault.kind in _STRIKES:
            await self._strike_again(fault)
            return
        self.world.trace.note("fault", str(fault))
        self._active.append(fault)
        self._apply()
        await anyio.sleep(fault.seconds)
        if fault in self._active:
            self._active.remove(fault)
            self.world.trace.note("over", str(fault))
            self._apply()

    def heal(self) -> None:
        """End all faults: links are as new, all hosts run."""
        self.world.trace.note("heal")
        self._active.clear()
        self._apply()

    async def _strike_again(self, fault: Fault) -> None:
        over = anyio.current_time() + fault.seconds
        self._strike(fault)
        while (pause := self.world.network.chance.uniform(0.1, 1.5)) <= over - anyio.current_time():
            await anyio.sleep(pause)
            self._strike(fault)

    def _strike(self, fault: Fault) -> None:
        for connection in self.between(fault.here, fault.there):
            if fault.kind == "truncate":
                connection.truncate()
            else:
                connection.reset(half=fault.kind == "half_open")

    def between(self, here: str, there: str) -> list[Connection]:
        """Connections between two hosts."""
        names = {here, there}
        return [
            one
            for one in self.world.network.connections
            if not one.over and {end.process.host.name for end in one.ends} == names
        ]

    def _apply(self) -> None:
        """Make everything as the active faults want it, from scratch."""
        world, active = self.world, self._active
        normal = world.network.normal
        for link in world.network.links():
            link.latency, link.rate = normal.latency, normal.rate
            link.piece, link.blocked = normal.piece, normal.blocked
        for fault in active:
            self._disturb(fault)
        for name, host in world.hosts.items():
            mine = {fault.kind for fault in active if fault.here == name}
            host.reading = (0.2, 64) if "slow_reader" in mine else None
            host.no_files = "no_files" in mine
            if host.running and mine & {"power_off", "kill"}:
                self._downed.add(name)
            if "power_off" in mine:
                host.power_off()
            elif "kill" in mine:
                host.kill()
            elif name in self._downed:
                self._downed.remove(name)
                host.start()
            if "freeze" in mine:
                host.freeze()
            else:
                host.thaw()
        world.network.settle()

    def _disturb(self, fault: Fault) -> None:
        network, hosts = self.world.network, self.world.hosts
        here, there = hosts[fault.here], hosts[fault.there]
        both = network.link(here, there), network.link(there, here)
        if fault.kind == "one_way":
            both[0].blocked = True
        for link in both:
            if fault.kind == "slow":
                link.latency = network.normal.latency + 0.5
            elif fault.kind == "narrow":
                link.rate = 2000.0
            elif fault.kind == "pieces":
                link.piece = 3
            elif fault.kind == "partition":
                link.blocked = True
