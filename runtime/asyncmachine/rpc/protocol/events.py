"""What a connection tells whoever uses it, besides the messages themselves."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from asyncmachine.rpc.protocol.messages import FATAL, Message

__all__ = ["Bucket", "Closed", "Event", "Installed", "Moved"]


class Closed(NamedTuple):
    """The connection ended. ``code`` is a wire code; OK for a planned end.

    ``said``: the peer took its leave: all that it wanted to send has arrived. Otherwise it may have been
    cut off anywhere.
    """

    code: int
    text: str
    by_peer: bool
    said: bool = False

    @property
    def fatal(self) -> bool:
        """Whether connecting again will not help."""
        return self.code in FATAL


class Installed(NamedTuple):
    """Client: a snapshot arrived; all ticks."""

    ticks: list[int]


class Moved(NamedTuple):
    """Client: an update was applied; ``(index, old, new)`` by index."""

    changes: list[tuple[int, int, int]]


Event: TypeAlias = Message | Installed | Moved | Closed


class Bucket:
    """A token bucket: *burst* at once, *rate* per second after that."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, burst: float, rate: float, now: float) -> None:
        self._burst, self._rate, self._left, self._at = burst, rate, burst, now

    def take(self, now: float) -> bool:
        """Take a token; False when there is none."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
