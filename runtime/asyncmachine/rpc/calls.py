"""Requests of one client that wait for their answer, over any number of sessions."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf
from typing import Any, TypeAlias

from asyncmachine.api import CANCELED, EXECUTED
from asyncmachine.api import Result as Outcome
from asyncmachine.errors import ArgsError, Denied, OutcomeUnknown, RemoteError, RpcError
from asyncmachine.rpc.protocol.messages import Code, Error, Mutate, Result, Status
from asyncmachine.rpc.replies import Reply

__all__ = ["Calls", "Request", "failure", "printable"]

log = logging.getLogger("asyncmachine.rpc")

Request: TypeAlias = Mutate


def printable(text: str) -> str:
    """Text of a peer, safe for a log or a terminal."""
    return text if text.isprintable() else ascii(text)[1:-1]


def failure(error: Error) -> RpcError | ArgsError:
    """What whoever made the request gets to see of a refusal."""
    text = printable(error.text)
    if error.code == Code.DENIED:
        return Denied(text)
    if error.code == Code.ARGS:
        return ArgsError(text)
    return RemoteError(error.code, text)


class Calls:
    """Who waits for which request, the oldest first.

    A request that was not answered when its session was lost is asked again in the next one, under the same
    id, unless the life of the server has ended.

    Args:
        limit: requests waited for at a time.
        timeout: seconds until one counts as not answered.

    Attributes:
        cancel: tells the peer that nobody waits for a request any more; None while there is no session.
    """

    def __init__(self, limit: int, timeout: float) -> None:
        self._limit = limit
        self._timeout = timeout
        self._waiting: dict[int, tuple[float, Reply[Any], Request]] = {}
        self._canceled: set[int] = set()  # of those that wait
        self._given_up = 0  # answers that may still come, to requests that nobody waits for
        self._held: list[Result] = []
        self.last = 0
        self.cancel: Callable[[int], None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def number(self) -> int:
        """An id for the next request.

        Raises:
            RemoteError: too many are waited for; nothing was sent.
        """
        if len(self._waiting) >= self._limit:
            raise RemoteError(Code.BUSY, f"{self._limit} requests are not answered yet, the limit")
        self.last += 1
        return self.last

    def wait_for(self, request: Request, now: float) -> tuple[float, Reply[Any]]:
        """The deadline of *request*, and the reply that tells what became of it."""
        rid = request.rid
        due = now + self._timeout
        reply: Reply[Any] = Reply(self, rid)
        self._waiting[rid] = (due, reply, request)
        return due, reply

    def deadline(self) -> float:
        """When :meth:`expire` is due."""
        for due, _, _ in self._waiting.values():
            return due
        return inf

    def expire(self, now: float) -> None:
        """Fail those that were not answered in time."""
        while self._waiting:
            rid = next(iter(self._waiting))
            due, reply, _ = self._waiting[rid]
            if due > now:
                break
            self._take_back(rid)
            self._forget(rid)
            self._given_up += 1
            text = f"no answer in {self._timeout} s: it may or may not have been executed"
            reply.fail(OutcomeUnknown(text))

    def abandoned(self, reply: Reply[Any]) -> None:
        """See ``Owner``. It still counts until it is answered."""
        if reply.key in self._waiting:
            self._take_back(reply.key)

    def _take_back(self, rid: int) -> None:
        if rid not in self._canceled:
            self._canceled.add(rid)
            if self.cancel is not None:
                self.cancel(rid)

    def _forget(self, rid: int) -> tuple[float, Reply[Any], Request] | None:
        self._canceled.discard(rid)
        return self._waiting.pop(rid, None)

    # -- sessions ------------------------------------------------------------------------------

    def lost(self, unresolved: tuple[Result, ...] = ()) -> None:
        """The session has ended. What was answered, but not shown by the clock yet, waits for the next."""
        self.cancel = None
        self._given_up = 0
        self._held += unresolved
        for rid in tuple(self._canceled):
            entry = self._forget(rid)
            if entry is not None:
                entry[1].fail(OutcomeUnknown("it was canceled, and the session ended before the answer"))

    def again(self, known: bool, last: int, now: float) -> list[Request]:
        """A session is open: what is to be asked again, in order. See :meth:`shown` too.

        Args:
            known: the server is the one of the sessions before, and remembers this client.
            last: the highest id that it remembers.
        """
        if not known and self._waiting:
            self.fail_all("the server that was asked is gone")
        answered = {result.rid for result in self._held}
        repeated: list[Request] = []
        for due, _, request in self._waiting.values():
            left = max(0, int((due - now) * 1000))
            if request.rid not in answered and (left or request.rid <= last):  # else it is too late
                repeated.append(request._replace(ttl=left))
        return repeated

    def shown(self) -> None:
        """The clock is installed: it shows the effect of what had been answered."""
        held, self._held = self._held, []
        for result in held:
            self.answer(result)

    def fail_all(self, why: str) -> None:
        """There will be no answer."""
        self.shown()
        waiting, self._waiting = self._waiting, {}
        self._canceled.clear()
        for _, reply, _ in waiting.values():
            text = f"the session ended before the answer ({why}): it may or may not have been executed"
            reply.fail(OutcomeUnknown(text))

    # -- answers -------------------------------------------------------------------------------

    def answer(self, result: Result) -> bool:
        """A request has ended. False when nobody has made it, or it was answered before."""
        entry = self._waiting.pop(result.rid, None)
        if entry is None:
            return self._late()
        if self._canceled:
            self._canceled.discard(result.rid)
        reply = entry[1]
        status = result.status
        if status == Status.EXECUTED:
            reply.resolve(EXECUTED)
        elif status in (Status.CANCELED, Status.DISPOSED):
            reply.resolve(CANCELED)
        elif status == Status.QUEUED:
            reply.resolve(Outcome(max(2, result.qtick)))
        elif status == Status.EXPIRED:
            reply.fail(RemoteError(Code.TIMEOUT, "the request came too late, it was not executed"))
        elif status == Status.FORGOTTEN:
            reply.fail(OutcomeUnknown("the peer does not know any more how it ended"))
        else:
            reply.fail(OutcomeUnknown(f"the peer answered with status {status}, unknown to this version"))
        return True

    def refuse(self, error: Error) -> None:
        """A request was refused: nothing was executed."""
        rid = error.rid
        entry = self._forget(rid) if rid is not None else None
        if entry is None:
            log.warning("a request without reply was refused: %s", printable(error.text))
        else:
            entry[1].fail(failure(error))

    def _late(self) -> bool:
        self._given_up -= 1
        return self._given_up >= 0
