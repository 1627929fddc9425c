"""Clocks on the wire: packed ticks, diffs between two versions, and the mirror's end of it.

A *version* is a number that grows with every recorded transition of a source, within one *epoch*, the
random name of that source's life. A diff turns version ``base`` into ``ver`` and fits nothing else.

Numbers are LEB128 varints. All ticks: one per state, in index order. A diff: ``(gap, delta)`` for each
state that moved, by index; its index is the one before plus 1 plus ``gap`` (the first counts from -1),
``delta`` is the number of ticks, at least 1. So a diff is sorted and free of duplicates by construction.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from operator import gt
from typing import Final

from asyncmachine.errors import ProtocolError
from asyncmachine.rpc.protocol.messages import Code, Snapshot, Update

__all__ = [
    "MAX_TICK",
    "Fit",
    "MirrorClock",
    "pack_diff",
    "pack_ticks",
    "unpack_diff",
    "unpack_ticks",
]

MAX_TICK: Final = 2**63 - 1


def _put(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _numbers(data: bytes) -> list[int]:
    """All varints in *data*, each below 2**64, in the shortest form."""
    found: list[int] = []
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        if byte > 0x7F:
            shift += 7
            if shift > 63:
                raise ProtocolError(Code.MIRROR, "a varint of more than 64 bits")
        else:
            if shift and not byte:
                raise ProtocolError(Code.MIRROR, "a varint that is not in its shortest form")
            found.append(value)
            value = shift = 0
    if shift:
        raise ProtocolError(Code.MIRROR, "a truncated varint")
    return found


def pack_ticks(ticks: Iterable[int]) -> bytes:
    """All ticks of a clock."""
    out = bytearray()
    for tick in ticks:
        _put(out, tick)
    return bytes(out)


def unpack_ticks(data: bytes, count: int) -> list[int]:
    """Inverse of :func:`pack_ticks`, for *count* states.

    Raises:
        ProtocolError: not *count* ticks, or one above ``MAX_TICK``.
    """
    ticks = _numbers(data)
    if len(ticks) != count:
        raise ProtocolError(Code.MIRROR, f"{len(ticks)} ticks for {count} states")
    if any(tick > MAX_TICK for tick in ticks):
        raise ProtocolError(Code.MIRROR, "a tick above 2**63")
    return ticks


def pack_diff(moved: Iterable[tuple[int, int]]) -> bytes:
    """A diff of ``(index, delta)`` pairs, sorted by index."""
    out = bytearray()
    last = -1
    for index, delta in moved:
        gap = index - last - 1
        if gap < 0x80 and delta < 0x80:
            out.append(gap)
            out.append(delta)
        else:
            _put(out, gap)
            _put(out, delta)
        last = index
    return bytes(out)


def unpack_diff(data: bytes, count: int) -> list[tuple[int, int]]:
    """Inverse of :func:`pack_diff`, for a clock of *count* states.

    Raises:
        ProtocolError: an index beyond the clock, or a delta of zero or above ``MAX_TICK``.
    """
    numbers = _numbers(data)
    if len(numbers) & 1:
        raise ProtocolError(Code.MIRROR, "a diff with half a pair")
    moved: list[tuple[int, int]] = []
    index = -1
    for at in range(0, len(numbers), 2):
        index += 1 + numbers[at]
        delta = numbers[at + 1]
        if index >= count:
            raise ProtocolError(Code.MIRROR, f"state index {index} in a diff for {count} states")
        if not 0 < delta <= MAX_TICK:
            raise ProtocolError(Code.MIRROR, f"state index {index} moved by {delta}")
        moved.append((index, delta))
    return moved


class Fit(Enum):
    """How an update relates to the mirror."""

    NEXT = 0
    OLD = 1
    GAP = 2


class MirrorClock:
    """The clock of a source as a peer knows it, and what to make of the next update.

    Attributes:
        ver: version of ``ticks``.
        lost: an update did not fit; nothing fits until the next snapshot.
    """

    __slots__ = ("lost", "qtick", "ticks", "ver")

    def __init__(self, count: int) -> None:
        self.ticks = [0] * count
        self.ver = 0
        self.qtick = 0
        self.lost = False

    def snapshot(self, message: Snapshot) -> list[int]:
        """Start over; a copy of the ticks.

        Raises:
            ProtocolError: it does not fit the schema, or would turn the mirror back.
        """
        ticks = unpack_ticks(message.ticks, len(self.ticks))
        if message.ver < self.ver or any(map(gt, self.ticks, ticks)):
            raise ProtocolError(Code.MIRROR, "a snapshot that is older than the mirror")
        self.ticks = ticks
        self.ver, self.qtick, self.lost = message.ver, message.qtick, False
        return list(ticks)

    def fit(self, update: Update) -> Fit:
        """Whether it comes next, is known already, or leaves a gap."""
        if update.ver < update.base:
            raise ProtocolError(
                Code.MIRROR,
                f"an update from version {update.base} back to {update.ver}",
            )
        if self.lost:
            return Fit.GAP
        if update.base == self.ver:
            return Fit.NEXT
        return Fit.OLD if update.ver <= self.ver else Fit.GAP

    def apply(self, update: Update) -> list[tuple[int, int, int]]:
        """Apply one that comes next: ``(index, old, new)`` for each state that moved.

        Raises:
            ProtocolError: the diff is not one; nothing was applied.
        """
        ticks = self.ticks
        moved = unpack_diff(update.diff, len(ticks))
        changes = [(index, ticks[index], ticks[index] + delta) for index, delta in moved]
        if any(new > MAX_TICK for _, _, new in changes):
            raise ProtocolError(Code.MIRROR, "a tick above 2**63")
        for index, _, new in changes:
            ticks[index] = new
        self.ver, self.qtick = update.ver, update.qtick
        return changes
