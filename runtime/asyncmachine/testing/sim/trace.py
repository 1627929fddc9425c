"""What happened in a simulation, line by line."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable

import anyio

__all__ = ["Trace"]


class Trace:
    """Lines with their time. Two runs are the same if their digests are.

    Args:
        watch: called with each line.

    Attributes:
        lines: oldest first.
        counts: how often each kind of event was noted.
    """

    def __init__(self, watch: Callable[[str], None] | None = None) -> None:
        self.lines: list[str] = []
        self.counts: Counter[str] = Counter()
        self._hash = hashlib.sha256()
        self._watch = watch
        self._began: float | None = None

    @property
    def seconds(self) -> float:
        """Virtual seconds since the first line; 0 before it."""
        now = anyio.current_time()
        if self._began is None:
            self._began = now
        return now - self._began

    def note(self, kind: str, text: str = "") -> None:
        """Add a line. *text* must be the same in each run: no memory addresses, nothing of the real world."""
        self._add(kind, text)
        self._hash.update(self.lines[-1].encode())

    def remark(self, kind: str, text: str) -> None:
        """Add a line that is for the reader only, and does not make two runs different."""
        self._add(kind, text)

    def _add(self, kind: str, text: str) -> None:
        self.counts[kind] += 1
        line = f"{self.seconds:11.6f} {kind} {text}".rstrip()
        self.lines.append(line)
        if self._watch is not None:
            self._watch(line)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that depend on every line that was noted."""
        return self._hash.hexdigest()[:16]

    def tail(self, lines: int) -> str:
        """The last lines, as text."""
        left_out = len(self.lines) - lines
        head = [f"... {left_out} lines ..."] if left_out > 0 else []
        return "\n".join([*head, *self.lines[-lines:]])
