"""What a server remembers of the requests of its clients, so that none is executed twice.

A client that lost its session asks again, under the same ids, what was not answered: right after READY,
in order, and before anything new. Each *life* of a client, its id and the random name of the instance,
has its own ids, which only grow. So an id up to the highest one is known: its answer is kept until the
client is known to have it, and for a while.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, ClassVar, Final, Generic, TypeVar

__all__ = ["PENDING", "Answers", "Memory"]

S = TypeVar("S")

PENDING: Final = (0,)
"""In place of an answer: the request is being executed."""


class Answers(Generic[S]):
    """Of one life of a client.

    Args:
        limit: answers kept at most, the newest.

    Attributes:
        last: the highest id.
        session: the one that is open, or None.
        pending: by id, what will tell the answers that are ``PENDING``.
        left: when it ended.
    """

    NEVER: ClassVar = 2**64
    """Number of a frame that will not be acknowledged."""

    __slots__ = ("_fresh", "_limit", "_old", "last", "left", "pending", "session")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._fresh: dict[int, tuple[int, tuple[Any, ...]]] = {}  # id -> number of the frame, answer
        self._old: dict[int, tuple[Any, ...]] = {}  # of sessions before, not known to have arrived
        self.last = 0
        self.session: S | None = None
        self.pending: dict[int, Any] = {}
        self.left = 0.0

    def __len__(self) -> int:
        return len(self._fresh) + len(self._old)

    def begin(self, rid: int) -> bool:
        """Whether this request is new. If so, it counts as known from now on."""
        if rid <= self.last:
            return False
        self.last = rid
        if self._old:  # a client repeats before it goes on
            self._old = {key: value for key, value in self._old.items() if value is PENDING}
        return True

    def keep(self, rid: int, answer: tuple[Any, ...], frame: int, acked: int) -> None:
        """Remember *answer*, which leaves in the frame with this number.

        Args:
            acked: number of the last frame that is known to have arrived.
        """
        fresh = self._fresh
        self._old.pop(rid, None)
        while fresh:
            first = next(iter(fresh))
            sent, value = fresh[first]
            if len(fresh) < self._limit and (sent > acked or value is PENDING):
                break
            del fresh[first]
        fresh[rid] = (frame, answer)

    def find(self, rid: int) -> tuple[Any, ...] | None:
        """What was answered, ``PENDING``, or None if that is forgotten."""
        found = self._fresh.get(rid)
        return found[1] if found is not None else self._old.get(rid)

    def end_session(self, now: float, acked: int) -> None:
        """The session has ended; its peer is known to have received frames up to *acked*."""
        self.session, self.left = None, now
        for rid, (frame, answer) in self._fresh.items():
            if frame > acked or answer is PENDING:
                self._old[rid] = answer
        self._fresh = {}
        while len(self._old) > self._limit:
            del self._old[next(iter(self._old))]


class Memory(Generic[S]):
    """Of all clients of a server.

    Args:
        limit: answers kept for each life of a client.
        seconds: how long one that has no session is remembered.
        absent: how many of them are.
    """

    def __init__(self, limit: int, seconds: float, absent: int) -> None:
        self._limit, self._seconds, self._most = limit, seconds, absent
        self._present: dict[Hashable, Answers[S]] = {}
        self._absent: dict[Hashable, Answers[S]] = {}  # whoever left first, first

    def __len__(self) -> int:
        return len(self._present) + len(self._absent)

    def open(self, identity: Hashable, session: S, now: float) -> tuple[Answers[S], bool]:
        """What is known of this life of a client, which has a session now; whether anything was."""
        self._tidy(now)
        answers = self._absent.pop(identity, None)
        if answers is None:
            answers = self._present.get(identity)
        known = answers is not None
        if answers is None:
            answers = Answers(self._limit)
        elif answers.session is not None:  # it was not noticed that this one is lost
            answers.end_session(now, 0)
        self._present[identity] = answers
        answers.session = session
        return answers, known

    def close(self, identity: Hashable, session: S, now: float, acked: int) -> None:
        """That session has ended; harmless if the client has another one by now."""
        answers = self._present.get(identity)
        if answers is None or answers.session is not session:
            return
        answers.end_session(now, acked)
        self._absent[identity] = self._present.pop(identity)
        self._tidy(now)

    def _tidy(self, now: float) -> None:
        absent = self._absent
        while absent:
            first = next(iter(absent))
            if len(absent) <= self._most and absent[first].left + self._seconds > now:
                break
            del absent[first]
