"""The display for a terminal."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["Bar"]


class Bar:
    """A progress bar on stderr, with lines above it."""

    def __init__(self, title: str, total: int) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task = self._progress.add_task(title, total=total, note="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def line(self, text: str, style: str = "") -> None:
        """Write *text* as it is, in a style of rich."""
        self._console.print(text, style=style or None, markup=False, highlight=False, soft_wrap=True)

    def show(self, done: int, note: str) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=done, note=note)
