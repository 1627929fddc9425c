"""One end of a connection, without I/O.

::

    conn = Connection(Role.SERVER, limits, now=0.0)
    for event in conn.receive_data(data, now): ...     # never raises for anything a peer sends
    conn.send(message)                                 # queued as bytes
    data = conn.data_to_send(now)
    conn.handle_timeout(now)                           # not before conn.next_deadline()

Once the connection has ended, for whatever reason, ``closed`` says why, what is still received is
ignored and what is sent is dropped. Whoever carries the bytes then sends the rest of
``data_to_send``, half-closes, and reads until ``next_deadline`` at most.
"""

from __future__ import annotations

from typing import Final

from asyncmachine._wire.cbor import CborError, decode_small, dump
from asyncmachine._wire.frames import BadFlags, FrameError, FrameReader, TooBig
from asyncmachine.errors import ProtocolError, RpcError
from asyncmachine.rpc.config import Limits
from asyncmachine.rpc.protocol.clocksync import MirrorClock
from asyncmachine.rpc.protocol.codec import TYPES, from_wire, to_wire
from asyncmachine.rpc.protocol.events import Bucket, Closed, Event, Installed, Moved
from asyncmachine.rpc.protocol.messages import (
    Bye,
    Code,
    Error,
    Message,
    Mutate,
    Payload,
    Ping,
    Result,
    Type,
)
from asyncmachine.rpc.protocol.proofs import extend
from asyncmachine.rpc.protocol.reactions import REACTIONS
from asyncmachine.rpc.protocol.states import AUTHENTICATED, RECEIVE, SEND, Phase, Role

__all__ = ["PREFACE", "REFUSED", "Bucket", "Closed", "Connection", "Event", "Installed", "Moved"]

PREFACE: Final = b"ARPC\x00\x02\r\n"
REFUSED: Final = "refused"
DEAD_AFTER: Final = 3

_KINDS: Final = frozenset(kind.value for kind in Type)


