"""Timing in one process: short rounds, taken in turn, so a slow moment of the computer hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import repeat

ROUNDS = 200
ROUND = 0.001  # seconds, about

Loop = Callable[[int], object]
"""Makes so many changes. One of which only a part counts returns the seconds of that part, a float."""


def seconds(loop: Loop, changes: int) -> float:
    """How long it takes."""
    began = time.perf_counter()
    part = loop(changes)
    whole = time.perf_counter() - began
    return part if isinstance(part, float) else whole


def rounds(
    loops: Mapping[str, Loop], steps: Mapping[str, int], *, count: int = ROUNDS
) -> dict[str, list[float]]:
    """Microseconds per change of each loop in each round, best round first.

    Each makes as many changes in a round, a multiple of its step, as take about a millisecond: rounds of
    one length are equally likely to be disturbed.
    """
    changes = dict(steps)
    for name, loop in loops.items():
        seconds(loop, changes[name])  # what is made on first use
        while seconds(loop, changes[name]) < ROUND / 2:
            changes[name] *= 2
    found: dict[str, list[float]] = {name: [] for name in loops}
    for _ in repeat(None, count):
        for name, loop in loops.items():
            found[name].append(seconds(loop, changes[name]) / changes[name] * 1e6)
    return {name: sorted(each) for name, each in found.items()}


def best(loops: Mapping[str, Loop], *, step: int = 10) -> dict[str, float]:
    """Microseconds per change of each loop: its best round. Changes are made in multiples of *step*."""
    return {name: each[0] for name, each in rounds(loops, dict.fromkeys(loops, step)).items()}


class Empty:
    """What the pace of a core is measured with."""

    def method(self) -> None:
        """Do nothing."""


def call_empty(changes: int) -> None:
    """Empty calls."""
    empty = Empty()
    for _ in repeat(None, changes):
        empty.method()


PACE: dict[str, Loop] = {"pace": call_empty}
