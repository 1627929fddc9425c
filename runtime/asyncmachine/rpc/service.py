"""Serves the requests of one session: each is executed once, whatever happens to the connection."""

from __future__ import annotations

import logging
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import anyio

from asyncmachine.api import CANCELED
from asyncmachine.errors import RemoteError
from asyncmachine.rpc.protocol.answers import PENDING, Answers
from asyncmachine.rpc.protocol.messages import NOREPLY, Cancel, Code, Mutate, Result, Status
from asyncmachine.rpc.replies import Reply
from asyncmachine.rpc.requests import execute, status_of

if TYPE_CHECKING:
    from asyncmachine.rpc.server import Server
    from asyncmachine.rpc.session import Session

__all__ = ["Service"]

log = logging.getLogger("asyncmachine.rpc")


class Service:
    """Of one session.

    Attributes:
        answers: what is known of this life of the client.
    """

    def __init__(self, session: Session) -> None:
        self.answers: Answers[Session] = Answers(session._config.limits.answers)
        self._session = session
        self._limits = session._config.limits

    def remember(self, server: Server, life: Hashable, now: float) -> int | None:
        """Who has been let in; the highest request id of this life of the client, None if it is not known."""
        self.answers, known = server.memory.open(life, self._session, now)
        return self.answers.last if known else None

    def mutate(self, request: Mutate, now: float) -> None:
        """Execute it, unless that has been done."""
        session, answers = self._session, self.answers
        rid = request.rid
        if not answers.begin(rid):
            self._repeat(request, now)
            return
        try:
            if len(answers.pending) >= self._limits.in_flight:
                raise RemoteError(Code.BUSY, f"{len(answers.pending)} requests are under way, the limit")
            source, limits = session._server.source, self._limits
            done = execute(source, session._rights, request, session.client_id, limits.items)
        except RemoteError as error:
            if error.code == Code.DENIED:
                log.warning("denied to %r: %s", session, error.text)
                session._reception.audit("denied", now, reason=error.text)
            self.refuse(rid, error.code, error.text, now)
            return
        if isinstance(done, Reply):
            self._later(request, done)
        elif not request.flags & NOREPLY:
            _tell(session, answers, rid, done)

    def refuse(self, rid: int, code: int, text: str, now: float) -> None:
        """It was not executed, and will not be."""
        self._session._conn.reply_error(rid, code, text, now)
        self.answers.keep(rid, (code, text, rid), self._session._conn.sent, 0)

    def cancel(self, message: Cancel) -> None:
        """What has not begun is taken back, and ends as canceled. Anything else is as it was."""
        reply = self.answers.pending.get(message.rid)
        if reply is not None:
            reply.abandon()

    def _later(self, request: Mutate, reply: Reply[Any]) -> None:
        rid, answers = request.rid, self.answers
        if request.flags & NOREPLY:
            return
        answers.keep(rid, PENDING, self._session._conn.sent, 0)
        answers.pending[rid] = reply
        reply.then(lambda done: _end(answers, rid, done))

    def _repeat(self, request: Mutate, now: float) -> None:
        """It has been asked in a session before."""
        rid = request.rid
        answer = self.answers.find(rid)
        if answer is PENDING or request.flags & NOREPLY:
            return
        if answer is None:
            answer = (Status.FORGOTTEN.value, 0)
        if len(answer) > 2:
            self.refuse(rid, answer[0], answer[1], now)
            return
        _tell(self._session, self.answers, rid, answer)


def _tell(session: Session, answers: Answers[Session], rid: int, answer: tuple[int, ...]) -> None:
    conn = session._conn
    sent = conn.send(Result(rid, answer[0], answer[1], session._take_update()))
    answers.keep(rid, answer, conn.sent if sent else answers.NEVER, conn.acked)


def _end(answers: Answers[Session], rid: int, reply: Reply[Any]) -> None:
    """A request that took its time has ended; the client may have another session by now, or none."""
    answers.pending.pop(rid, None)
    session, error = answers.session, reply.error
    answer: tuple[Any, ...]
    if isinstance(error, RemoteError):
        answer = (error.code, error.text, rid)
    elif error is not None:
        answer = (Status.FORGOTTEN.value, 0)
    else:
        qtick = session._server.source.queue_tick if session is not None else 0
        answer = (status_of(reply.value or CANCELED), qtick)
    if session is None or not session.open:
        answers.keep(rid, answer, answers.NEVER, 0)
        return
    if len(answer) > 2:
        session._service.refuse(rid, answer[0], answer[1], anyio.current_time())
    else:
        _tell(session, answers, rid, answer)
    if session._link is not None:
        session._link.wake()  # this need not be one of its own tasks
