"""One change of state, against the ``transitions`` library, in one run.

Four workloads, each in rounds taken in turn, the best round counts:

- two states that exclude each other, no callbacks;
- the same with one callback on leaving and one on entering;
- a ring of 30 states;
- awaited, with the same two callbacks.

    python benchmarks/toggle_vs_transitions.py [ROUNDS]

Ends with 1 if one of them is less ahead of the peer than it has to be.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio
from transitions import Machine as Peer
from transitions.extensions.asyncio import AsyncMachine as AsyncPeer

from asyncmachine.machine import Machine
from asyncmachine.schema import Schema, State

CHANGES = 5_000
LEAST = {"two states": 5.0, "two states, callbacks": 1.5, "ring of 30 states": 5.0, "awaited, callbacks": 3.0}

PAIR = Schema("Pair", {"A": State(remove=("B",)), "B": State(remove=("A",))})
RING_NAMES = [f"S{n}" for n in range(30)]
RING = Schema("Ring", {n: State(remove=tuple(x for x in RING_NAMES if x != n)) for n in RING_NAMES})


@dataclass
class Count:
    """What the callbacks do: the least that shows they ran."""

    calls: int = 0

    def a_exit(self, event: Any) -> None:
        """Ours, on leaving A."""
        self.calls += 1

    def b_state(self, event: Any) -> None:
        """Ours, on entering B."""
        self.calls += 1

    def left(self) -> None:
        """The peer's."""
        self.calls += 1

    def entered(self) -> None:
        """The peer's."""
        self.calls += 1


def peer_pair(kind: type[Any], count: Count | None) -> Any:
    """The peer's machine of two states."""
    a: Any = {"name": "A", "on_exit": count.left} if count else "A"
    b: Any = {"name": "B", "on_enter": count.entered} if count else "B"
    machine = kind(states=[a, b], initial="A", auto_transitions=False)
    machine.add_transition("forth", "A", "B")
    machine.add_transition("back", "B", "A")
    return machine


def timed(change: Callable[[], object]) -> float:
    """Microseconds per change; *change* makes two."""
    began = time.perf_counter()
    for _ in range(CHANGES // 2):
        change()
    return (time.perf_counter() - began) / CHANGES * 1e6


def ours_pair(count: Count | None) -> Callable[[], object]:
    """There and back."""
    machine = Machine(PAIR, *([count] if count else []))
    machine.add("A")

    def change() -> None:
        machine.add("B")
        machine.add("A")

    return change


def theirs_pair(count: Count | None) -> Callable[[], object]:
    """There and back."""
    machine = peer_pair(Peer, count)

    def change() -> None:
        machine.forth()
        machine.back()

    return change


def ours_ring() -> Callable[[], object]:
    """Two steps round the ring."""
    machine = Machine(RING)
    position = 0

    def change() -> None:
        nonlocal position
        machine.add(RING_NAMES[position % 30])
        machine.add(RING_NAMES[(position + 1) % 30])
        position += 2

    return change


def theirs_ring() -> Callable[[], object]:
    """Two steps round the ring."""
    machine: Any = Peer(states=RING_NAMES, initial="S0", auto_transitions=False)
    machine.add_ordered_transitions(trigger="step")

    def change() -> None:
        machine.step()
        machine.step()

    return change


async def awaited(rounds: int) -> tuple[float, float]:
    """Best microseconds per awaited change: ours, theirs."""
    count = Count()
    peer = peer_pair(AsyncPeer, count)
    ours = theirs = float("inf")
    async with Machine(PAIR, count) as machine:
        machine.add("A")
        for _ in range(rounds):
            began = time.perf_counter()
            for _ in range(CHANGES // 2):
                await machine.add("B")
                await machine.add("A")
            middle = time.perf_counter()
            for _ in range(CHANGES // 2):
                await peer.forth()
                await peer.back()
            ours = min(ours, (middle - began) / CHANGES * 1e6)
            theirs = min(theirs, (time.perf_counter() - middle) / CHANGES * 1e6)
    if count.calls != 2 * rounds * CHANGES:
        raise RuntimeError(f"{count.calls} callbacks ran, expected {2 * rounds * CHANGES}")
    return ours, theirs


def compared(rounds: int, ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Best microseconds per change: ours, theirs; rounds taken in turn."""
    pairs = [(timed(ours), timed(theirs)) for _ in range(rounds)]
    return min(p[0] for p in pairs), min(p[1] for p in pairs)


def main() -> int:
    """Print the table; 1 if we are too slow."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    gc.disable()
    mine, its = Count(), Count()
    rows = {
        "two states": compared(rounds, ours_pair(None), theirs_pair(None)),
        "two states, callbacks": compared(rounds, ours_pair(mine), theirs_pair(its)),
        "ring of 30 states": compared(rounds, ours_ring(), theirs_ring()),
        "awaited, callbacks": anyio.run(awaited, rounds),
    }
    if mine.calls != its.calls:
        raise RuntimeError(f"{mine.calls} callbacks ran here, {its.calls} there")
    print(f"{'us per change':24} {'ours':>8} {'transitions':>12} {'ratio':>7} {'at least':>9}")
    for name, (ours, theirs) in rows.items():
        print(f"{name:24} {ours:8.2f} {theirs:12.2f} {theirs / ours:6.1f}x {LEAST[name]:8.1f}x")
    return 1 if any(theirs < LEAST[name] * ours for name, (ours, theirs) in rows.items()) else 0


if __name__ == "__main__":
    sys.exit(main())
