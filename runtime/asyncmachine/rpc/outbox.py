"""Payloads of one session that wait for their acknowledgement."""

from __future__ import annotations

import logging
from math import inf

from asyncmachine.errors import DeliveryError
from asyncmachine.rpc.protocol.messages import PayloadAck, PayloadStatus
from asyncmachine.rpc.replies import Reply

__all__ = ["Outbox"]

log = logging.getLogger("asyncmachine.rpc")


class Outbox:
    """Numbers payloads and keeps who waits for them, the oldest first.

    Args:
        limit: payloads waited for at a time.
        timeout: seconds until one counts as not delivered.
    """

    def __init__(self, limit: int, timeout: float) -> None:
        self._limit = limit
        self._timeout = timeout
        self._last = 0
        self._waiting: dict[int, tuple[float, Reply[None]]] = {}

    def number(self) -> int:
        """An id for the next payload."""
        self._last += 1
        return self._last

    def check_room(self) -> None:
        """Raises :class:`DeliveryError` when too many are waited for."""
        if len(self._waiting) >= self._limit:
            raise DeliveryError(f"{len(self._waiting)} payloads are not acknowledged yet, the limit")

    def wait_for(self, pid: int, now: float) -> Reply[None]:
        """The reply that tells what became of payload *pid*."""
        reply: Reply[None] = Reply()
        self._waiting[pid] = (now + self._timeout, reply)
        return reply

    def deadline(self) -> float:
        """When :meth:`expire` is due."""
        for due, _ in self._waiting.values():
            return due
        return inf

    def expire(self, now: float) -> None:
        """Fail those that were not acknowledged in time."""
        while self._waiting:
            pid = next(iter(self._waiting))
            due, reply = self._waiting[pid]
            if due > now:
                break
            del self._waiting[pid]
            reply.fail(DeliveryError(f"payload {pid} was not acknowledged in {self._timeout} s"))

    def fail_all(self, why: str) -> None:
        """The session ended."""
        waiting, self._waiting = self._waiting, {}
        for _, reply in waiting.values():
            reply.fail(DeliveryError(f"the session ended before it was acknowledged: {why or 'closed'}"))

    def acknowledge(self, ack: PayloadAck, who: object) -> None:
        """The consumer of *who* has spoken."""
        waiting = self._waiting.pop(ack.pid, None)
        if ack.status in (PayloadStatus.ACCEPTED, PayloadStatus.DUPLICATE):
            if waiting is not None:
                waiting[1].resolve(None)
            return
        known = ack.status in PayloadStatus.__members__.values()
        what = PayloadStatus(ack.status).name.lower().replace("_", " ") if known else f"status {ack.status}"
        text = f"payload {ack.pid}: {what}{': ' if ack.text else ''}{ack.text}"
        if waiting is not None:
            waiting[1].fail(DeliveryError(text))
        else:
            log.warning("%r did not accept %r", who, text)
