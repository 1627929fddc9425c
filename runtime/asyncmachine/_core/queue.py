"""The queue of mutations: appended ones carry a queue tick, prepended ones go first and carry none."""

from __future__ import annotations

from collections import deque
from typing import Final

from asyncmachine._core.mutation import Mutation

__all__ = ["MutationQueue"]


_NOTHING: Final[deque[Mutation]] = deque(maxlen=0)
"""What no queue holds before its first mutation: a deque takes 600 bytes, and most machines need none."""


class MutationQueue:
    """FIFO with two entries.

    Attributes:
        items: what waits, next first.
        tick: number of appended mutations taken out so far, plus one.
        limit: most mutations that may wait.
    """

    __slots__ = ("_last", "_pending", "items", "limit", "tick")

    def __init__(self, limit: int) -> None:
        self.items = _NOTHING
        self._last: dict[int, Mutation]  # state -> last appended mutation that calls it; made with items
        self._pending = 0
        self.tick = 1
        self.limit = limit

    def __len__(self) -> int:
        return len(self.items)

    def append(self, mutation: Mutation) -> None:
        """Add to the end and stamp the queue tick at which it will have been processed."""
        if self.items is _NOTHING:
            self._open()
        self._pending = pending = self._pending + 1
        mutation.tick = pending + self.tick
        self.items.append(mutation)
        last = self._last
        for state in mutation.called:
            last[state] = mutation

    def prepend(self, mutation: Mutation) -> None:
        """Put first, without a tick."""
        if self.items is _NOTHING:
            self._open()
        self.items.appendleft(mutation)

    def _open(self) -> None:
        self.items, self._last = deque(), {}

    def pop(self) -> Mutation:
        """Take the first one out."""
        mutation = self.items.popleft()
        if mutation.tick:
            self._pending -= 1
            self.tick += 1
        if not self.items:
            self._last.clear()
        return mutation

    def repeats_last(self, mutation: Mutation, multi: int) -> bool:
        """Whether *mutation* says again what the last waiting one on the same states says.

        Only argument-less mutations of no Multi state (*multi* is their mask) can repeat. Looking
        at the last one only means that add, remove, add ends active.
        """
        called = mutation.called
        if mutation.args or not called or not self.items:
            return False
        last = self._last.get(called[0])
        if last is None or last.kind != mutation.kind or last.done or last.args or last.check:
            return False
        if last.called != called and set(last.called) != set(called):
            return False
        return all(self._last.get(i) is last and not multi >> i & 1 for i in called)

    def clear(self) -> list[Mutation]:
        """Drop everything; returns what was waiting."""
        dropped = list(self.items)
        self.tick += self._pending
        self._pending = 0
        if dropped:
            self._open()
        return dropped
