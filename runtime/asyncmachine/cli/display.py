"""What a long command shows on stderr: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Final, Protocol, Self, TextIO

__all__ = ["Display", "Lines", "display"]

EVERY: Final = 10.0
"""Seconds between lines about progress where no terminal is: a log should not be full of them."""


class Display(Protocol):
    """Shows progress while its ``with`` block runs. Lines may be written at any time."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def line(self, text: str, style: str = "") -> None:
        """Write one line, or a few."""

    def show(self, done: int, note: str) -> None:
        """So many of all are done."""


class Lines:
    """Plain lines, for a file or a pipe."""

    def __init__(self, title: str, total: int, file: TextIO) -> None:
        self._title = title
        self._total = total
        self._file = file
        self._next = time.monotonic() + EVERY

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left on the screen."""

    def line(self, text: str, style: str = "") -> None:
        """Write it; there are no styles."""
        print(text, file=self._file, flush=True)

    def show(self, done: int, note: str) -> None:
        """Write a line if the last one is long enough ago."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + EVERY
            self.line(f"{self._title}: {done:,} of {self._total:,}{', ' if note else ''}{note}")


def display(title: str, total: int) -> Display:
    """The display that suits stderr."""
    if not sys.stderr.isatty():
        return Lines(title, total, sys.stderr)
    from asyncmachine.cli.bar import Bar  # noqa: PLC0415 - slow to load, and not always needed

    return Bar(title, total)
