"""An answer that is still to come, as cheap as it can be on anyio."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Generic, Protocol, TypeVar, cast

import anyio

__all__ = ["Owner", "Reply"]

T = TypeVar("T")


class Owner(Protocol):
    """Who will answer."""

    def abandoned(self, reply: Reply[Any]) -> None:
        """The last task that waited for *reply* was cancelled."""


class Reply(Generic[T]):
    """Awaitable, by any number of tasks. Nothing of anyio is made unless somebody really waits.

    Attributes:
        done: it was answered. Then either ``error`` is set, or it was answered with ``value``.
        owner: is told when nobody waits any more. ``key``: what it knows the reply by.
    """

    __slots__ = ("_event", "_then", "_waiting", "done", "error", "key", "owner", "value")

    def __init__(self, owner: Owner | None = None, key: Any = None) -> None:
        self.done = False
        self.error: Exception | None = None
        self.value: T | None = None
        self.owner = owner
        self.key = key
        self._event: anyio.Event | None = None
        self._then: Callable[[Reply[T]], object] | None = None
        self._waiting = 0

    def resolve(self, value: T) -> None:
        """Answer, unless it has been."""
        if not self.done:
            self.value = value
            self._finish()

    def fail(self, error: Exception) -> None:
        """Make whoever awaits raise *error*, unless it has been answered."""
        if not self.done:
            self.error = error
            self._finish()

    def then(self, call: Callable[[Reply[T]], object]) -> None:
        """Call *call* with this reply when it is answered, or now. It replaces the one given before."""
        if self.done:
            call(self)
        else:
            self._then = call

    def abandon(self) -> None:
        """Say that nobody waits for it, as a cancelled ``await`` does."""
        if not self.done and self.owner is not None:
            self.owner.abandoned(self)

    def _finish(self) -> None:
        self.done = True
        if self._event is not None:
            self._event.set()
        if self._then is not None:
            self._then(self)

    def __await__(self) -> Generator[Any, Any, T]:
        if not self.done:
            if self._event is None:
                self._event = anyio.Event()
            self._waiting += 1
            try:
                yield from self._event.wait().__await__()
            finally:
                self._waiting -= 1
                if not self._waiting:
                    self.abandon()
        if self.error is not None:
            raise self.error
        return cast(T, self.value)
