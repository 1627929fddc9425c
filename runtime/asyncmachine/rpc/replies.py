"""An answer that is still to come, as cheap as it can be on anyio."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Generic, TypeVar, cast

import anyio

__all__ = ["Reply"]

T = TypeVar("T")


class Reply(Generic[T]):
    """Awaitable, by any number of tasks. Nothing of anyio is made unless somebody really waits."""

    __slots__ = ("_error", "_event", "_value", "done")

    def __init__(self) -> None:
        self.done = False
        self._event: anyio.Event | None = None
        self._error: Exception | None = None
        self._value: T | None = None

    def resolve(self, value: T) -> None:
        """Answer, unless it has been."""
        if not self.done:
            self._value = value
            self._finish()

    def fail(self, error: Exception) -> None:
        """Make whoever awaits raise *error*, unless it has been answered."""
        if not self.done:
            self._error = error
            self._finish()

    def _finish(self) -> None:
        self.done = True
        if self._event is not None:
            self._event.set()

    def __await__(self) -> Generator[Any, Any, T]:
        if not self.done:
            if self._event is None:
                self._event = anyio.Event()
            yield from self._event.wait().__await__()
        if self._error is not None:
            raise self._error
        return cast(T, self._value)
