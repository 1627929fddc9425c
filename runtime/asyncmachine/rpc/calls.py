"""Requests of one session that wait for their answer."""

from __future__ import annotations

import logging
from math import inf

from asyncmachine.api import CANCELED, EXECUTED
from asyncmachine.api import Result as Outcome
from asyncmachine.errors import ArgsError, Denied, OutcomeUnknown, RemoteError, RpcError
from asyncmachine.rpc.protocol.messages import Code, Error, Result, Status
from asyncmachine.rpc.replies import Reply

__all__ = ["Calls", "printable"]

log = logging.getLogger("asyncmachine.rpc")


def printable(text: str) -> str:
    """Text of a peer, safe for a log or a terminal."""
    return text if text.isprintable() else ascii(text)[1:-1]


class Calls:
    """Who waits for which request, the oldest first.

    Args:
        limit: requests waited for at a time.
        timeout: seconds until one counts as not answered.
    """

    def __init__(self, limit: int, timeout: float) -> None:
        self._limit = limit
        self._timeout = timeout
        self._waiting: dict[int, tuple[float, Reply[Outcome]]] = {}
        self.last = 0

    def number(self) -> int:
        """An id for the next request.

        Raises:
            RemoteError: too many are waited for; nothing was sent.
        """
        if len(self._waiting) >= self._limit:
            raise RemoteError(Code.BUSY, f"{self._limit} requests are not answered yet, the limit")
        self.last += 1
        return self.last

    def wait_for(self, rid: int, now: float) -> tuple[float, Reply[Outcome]]:
        """The deadline of request *rid*, and the reply that tells what became of it."""
        entry = self._waiting[rid] = (now + self._timeout, Reply())
        return entry

    def deadline(self) -> float:
        """When :meth:`expire` is due."""
        for due, _ in self._waiting.values():
            return due
        return inf

    def expire(self, now: float) -> None:
        """Fail those that were not answered in time."""
        while self._waiting:
            rid = next(iter(self._waiting))
            due, reply = self._waiting[rid]
            if due > now:
                break
            del self._waiting[rid]
            text = f"no answer in {self._timeout} s: it may or may not have been executed"
            reply.fail(OutcomeUnknown(text))

    def fail_all(self, why: str) -> None:
        """The session ended."""
        waiting, self._waiting = self._waiting, {}
        for _, reply in waiting.values():
            text = f"the session ended before the answer ({why}): it may or may not have been executed"
            reply.fail(OutcomeUnknown(text))

    def answer(self, result: Result) -> None:
        """A request has ended. One that nobody waits for any more is fine."""
        entry = self._waiting.pop(result.rid, None)
        if entry is None:
            return
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
        else:
            reply.fail(OutcomeUnknown(f"the peer answered with status {status}, unknown to this version"))

    def refuse(self, error: Error) -> None:
        """A request was refused: nothing was executed."""
        rid = error.rid
        text = printable(error.text)
        entry = self._waiting.pop(rid, None) if rid is not None else None
        if entry is None:
            log.warning("a request without reply was refused: %s", text)
            return
        failure: RpcError | ArgsError
        if error.code == Code.DENIED:
            failure = Denied(text)
        elif error.code == Code.ARGS:
            failure = ArgsError(text)
        else:
            failure = RemoteError(error.code, text)
        entry[1].fail(failure)
