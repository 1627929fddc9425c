"""What a connection does by itself about a message, before whoever uses it learns of it.

A message whose type is not in :data:`REACTIONS` is passed on as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from asyncmachine.errors import ProtocolError
from asyncmachine.rpc.protocol.clocksync import Fit
from asyncmachine.rpc.protocol.events import Closed, Event, Installed, Moved
from asyncmachine.rpc.protocol.messages import (
    Bye,
    Cancel,
    Code,
    Error,
    Message,
    Mutate,
    Ping,
    Pong,
    Result,
    Resync,
    Snapshot,
    Type,
    Update,
)
from asyncmachine.rpc.protocol.states import Phase

if TYPE_CHECKING:
    from asyncmachine.rpc.protocol.connection import Connection

__all__ = ["REACTIONS", "Reaction"]

Reaction: TypeAlias = "Callable[[Connection, Message, Phase, float, list[Event]], None]"
"""``(connection, message, phase that it leads to, now, events to add to)``."""


def _on_end(conn: Connection, message: Message, phase: Phase, now: float, events: list[Event]) -> None:
    message = cast("Bye | Error", message)
    if isinstance(message, Error) and message.rid is not None:
        if conn.phase is not Phase.OPEN:
            raise ProtocolError(Code.ORDER, "an error for a request before there could be one")
        events.append(message)
        return
    said = isinstance(message, Bye)
    closed = Closed(message.code, message.text[: conn.limits.error_text], True, said)
    events.extend(conn._end_now(closed, now))


def _on_ping(conn: Connection, message: Message, phase: Phase, now: float, events: list[Event]) -> None:
    if not conn._pings.take(now):
        conn.glitch(now, "PING")
    conn._write(Type.PONG.value, Pong(cast(Ping, message).stamp))


def _on_pong(conn: Connection, message: Message, phase: Phase, now: float, events: list[Event]) -> None:
    if conn._ping is None or conn._ping[0] != cast(Pong, message).stamp:
        conn.glitch(now, "a PONG without its PING")
        return
    conn.rtt = now - conn._ping[1]
    conn._ping = None


def _on_mutate(conn: Connection, message: Message, phase: Phase, now: float, events: list[Event]) -> None:
    message = cast(Mutate, message)
    _count_request(conn, message.rid)
    if len(message.states) > conn.limits.called:
        raise ProtocolError(Code.LIMIT, f"{len(message.states)} called states")
    events.append(message)


def _count_request(conn: Connection, rid: int) -> None:
    if rid <= conn._last_rid:
        raise ProtocolError(Code.ORDER, f"request {rid} after {conn._last_rid}")
    conn._last_rid = rid
    conn._cancelable += 1


def _on_cancel(conn: Connection, message: Message, phase: Phase, now: float, events: list[Event]) -> None:
    message = cast(Cancel, message)
    if message.rid > conn._last_rid:
        raise ProtocolError(Code.ORDER, f"request {message.rid} is canceled before it was made")
    if not conn._cancelable:  # whoever is to be charged for the requests is charged for one CANCEL of each
        conn.glitch(now, "CANCEL")
        return
    conn._cancelable -= 1
    events.append(message)


def _on_resync(conn: Connection, message: Message, phase: Phase, now: float, events: list[Event]) -> None:
    _count_resync(conn, now, "RESYNC again so soon")
    events.append(message)


def _count_resync(conn: Connection, now: float, text: str) -> None:
    if conn._last_resync is not None and now - conn._last_resync < conn.limits.resync_seconds:
        raise ProtocolError(Code.RATE, text)
    conn._last_resync = now


def _on_snapshot(conn: Connection, message: Message, phase: Phase, now: float, events: list[Event]) -> None:
    if conn.phase is Phase.OPEN and not conn.mirror.lost:
        raise ProtocolError(Code.ORDER, "a snapshot that was not asked for")
    events.append(Installed(conn.mirror.snapshot(cast(Snapshot, message))))
    conn.phase = phase
    events.extend(conn._unresolved)
    conn._unresolved = []


def _on_update(conn: Connection, message: Message, phase: Phase, now: float, events: list[Event]) -> None:
    _advance(conn, cast(Update, message), now, events)


def _on_result(conn: Connection, message: Message, phase: Phase, now: float, events: list[Event]) -> None:
    message = cast(Result, message)
    if message.update is not None:
        _advance(conn, message.update, now, events)
    if conn.mirror.lost:
        conn._unresolved.append(message)  # only the snapshot shows its effect
    else:
        events.append(message)


def _advance(conn: Connection, update: Update, now: float, events: list[Event]) -> None:
    fit = conn.mirror.fit(update)
    if fit is Fit.NEXT:
        events.append(Moved(conn.mirror.apply(update)))
    elif fit is Fit.GAP and not conn.mirror.lost:
        _count_resync(conn, now, "the mirror lost track again so soon")
        conn.mirror.lost = True
        conn._write(Type.RESYNC.value, Resync(conn.mirror.ver))


REACTIONS: Final[Mapping[int, Reaction]] = {
    Type.BYE.value: _on_end,
    Type.ERROR.value: _on_end,
    Type.PING.value: _on_ping,
    Type.PONG.value: _on_pong,
    Type.MUTATE.value: _on_mutate,
    Type.CANCEL.value: _on_cancel,
    Type.RESYNC.value: _on_resync,
    Type.SNAPSHOT.value: _on_snapshot,
    Type.UPDATE.value: _on_update,
    Type.RESULT.value: _on_result,
}
"""By message type."""
