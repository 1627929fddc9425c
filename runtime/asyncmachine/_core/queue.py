"""The queue of mutations: appended ones carry a queue tick, prepended ones go first and carry none."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from asyncmachine._core.mutation import REMOVE, Kind, Mutation, Source

__all__ = ["MutationQueue"]


_blank: Final = object.__new__

_NOTHING: Final[deque[Mutation]] = deque(maxlen=0)
_NO_LAST: Final[dict[int, Mutation]] = {}
"""What no queue holds before its first mutation: a deque takes 600 bytes, and most machines need none."""


class MutationQueue:
    """FIFO with two entries.

    Attributes:
        items: what waits, next first.
        last: state -> last appended mutation that calls it; may hold some that wait no more.
        early: prepended ones among them.
        tick: number of appended mutations taken out so far, plus one.
        limit: most mutations that may wait.
    """

    __slots__ = ("early", "items", "last", "limit", "tick")

    def __init__(self, limit: int) -> None:
        self.items = _NOTHING
        self.last = _NO_LAST
        self.early = 0
        self.tick = 1
        self.limit = limit

    def __len__(self) -> int:
        return len(self.items)

    def append(
        self, kind: Kind, called: tuple[int, ...], args: Mapping[str, Any], source: Source | None, engine: Any
    ) -> Mutation:
        """Add a new mutation to the end, stamped with the queue tick at which it will have been processed."""
        items = self.items
        if items is _NOTHING:
            items = self._open()
        # Not by ``__init__``: a call from C into Python would take a tenth of all that queueing takes.
        mutation = _blank(Mutation)
        mutation.kind = kind
        mutation.called = called
        mutation.args = args
        mutation.source = source
        mutation.engine = engine
        mutation.auto = mutation.check = False
        mutation.result = mutation.waiters = None
        items.append(mutation)
        mutation.tick = self.tick + len(items) - self.early
        last = self.last
        for state in called:
            last[state] = mutation
        return mutation

    def prepend(self, mutation: Mutation) -> None:
        """Put first, without a tick."""
        if self.items is _NOTHING:
            self._open()
        self.items.appendleft(mutation)
        self.early += 1

    def _open(self) -> deque[Mutation]:
        self.items, self.last = deque(), {}
        return self.items

    def withdraw(self, mutation: Mutation) -> bool:
        """Take out one that waits; False if it does not. The queue ticks of the others stay as they are."""
        for at, item in enumerate(self.items):
            if item is mutation:
                self.items[at] = place = Mutation(REMOVE, ())  # which does nothing
                place.tick = mutation.tick
                return True
        return False

    def repeats(self, last: Mutation, called: tuple[int, ...], multi: int) -> bool:
        """Whether a mutation of the kind of *last* says again what that does, which still waits.

        Both without args, and of no Multi state (*multi* is their mask). To look at the *last* one that
        calls the first state means that add, remove, add ends active.
        """
        if last.args or last.result is not None:
            return False
        if last.called != called and set(last.called) != set(called):
            return False
        return all(self.last.get(i) is last and not multi >> i & 1 for i in called)

    def clear(self) -> list[Mutation]:
        """Drop everything; returns what was waiting."""
        dropped = list(self.items)
        self.tick += len(dropped) - self.early
        self.early = 0
        self.items.clear()
        self.last.clear()
        return dropped
