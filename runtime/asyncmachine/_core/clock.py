"""Arithmetic of logical clocks. A tick counts the flips of one state: odd is active."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = ["Change", "active_mask", "compare", "next_active", "next_inactive"]


def next_active(tick: int) -> int:
    """The tick of the next activation; of the next re-entry if it is active now."""
    return tick + 2 if tick & 1 else tick + 1


def next_inactive(tick: int) -> int:
    """The tick of the next deactivation."""
    return tick + 1 if tick & 1 else tick + 2


def active_mask(ticks: Iterable[int]) -> int:
    """Bit mask of the states whose tick is odd."""
    mask = 0
    for i, tick in enumerate(ticks):
        if tick & 1:
            mask |= 1 << i
    return mask


class Change(NamedTuple):
    """What happened between two readings of one clock, as masks of states.

    ``reentered`` were active in both and moved by at least two ticks, ``pulsed`` were inactive in
    both and moved: seen from afar, where several transitions may be merged into one change.
    """

    activated: int
    deactivated: int
    reentered: int
    pulsed: int

    @property
    def moved(self) -> int:
        """All states whose tick changed."""
        return self.activated | self.deactivated | self.reentered | self.pulsed


def compare(before: Sequence[int], after: Sequence[int]) -> Change:
    """The change from *before* to *after*; both hold a tick per state, in index order."""
    activated = deactivated = reentered = pulsed = 0
    for i, (old, new) in enumerate(zip(before, after, strict=True)):
        if old != new:
            bit = 1 << i
            if old & 1:
                if new & 1:
                    reentered |= bit
                else:
                    deactivated |= bit
            elif new & 1:
                activated |= bit
            else:
                pulsed |= bit
    return Change(activated, deactivated, reentered, pulsed)