class Connection:
    """See the module.

    Args:
        now: monotonic seconds, as in all calls.
        states: client: number of states in the schema of the mirror.
        heartbeat: seconds; a client learns it from CHALLENGE.

    Attributes:
        phase: see ``states``.
        closed: why it ended, or None.
        rtt: seconds, of the last heartbeat, or None.
        mirror: client: the clock as it is known here.
        transcript: digest of all messages before the connection was open, both ways.
        more: complete frames are waiting: call ``receive_data(b"", now)`` when others had a turn.
        unsent: bytes that :meth:`data_to_send` would return now.
        sent: frames that were sent. ``acked``: how many of them the peer has processed, as far as is known.
    """

    def __init__(
        self,
        role: Role,
        limits: Limits,
        *,
        now: float,
        states: int = 0,
        heartbeat: float = 5.0,
    ) -> None:
        self.role = role
        self.limits = limits
        self.heartbeat = heartbeat
        self.phase = Phase.START if role is Role.CLIENT else Phase.WAIT_HELLO
        self.closed: Closed | None = None
        self.rtt: float | None = None
        self.mirror = MirrorClock(states)
        self.more = False
        self.transcript = b""
        self.unsent = 0
        self._receive = RECEIVE[role]
        self._send = SEND[role]
        self._reader = FrameReader(limits.frame if role is Role.CLIENT else limits.preauth_frame)
        self._preface = b"" if role is Role.CLIENT else PREFACE  # what of it is still to come
        self._out: list[bytes] = []
        self._held = b""  # a refusal that waits for _release
        self._release = 0.0
        self._end = 0.0  # when to stop reading, once closed
        self._seq_out = self._seq_in = 0
        self._bytes_in = 0
        self._started = self._last_sent = self._last_received = now
        self._partial_since: float | None = None
        self._ping: tuple[int, float] | None = None
        self._last_rid = 0
        self._cancelable = 0  # requests for which no CANCEL has come
        self.acked = 0
        self._last_resync: float | None = None
        self._unresolved: list[Result] = []  # results that wait for a snapshot
        self._pings = Bucket(limits.pings, limits.pings, now)
        self._glitches = Bucket(limits.glitch_burst, limits.glitch_rate, now)

    # -- receiving -----------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take a chunk, at most ``frames_per_turn`` frames of it (see ``more``); what it meant."""
        events: list[Event] = []
        self.more = False
        if self.closed is not None:
            return events
        if data:
            self._last_received = now
        try:
            if self._preface:
                data = self._take_preface(data)
            if self.role is Role.SERVER and self.phase not in AUTHENTICATED:
                self._bytes_in += len(data)
                if self._bytes_in > self.limits.preauth_bytes:
                    raise ProtocolError(Code.TOO_BIG, "too many bytes before authentication")
            self._reader.feed(data)
            self._pump(events, now)
        except ProtocolError as error:
            self._fail(error.code, error.text, now, events)
        except TooBig as error:
            self._fail(Code.TOO_BIG, str(error), now, events)
        except BadFlags as error:
            self._fail(Code.PROTO, str(error), now, events)
        except FrameError as error:
            self._fail(Code.FRAME, str(error), now, events)
        except CborError as error:
            self._fail(Code.CBOR, str(error), now, events)
        return events

    def receive_eof(self, now: float) -> list[Event]:
        """The peer will send no more; it may still be reading."""
        if self.closed is not None:
            return []
        text = "the connection was cut within a frame" if self._reader.partial else "the peer is gone"
        closed = Closed(Code.OK, text, True)
        if self.phase is not Phase.OPEN:
            return self._end_now(closed, now)
        self._close(closed, now)
        return [closed]

    def abort(self, text: str, now: float, code: int = Code.OK) -> list[Event]:
        """The transport failed."""
        return [] if self.closed is not None else self._end_now(Closed(code, text, True), now)

    def _end_now(self, closed: Closed, now: float) -> list[Event]:
        self._close(closed, now)
        self._out, self.unsent, self._held = [], 0, b""
        return [closed]

    def _take_preface(self, data: bytes) -> bytes:
        size = len(self._preface)
        if not self._preface.startswith(data[:size]):
            self._preface = b"?"  # not a peer of ours: not a byte of an answer
            raise ProtocolError(Code.VERSION, "not an aRPC/2 peer")
        self._preface = self._preface[len(data) :]
        return data[size:]

    def _pump(self, events: list[Event], now: float) -> None:
        reader = self._reader
        next_body = reader.next_body
        for _ in range(self.limits.frames_per_turn):
            body = next_body()
            if body is None:
                break
            self._frame(body, now, events)
            if self.closed is not None:
                return
        else:
            self.more = True
        if not reader.partial or self.more:
            self._partial_since = None
        elif self._partial_since is None:
            self._partial_since = now

    def _frame(self, body: bytes, now: float, events: list[Event]) -> None:
        fields = decode_small(body)
        if type(fields) is not list or len(fields) < 3:
            raise ProtocolError(Code.TYPE, "a message is an array of at least 3 items")
        kind, seq, ack = fields[:3]
        if type(kind) is not int or type(seq) is not int or type(ack) is not int:
            raise ProtocolError(Code.TYPE, "type, seq and ack are integers")
        if seq != self._seq_in + 1 or not 0 <= ack <= self._seq_out:
            raise ProtocolError(
                Code.ORDER,
                f"seq {seq} after {self._seq_in}, ack {ack} of {self._seq_out}",
            )
        self._seq_in = seq
        if self.phase is not Phase.OPEN:
            self.transcript = extend(self.transcript, body)
        self.acked = ack
        phase = self._receive.get(self.phase, {}).get(kind)
        if phase is None:
            self._unexpected(kind, now)
            return
        message = from_wire(kind, fields[3:])
        if len(body) > self.limits.envelope:
            self._check_size(body, message)
        handler = REACTIONS.get(kind)
        if handler is None:
            self.phase = phase
            events.append(message)
        else:
            handler(self, message, phase, now, events)

    def _unexpected(self, kind: int, now: float) -> None:
        known = kind in _KINDS
        if self.phase is Phase.OPEN and not known:
            self.glitch(now, f"message type {kind} is not known")
            return
        name = Type(kind).name if known else str(kind)
        raise ProtocolError(Code.ORDER, f"{name} is not expected in phase {self.phase.name}")

    def _check_size(self, body: bytes, message: Message) -> None:
        opaque = 0
        if isinstance(message, Mutate) and message.args is not None:
            opaque = len(message.args)
            if opaque > self.limits.args:
                raise ProtocolError(
                    Code.LIMIT,
                    f"args of {opaque} bytes, the limit is {self.limits.args}",
                )
        elif isinstance(message, Payload):
            opaque = len(message.data)
            if opaque > self.limits.payload:
                raise ProtocolError(Code.LIMIT, f"a payload of {opaque} bytes")
        if len(body) - opaque > self.limits.envelope:
            raise ProtocolError(Code.TOO_BIG, f"an envelope of {len(body) - opaque} bytes")

    def glitch(self, now: float, what: str) -> None:
        """Count a harmless mistake of the peer.

        Raises:
            ProtocolError: one too many.
        """
        if not self._glitches.take(now):
            raise ProtocolError(Code.RATE, f"too many mistakes, the last: {what}")

    # -- sending -------------------------------------------------------------------------------

    def send(self, message: Message) -> bool:
        """Queue a message. False, and nothing done, when the connection has ended.

        BYE and ERROR are sent by :meth:`close` and :meth:`reply_error`.

        Raises:
            RpcError: this side may not say that now: a fault of the caller.
        """
        kind = TYPES[type(message)]
        phase = self._send.get(self.phase, {}).get(kind)
        if phase is None or phase is Phase.CLOSED:
            if self.closed is not None:
                return False
            raise RpcError(f"{Type(kind).name} cannot be sent in phase {self.phase.name}")
        if self.phase is Phase.START:
            self._put(PREFACE)
        self._write(kind, message)
        self.phase = phase
        if phase is Phase.WELCOMED:
            self._reader.limit = self.limits.frame
        return True

    def reply_error(self, rid: int, code: int, text: str, now: float) -> None:
        """Tell that request *rid* failed and was not executed; counts as a mistake of the peer."""
        if self.closed is None:
            self._write(Type.ERROR.value, Error(code, text[: self.limits.error_text], rid))
            self.forgive(text, now)

    def forgive(self, what: str, now: float) -> list[Event]:
        """Count a harmless mistake of the peer; one too many ends the connection."""
        try:
            self.glitch(now, what)
        except ProtocolError as error:
            return self.close(error.code, error.text, now)
        return []

    def close(self, code: int, text: str, now: float) -> list[Event]:
        """End it from this side: BYE for code 0, else ERROR, as far as this phase allows."""
        events: list[Event] = []
        if code == Code.OK:
            if Type.BYE in self._send.get(self.phase, {}):
                self._write(Type.BYE.value, Bye(code, text))
            if self.closed is None:
                closed = Closed(code, text, False)
                self._close(closed, now)
                events.append(closed)
        else:
            self._fail(code, text, now, events)
        return events

    def _fail(self, code: int, text: str, now: float, events: list[Event]) -> None:
        if self.closed is not None:
            return
        if self.role is Role.SERVER and self.phase not in AUTHENTICATED:
            if not self._preface:
                before = len(self._out)
                self._write(Type.ERROR.value, Error(Code.AUTH.value, REFUSED, None))
                self._held = b"".join(self._out[before:])
                del self._out[before:]
                self.unsent -= len(self._held)
                self._release = now + self.limits.refusal_seconds
        elif Type.ERROR in self._send.get(self.phase, {}):
            self._write(Type.ERROR.value, Error(int(code), text[: self.limits.error_text], None))
        closed = Closed(code, text, False)
        self._close(closed, now)
        events.append(closed)

    def _close(self, closed: Closed, now: float) -> None:
        self.closed = closed
        self.phase = Phase.CLOSED
        self.more = False
        self._end = now + self.limits.close_seconds

    def _write(self, kind: int, message: Message) -> None:
        self._seq_out += 1
        body = dump((kind, self._seq_out, self._seq_in, *to_wire(message)))
        if self.phase is not Phase.OPEN:
            self.transcript = extend(self.transcript, body)
        self._put(b"%b\x00%b" % (len(body).to_bytes(4, "big"), body))

    def _put(self, data: bytes) -> None:
        self._out.append(data)
        self.unsent += len(data)

    def data_to_send(self, now: float) -> bytes:
        """All bytes that wait to be sent; they count as sent."""
        if not self._out:
            return b""
        out = self._out
        data = out[0] if len(out) == 1 else b"".join(out)
        self._out = []
        self.unsent = 0
        self._last_sent = now
        return data

    @property
    def sent(self) -> int:
        """See the class."""
        return self._seq_out

    @property
    def unresolved(self) -> tuple[Result, ...]:
        """Client: results that wait for a snapshot that shows their effect."""
        return tuple(self._unresolved)

    # -- time ----------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """When :meth:`handle_timeout` is due."""
        if self.closed is not None:
            return min(self._release, self._end) if self._held else self._end
        if self.phase is Phase.OPEN:
            due = min(
                self._last_sent + self.heartbeat,
                self._last_received + DEAD_AFTER * self.heartbeat,
            )
        elif self.role is Role.SERVER and self.phase not in AUTHENTICATED:
            due = self._started + self.limits.preauth_seconds
        else:
            due = self._started + self.limits.handshake_seconds
        if self._partial_since is not None:
            return min(due, self._partial_since + self.limits.frame_seconds)
        return due

    @property
    def done(self) -> bool:
        """Closed, and nothing is held back: once ``data_to_send`` is sent, half-close."""
        return self.closed is not None and not self._held

    def handle_timeout(self, now: float) -> list[Event]:
        """Do what is due by now: a heartbeat, or the end of a peer that took too long."""
        if self.closed is not None:
            if self._held and now >= self._release:
                self._put(self._held)
                self._held = b""
            return []
        events: list[Event] = []
        if self._partial_since is not None and now >= self._partial_since + self.limits.frame_seconds:
            self._fail(Code.TIMEOUT, "a frame was not finished in time", now, events)
        elif self.phase is Phase.OPEN:
            if now >= self._last_received + DEAD_AFTER * self.heartbeat:
                self._fail(
                    Code.TIMEOUT,
                    f"nothing received for {DEAD_AFTER} heartbeats",
                    now,
                    events,
                )
            elif now >= self._last_sent + self.heartbeat:
                self._ping = (int(now * 1e6), now)
                self._last_sent = now
                self._write(Type.PING.value, Ping(self._ping[0]))
        elif now >= self.next_deadline():
            text = f"the handshake was not finished in time, phase {self.phase.name}"
            if self.role is Role.SERVER and self.phase not in AUTHENTICATED:
                events = self._end_now(Closed(Code.TIMEOUT, text, False), now)  # silence for silence
            else:
                self._fail(Code.TIMEOUT, text, now, events)
        return events
