"""Reads what goes over the simulated connections, for the trace and to check the order of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from asyncmachine._wire.cbor import CborError, decode_small
from asyncmachine._wire.frames import FrameError, FrameReader
from asyncmachine.errors import ProtocolError
from asyncmachine.rpc.protocol.codec import from_wire
from asyncmachine.rpc.protocol.connection import PREFACE
from asyncmachine.rpc.protocol.messages import (
    NOREPLY,
    Bye,
    Code,
    Error,
    Message,
    Mutate,
    Payload,
    PayloadAck,
    Ready,
    Result,
    Resync,
    Snapshot,
    Type,
    Update,
)
from asyncmachine.testing.sim.pipe import Connection, End

__all__ = ["RpcTap"]

_HARMLESS = frozenset((Code.BUSY, Code.SLOW, Code.TIMEOUT, Code.DISPOSED, Code.MOVED))
"""Reasons to end a connection without a mistake of anybody."""
_MAX_BODY = 64 * 1024 * 1024


@dataclass(slots=True)
class _Talk:
    """One connection, as it was sent."""

    preface: bytes = PREFACE  # what of it is still to come
    readers: dict[End, FrameReader] = field(default_factory=dict)
    asked: dict[int, bool] = field(default_factory=dict)  # request -> whether it wants a result
    answered: set[int] = field(default_factory=set)
    garbled: bool = False


class RpcTap:
    """A tap for connections of aRPC: ``world.network.taps.append(RpcTap())``.

    Attributes:
        faults: what must not be said: a second answer, an answer to nothing, a result that is not wanted,
            and that the other side has made a mistake.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._talks: dict[Connection, _Talk] = {}

    def __call__(self, connection: Connection, end: End, data: bytes) -> str:
        """Names of the messages in *data*, each with what it is about."""
        talk = self._talks.setdefault(connection, _Talk())
        if end is connection.ends[0] and talk.preface:
            size = len(talk.preface)
            talk.preface, data = talk.preface[len(data) :], data[size:]
        reader = talk.readers.setdefault(end, FrameReader(_MAX_BODY))
        texts: list[str] = []
        if not talk.garbled:
            try:
                reader.feed(data)
                self._read(reader, talk, connection, texts)
            except (CborError, FrameError, ProtocolError) as error:
                talk.garbled = True
                self.faults.append(f"{end} sends what is no message: {error}")
        return " ".join(texts)

    def _read(self, reader: FrameReader, talk: _Talk, connection: Connection, texts: list[str]) -> None:
        while (body := reader.next_body()) is not None:
            fields = decode_small(body)
            if type(fields) is not list or len(fields) < 3:
                raise ProtocolError(Code.TYPE, "a message is an array of at least 3 items")
            message = from_wire(fields[0], fields[3:])
            self._check(talk, connection, message)
            texts.append(_describe(Type(fields[0]).name, message))

    def unanswered(self, connection: Connection) -> list[int]:
        """Requests that want a result and have none."""
        talk = self._talks.get(connection)
        if talk is None:
            return []
        return [rid for rid, wanted in talk.asked.items() if wanted and rid not in talk.answered]

    def _check(self, talk: _Talk, connection: Connection, message: Message) -> None:
        where = f"connection #{connection.number}"
        if isinstance(message, Mutate):
            if message.rid in talk.asked:
                self.faults.append(f"{where}: request {message.rid} was sent twice")
            talk.asked[message.rid] = not message.flags & NOREPLY
            return
        if isinstance(message, Error) and message.rid is None and message.code not in _HARMLESS:
            self.faults.append(f"{where}: ended for {Code(message.code).name}: {message.text}")
        if not isinstance(message, Result | Error) or message.rid is None:
            return
        rid = message.rid
        if rid not in talk.asked:
            self.faults.append(f"{where}: an answer to request {rid}, which was not sent")
        elif rid in talk.answered:
            self.faults.append(f"{where}: request {rid} was answered twice")
        elif isinstance(message, Result) and not talk.asked[rid]:
            self.faults.append(f"{where}: a result of request {rid}, which wants none")
        talk.answered.add(rid)


def _describe(name: str, message: Message) -> str:
    """Only what is the same in each run: ids and nonces are random."""
    about = ""
    if isinstance(message, Mutate):
        about = f"{message.rid}"
    elif isinstance(message, Result):
        update = message.update
        about = f"{message.rid} status {message.status}" + (f" to {update.ver}" if update else "")
    elif isinstance(message, Update):
        about = f"{message.base} to {message.ver}"
    elif isinstance(message, Snapshot | Ready):
        about = f"{message.ver}"
    elif isinstance(message, Resync):
        about = f"{message.have}"
    elif isinstance(message, Error | Bye):
        about = f"code {message.code}" + (f" for {message.rid}" if isinstance(message, Error) else "")
    elif isinstance(message, Payload | PayloadAck):
        about = f"{message.pid}"
    return f"{name} {about}".rstrip()
