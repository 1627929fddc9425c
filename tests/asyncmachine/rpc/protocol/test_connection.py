from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncmachine._wire.cbor import decode, dump
from asyncmachine._wire.frames import FrameReader, frame
from asyncmachine.errors import RpcError
from asyncmachine.rpc.config import Limits
from asyncmachine.rpc.protocol.codec import TYPES, from_wire, to_wire
from asyncmachine.rpc.protocol.connection import PREFACE, Connection
from asyncmachine.rpc.protocol.events import Closed, Event, Installed, Moved
from asyncmachine.rpc.protocol.messages import (
    Auth,
    Bye,
    Challenge,
    Code,
    Error,
    Hello,
    Message,
    Mutate,
    Payload,
    PayloadAck,
    Ping,
    Pong,
    Ready,
    Result,
    Resync,
    Snapshot,
    Type,
    Update,
    Welcome,
)
from asyncmachine.rpc.protocol.states import Phase, Role

LIMITS = Limits()
HELLO = Hello(0, 0, "me", bytes(16), bytes(32), ("none",), "digest", "")
CHALLENGE = Challenge(0, bytes(16), bytes(32), "none", 5000)
AUTH = Auth(None)
WELCOME = Welcome("src", "", 7, "digest", "client", {})
SNAPSHOT = Snapshot(1, 1, b"\x01\x00\x00")
READY = Ready(1)


class Peer:
    """Writes frames by hand, with right sequence numbers, to a connection under test."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self.seq = 0

    def body(self, kind: int, *fields: Any, seq: int | None = None, ack: int = 0) -> bytes:
        self.seq += 1
        return dump((kind, self.seq if seq is None else seq, ack, *fields))

    def bytes(self, message: Message) -> bytes:
        return frame(self.body(TYPES[type(message)], *to_wire(message)))

    def say(self, *messages: Message, now: float = 0.0) -> list[Event]:
        return self.conn.receive_data(b"".join(map(self.bytes, messages)), now)

    def raw(self, kind: int, *fields: Any, now: float = 0.0, **how: Any) -> list[Event]:
        return self.conn.receive_data(frame(self.body(kind, *fields, **how)), now)


def said(conn: Connection, now: float = 0.0) -> list[Message]:
    """What the connection sends, decoded."""
    reader = FrameReader(2**24)
    data = conn.data_to_send(now)
    reader.feed(data.removeprefix(PREFACE))
    found: list[Message] = []
    while (body := reader.next_body()) is not None:
        fields = decode(body)
        found.append(from_wire(fields[0], fields[3:]))
    assert not reader.partial
    return found


def server(limits: Limits = LIMITS) -> tuple[Connection, Peer]:
    conn = Connection(Role.SERVER, limits, now=0.0)
    assert conn.receive_data(PREFACE, 0.0) == []
    return conn, Peer(conn)


def open_server(limits: Limits = LIMITS) -> tuple[Connection, Peer]:
    conn, peer = server(limits)
    assert peer.say(HELLO) == [HELLO]
    conn.send(CHALLENGE)
    assert peer.say(AUTH) == [AUTH]
    conn.send(WELCOME)
    conn.send(SNAPSHOT)
    assert peer.say(READY) == [READY]
    assert conn.phase is Phase.OPEN
    conn.data_to_send(0.0)
    return conn, peer


def open_client(limits: Limits = LIMITS) -> tuple[Connection, Peer]:
    conn = Connection(Role.CLIENT, limits, now=0.0, states=3)
    peer = Peer(conn)
    conn.send(HELLO)
    assert peer.say(CHALLENGE) == [CHALLENGE]
    conn.send(AUTH)
    assert peer.say(WELCOME, SNAPSHOT) == [WELCOME, Installed([1, 0, 0])]
    conn.send(READY)
    conn.data_to_send(0.0)
    return conn, peer


def end(events: list[Event]) -> Closed:
    assert isinstance(events[-1], Closed), events
    return events[-1]


def mutate(rid: int, **changes: Any) -> Mutate:
    return Mutate(rid, 0, [1], None, 0, 3000)._replace(**changes)


# -- the good way ---------------------------------------------------------------------------------


def link(one: Connection, other: Connection) -> tuple[list[Event], list[Event]]:
    """Carry bytes until both are silent; what each of them noticed."""
    noticed: tuple[list[Event], list[Event]] = ([], [])
    moved = True
    while moved:
        moved = False
        for sender, receiver, events in ((one, other, noticed[1]), (other, one, noticed[0])):
            if data := sender.data_to_send(0.0):
                events.extend(receiver.receive_data(data, 0.0))
                moved = True
    return noticed


def test_two_connections_talk() -> None:
    client, host = (
        Connection(Role.CLIENT, LIMITS, now=0.0, states=3),
        Connection(Role.SERVER, LIMITS, now=0.0),
    )
    client.send(HELLO)
    assert link(client, host) == ([], [HELLO])
    host.send(CHALLENGE)
    assert link(client, host) == ([CHALLENGE], [])
    client.send(AUTH)
    link(client, host)
    host.send(WELCOME)
    host.send(SNAPSHOT)
    assert link(client, host) == ([WELCOME, Installed([1, 0, 0])], [])
    client.send(READY)
    assert link(client, host) == ([], [READY])
    client.send(mutate(1))
    assert link(client, host) == ([], [mutate(1)])
    host.send(Result(1, 0, 2, Update(1, 2, 2, b"\x01\x01")))
    assert link(client, host)[0] == [Moved([(1, 0, 1)]), Result(1, 0, 2, Update(1, 2, 2, b"\x01\x01"))]
    host.send(Payload(1, "name", "src", 3, 0, b"abc"))
    assert link(client, host)[0] == [Payload(1, "name", "src", 3, 0, b"abc")]
    client.send(PayloadAck(1, 0, ""))
    assert link(client, host)[1] == [PayloadAck(1, 0, "")]
    assert client.close(Code.OK, "done", 0.0) == [Closed(0, "done", False)]
    assert link(client, host)[1] == [Closed(0, "done", True, said=True)]
    assert client.done
    assert host.done


def test_a_farewell_may_arrive_together_with_the_snapshot() -> None:
    conn = Connection(Role.CLIENT, LIMITS, now=0.0, states=3)
    peer = Peer(conn)
    conn.send(HELLO)
    peer.say(CHALLENGE)
    conn.send(AUTH)
    gone = Closed(0, "moved", True, said=True)
    assert peer.say(WELCOME, SNAPSHOT, Bye(0, "moved")) == [WELCOME, Installed([1, 0, 0]), gone]
    assert conn.send(READY) is False


def test_a_farewell_may_arrive_together_with_the_proof() -> None:
    conn, peer = server()
    peer.say(HELLO)
    conn.send(CHALLENGE)
    assert peer.say(AUTH, Bye(0, "")) == [AUTH, Closed(0, "", True, said=True)]
    assert conn.send(WELCOME) is False


@settings(max_examples=60)
@given(st.data())
def test_any_segmentation_gives_the_same_events(data: st.DataObject) -> None:
    script = [
        mutate(1),
        Ping(5),
        mutate(2, args=b"\xa0"),
        Resync(1),
        PayloadAck(9, 0, "x" * 30),
        mutate(3),
        Bye(0, "end"),
    ]
    whole, peer = open_server()
    stream = b"".join(map(peer.bytes, script))
    expected = whole.receive_data(stream, 0.0)
    assert len(expected) == 6
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    conn, _ = open_server()
    events: list[Event] = []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        events += conn.receive_data(stream[start:stop], 0.0)
    assert events == expected
    assert conn.data_to_send(0.0) == whole.data_to_send(0.0)


@settings(max_examples=150)
@given(st.data())
def test_a_session_with_one_byte_changed_never_raises(data: st.DataObject) -> None:
    conn, peer = open_server()
    stream = bytearray(
        b"".join(map(peer.bytes, [mutate(1), Ping(1), mutate(2), PayloadAck(1, 0, ""), mutate(3)]))
    )
    at = data.draw(st.integers(0, len(stream) - 1))
    stream[at] = data.draw(st.integers(0, 255))
    events = conn.receive_data(bytes(stream), 0.0)
    events += conn.handle_timeout(100.0)
    assert all(not isinstance(e, Closed) or e == events[-1] for e in events)
    assert conn.closed is not None


@given(st.binary(max_size=200))
def test_garbage_after_the_handshake_never_raises(garbage: bytes) -> None:
    for make in (open_server, open_client):
        conn, _ = make()
        conn.receive_data(garbage, 0.0)


@given(st.binary(max_size=200))
def test_garbage_before_the_handshake_executes_nothing(garbage: bytes) -> None:
    conn = Connection(Role.SERVER, LIMITS, now=0.0)
    assert all(isinstance(e, Closed) for e in conn.receive_data(garbage, 0.0))


def test_at_most_so_many_frames_in_one_turn() -> None:
    conn, peer = open_server()
    stream = b"".join(peer.bytes(mutate(rid)) for rid in range(1, 1001))
    got = conn.receive_data(stream, 0.0)
    turns = 1
    while conn.more:
        got += conn.receive_data(b"", 0.0)
        turns += 1
    assert [e.rid for e in got if isinstance(e, Mutate)] == list(range(1, 1001))
    assert turns == 1000 // LIMITS.frames_per_turn + 1


def test_a_good_frame_before_a_bad_one_counts() -> None:
    conn, peer = open_server()
    events = conn.receive_data(peer.bytes(mutate(1)) + b"\xff" * 20, 0.0)
    assert events[0] == mutate(1)
    assert end(events).code == Code.TOO_BIG


# -- before authentication: one constant refusal, or silence ----------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        b"SSH-2.0-x\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"\x05\x01\x00",
        b"ARPC\x00\x03\r\n",
        b"ARPC\x01",
        bytes(100),
    ],
)
def test_who_does_not_speak_arpc_gets_no_byte(data: bytes) -> None:
    conn = Connection(Role.SERVER, LIMITS, now=0.0)
    assert end(conn.receive_data(data, 0.0)).code == Code.VERSION
    conn.handle_timeout(1.0)
    assert conn.data_to_send(1.0) == b""
    assert conn.done


BAD_STARTS = {
    "mutation first": lambda p: p.bytes(mutate(1)),
    "auth first": lambda p: p.bytes(AUTH),
    "bye first": lambda p: p.bytes(Bye(0, "")),
    "hello twice": lambda p: p.bytes(HELLO) + p.bytes(HELLO),
    "auth before the challenge": lambda p: p.bytes(HELLO) + p.bytes(AUTH),
    "empty frame": lambda p: b"\0\0\0\0\0",
    "huge frame": lambda p: b"\xff\xff\xff\xff",
    "above the early limit": lambda p: (LIMITS.preauth_frame + 1).to_bytes(4, "big"),
    "flags": lambda p: b"\0\0\0\1\1x",
    "no CBOR": lambda p: frame(b"\xff"),
    "not an array": lambda p: frame(b"\xa0"),
    "preface again": lambda p: PREFACE,
    "wrong seq": lambda p: frame(p.body(1, {}, seq=2)),
    "ack of what was never sent": lambda p: frame(p.body(1, {}, ack=1)),
    "fields missing": lambda p: frame(p.body(Type.HELLO.value, {})),
    "a megabyte of ticket": lambda p: p.bytes(HELLO._replace(client_id="x" * 255)) + bytes(20_000),
}


@pytest.mark.parametrize("name", BAD_STARTS)
def test_every_reason_gets_the_same_bytes_after_the_same_time(name: str) -> None:
    conn, peer = server()
    events = conn.receive_data(BAD_STARTS[name](peer), 0.0)
    assert end(events)
    assert not any(isinstance(e, Mutate | Auth) for e in events)
    assert conn.data_to_send(0.0) == b""
    assert conn.next_deadline() == LIMITS.refusal_seconds
    assert not conn.done
    conn.handle_timeout(LIMITS.refusal_seconds)
    assert said(conn) == [Error(Code.AUTH, "refused", None)]
    assert conn.done


def test_a_refusal_by_the_server_itself_is_the_same() -> None:
    conn, peer = server()
    peer.say(HELLO)
    conn.send(CHALLENGE)
    peer.say(AUTH)
    conn.data_to_send(0.0)
    conn.close(Code.AUTH, "ticket used before", 1.0)
    assert conn.data_to_send(1.0) == b""
    conn.handle_timeout(1.0 + LIMITS.refusal_seconds)
    assert said(conn) == [Error(Code.AUTH, "refused", None)]


def test_too_many_bytes_before_authentication() -> None:
    conn = Connection(Role.SERVER, Limits(preauth_frame=100, preauth_bytes=150), now=0.0)
    conn.receive_data(PREFACE, 0.0)
    assert end(conn.receive_data(bytes([0, 0, 0, 99, 0]) + bytes(150), 0.0)).code == Code.TOO_BIG


def test_silence_is_answered_with_silence() -> None:
    conn = Connection(Role.SERVER, LIMITS, now=0.0)
    assert conn.next_deadline() == LIMITS.preauth_seconds
    assert conn.handle_timeout(LIMITS.preauth_seconds - 0.1) == []
    assert end(conn.handle_timeout(LIMITS.preauth_seconds)).code == Code.TIMEOUT
    assert conn.data_to_send(5.0) == b""
    assert conn.done


def test_a_byte_now_and_then_does_not_extend_the_time() -> None:
    conn, _ = server()
    conn.receive_data(b"\0\0\0\x20\0", 1.0)
    for now in (2.0, 3.0, 4.0):
        assert conn.receive_data(b"\x80", now) == []
    assert end(conn.handle_timeout(LIMITS.preauth_seconds)).code == Code.TIMEOUT


# -- once open ----------------------------------------------------------------------------------------

BAD_OPEN: dict[str, tuple[Any, Code]] = {
    "hello again": (lambda p: p.bytes(HELLO), Code.ORDER),
    "auth again": (lambda p: p.bytes(AUTH), Code.ORDER),
    "ready again": (lambda p: p.bytes(READY), Code.ORDER),
    "what only servers say": (lambda p: p.bytes(Update(1, 2, 1, b"")), Code.ORDER),
    "empty frame": (lambda p: b"\0\0\0\0\0", Code.FRAME),
    "flags of compression": (lambda p: b"\0\0\0\1\1x", Code.PROTO),
    "length of 2**31": (lambda p: b"\x80\0\0\0", Code.TOO_BIG),
    "one above the limit": (lambda p: (LIMITS.frame + 1).to_bytes(4, "big"), Code.TOO_BIG),
    "trailing bytes": (lambda p: frame(p.body(10, 1) + b"\0"), Code.CBOR),
    "truncated item": (lambda p: frame(p.body(10, 1)[:-1]), Code.CBOR),
    "tag": (lambda p: frame(b"\x84\x0a\x04\x00\xc1\x01"), Code.CBOR),
    "seq repeated": (lambda p: frame(p.body(10, 1, seq=3)), Code.ORDER),
    "seq skipped": (lambda p: frame(p.body(10, 1, seq=9)), Code.ORDER),
    "ack ahead": (lambda p: frame(p.body(10, 1, ack=99)), Code.ORDER),
    "bool as seq": (lambda p: frame(b"\x84\x0a\xf5\x00\x01"), Code.TYPE),
    "text as type": (lambda p: frame(b"\x84\x61a\x04\x00\x01"), Code.TYPE),
    "a map": (lambda p: frame(b"\xa0"), Code.TYPE),
    "null for a field": (lambda p: frame(p.body(10, None)), Code.TYPE),
    "nine unknown fields": (lambda p: frame(p.body(10, *range(10))), Code.TYPE),
    "request ids that repeat": (lambda p: p.bytes(mutate(5)) + p.bytes(mutate(5)), Code.ORDER),
    "request ids that go down": (lambda p: p.bytes(mutate(5)) + p.bytes(mutate(4)), Code.ORDER),
    "called states": (lambda p: p.bytes(mutate(1, states=[0] * 257)), Code.LIMIT),
    "operation": (lambda p: p.bytes(mutate(1, op=6)), Code.TYPE),
    "flags of a mutation": (lambda p: p.bytes(mutate(1, flags=4)), Code.TYPE),
    "args": (lambda p: p.bytes(mutate(1, args=bytes(LIMITS.args + 1))), Code.LIMIT),
    "envelope": (lambda p: p.bytes(PayloadAck(1, 0, "x" * 65_530)), Code.TOO_BIG),
    "preface": (lambda p: PREFACE, Code.TOO_BIG),
    "resync twice": (lambda p: p.bytes(Resync(1)) * 1 + p.bytes(Resync(1)), Code.RATE),
}


@pytest.mark.parametrize("name", BAD_OPEN)
def test_a_broken_rule_is_told_and_ends_the_connection(name: str) -> None:
    make, code = BAD_OPEN[name]
    conn, peer = open_server()
    closed = end(conn.receive_data(make(peer), 0.0))
    assert closed.code == code, closed
    assert not closed.by_peer
    last = said(conn)[-1]
    assert isinstance(last, Error)
    assert (last.code, last.rid) == (code, None)
    assert conn.done
    assert conn.receive_data(peer.bytes(mutate(9)), 0.0) == []
    assert conn.send(Result(1, 0, 0, None)) is False
    assert conn.data_to_send(0.0) == b""


def test_all_that_was_received_is_bounded_by_what_came_not_by_what_was_announced() -> None:
    conn, _ = open_server()
    conn.receive_data(LIMITS.frame.to_bytes(4, "big") + b"\0" + b"x", 0.0)
    assert conn.next_deadline() <= LIMITS.frame_seconds
    assert end(conn.handle_timeout(LIMITS.frame_seconds)).code == Code.TIMEOUT


def test_large_args_and_payloads_are_no_large_envelopes() -> None:
    _conn, peer = open_server()
    assert peer.say(mutate(1, args=bytes(LIMITS.args))) == [mutate(1, args=bytes(LIMITS.args))]
    _client, source = open_client()
    payload = Payload(1, "n", "s", LIMITS.payload, 0, bytes(LIMITS.payload))
    assert source.say(payload) == [payload]


def test_unknown_messages_are_ignored_up_to_a_point() -> None:
    _conn, peer = open_server()
    for _ in range(LIMITS.glitch_burst):
        assert peer.raw(99, 1) == []
    assert end(peer.raw(99, 1)).code == Code.RATE


def test_pings_are_answered_and_a_flood_of_them_is_not() -> None:
    conn, peer = open_server()
    peer.say(Ping(42))
    assert said(conn) == [Pong(42)]
    ends = [e for n in range(200) for e in peer.say(Ping(n)) if isinstance(e, Closed)]
    assert [e.code for e in ends] == [Code.RATE]
    assert conn.unsent < 10_000


def test_denials_are_glitches_too() -> None:
    conn, _ = open_server()
    for rid in range(LIMITS.glitch_burst):
        conn.reply_error(rid, Code.DENIED, "no", 0.0)
    assert conn.closed is None
    conn.reply_error(1, Code.DENIED, "no", 0.0)
    assert conn.closed is not None
    assert conn.closed.code == Code.RATE
    again, _ = open_server()
    for rid in range(1000):
        again.reply_error(rid, Code.DENIED, "no", rid / LIMITS.glitch_rate)
    assert again.closed is None


def test_unsolicited_pongs_are_glitches() -> None:
    conn, peer = open_server()
    assert peer.say(Pong(1)) == []
    assert conn.rtt is None


def test_bye_and_then_more() -> None:
    conn, peer = open_server()
    assert peer.say(Bye(0, "so long"), mutate(1)) == [Closed(0, "so long", True, said=True)]
    assert conn.done
    assert conn.receive_data(b"\xff" * 100, 0.0) == []


def test_an_error_text_is_cut() -> None:
    _conn, peer = open_server()
    closed = end(peer.say(Error(Code.INTERNAL, "x" * 60_000, None)))
    assert closed.by_peer
    assert len(closed.text) == LIMITS.error_text


def test_an_error_for_a_request_does_not_end_it() -> None:
    conn, peer = open_client()
    conn.send(mutate(1))
    assert peer.say(Error(Code.DENIED, "no", 1)) == [Error(Code.DENIED, "no", 1)]
    assert conn.closed is None


@pytest.mark.parametrize("make", [open_server, open_client])
def test_a_cut(make: Any) -> None:
    conn, _peer = make()
    conn.receive_data(b"\0\0", 0.0)
    closed = end(conn.receive_eof(0.0))
    assert closed == Closed(Code.OK, "the connection was cut within a frame", True)
    assert conn.receive_eof(0.0) == []
    assert conn.abort("x", 0.0) == []


def test_what_is_queued_when_the_peer_half_closes_is_still_sent() -> None:
    conn, _ = open_server()
    conn.send(Result(1, 0, 0, None))
    conn.receive_eof(0.0)
    assert said(conn) == [Result(1, 0, 0, None)]


# -- time -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [open_server, open_client])
def test_heartbeats_and_a_dead_peer(make: Any) -> None:
    conn, peer = make()
    assert conn.next_deadline() == 5.0
    assert conn.handle_timeout(4.9) == []
    assert conn.handle_timeout(5.0) == []
    ping = said(conn, 5.0)
    assert ping == [Ping(5_000_000)]
    assert peer.say(Pong(5_000_000), now=5.25) == []
    assert conn.rtt == 0.25
    now = 5.25
    while conn.closed is None:
        now = conn.next_deadline()
        events = conn.handle_timeout(now)
        conn.data_to_send(now)
    assert now == 5.25 + 15.0
    assert end(events).code == Code.TIMEOUT


def test_who_sends_does_not_ping() -> None:
    conn, _ = open_server()
    conn.send(Update(1, 2, 1, b"\0\1"))
    conn.data_to_send(4.0)
    conn.handle_timeout(5.0)
    assert conn.data_to_send(5.0) == b""
    assert conn.next_deadline() == 9.0


def test_a_handshake_that_is_not_finished() -> None:
    conn, peer = server()
    peer.say(HELLO)
    conn.send(CHALLENGE)
    peer.say(AUTH, now=4.0)
    conn.send(WELCOME)
    conn.send(SNAPSHOT)
    conn.data_to_send(4.0)
    assert conn.next_deadline() == LIMITS.handshake_seconds
    assert end(conn.handle_timeout(10.0)).code == Code.TIMEOUT


def test_a_server_that_says_nothing() -> None:
    conn = Connection(Role.CLIENT, LIMITS, now=0.0, states=3)
    conn.send(HELLO)
    assert end(conn.handle_timeout(conn.next_deadline())).code == Code.TIMEOUT


# -- the mirror ---------------------------------------------------------------------------------------


def test_a_gap_asks_for_a_snapshot_once_and_holds_results_back() -> None:
    conn, peer = open_client()
    assert peer.say(Update(5, 6, 1, b"\0\1"), Update(6, 7, 1, b"\0\1")) == []
    assert said(conn) == [Resync(1)]
    result = Result(1, 0, 1, Update(7, 8, 1, b"\1\1"))
    assert peer.say(result) == []
    assert peer.say(Snapshot(8, 1, b"\x03\x01\x00")) == [Installed([3, 1, 0]), result]
    assert peer.say(Update(8, 9, 1, b"\2\1")) == [Moved([(2, 0, 1)])]


def test_an_old_update_is_dropped() -> None:
    conn, peer = open_client()
    assert peer.say(Update(0, 1, 1, b"\0\1")) == []
    assert conn.data_to_send(0.0) == b""


def test_a_second_gap_so_soon_ends_it_and_later_it_does_not() -> None:
    conn, peer = open_client()
    peer.say(Update(5, 6, 1, b"\0\1"), Snapshot(6, 1, b"\1\0\0"))
    assert end(peer.say(Update(9, 10, 1, b""), now=1.0)).code == Code.RATE
    conn, peer = open_client()
    peer.say(Update(5, 6, 1, b"\0\1"), Snapshot(6, 1, b"\1\0\0"))
    assert peer.say(Update(9, 10, 1, b""), now=LIMITS.resync_seconds) == []
    assert conn.closed is None


@pytest.mark.parametrize(
    "message",
    [
        Snapshot(1, 1, b"\1\0\0"),  # not asked for
        Update(1, 2, 1, b"\3\1"),  # a fourth state
        Update(1, 2, 1, b"\0\0"),  # moved by nothing
        Update(2, 1, 1, b""),  # backwards
        Result(1, 0, 1, Update(1, 2, 1, b"\7")),
    ],
)
def test_a_server_that_lies_about_clocks(message: Message) -> None:
    _conn, peer = open_client()
    assert end(peer.say(message)).code in (Code.MIRROR, Code.ORDER)


@pytest.mark.parametrize("ticks", [b"", b"\1", b"\1\1\1\1", b"\x80\0\0", b"\xff" * 30])
def test_a_snapshot_that_does_not_fit_the_schema(ticks: bytes) -> None:
    conn = Connection(Role.CLIENT, LIMITS, now=0.0, states=3)
    peer = Peer(conn)
    conn.send(HELLO)
    peer.say(CHALLENGE)
    conn.send(AUTH)
    assert end(peer.say(WELCOME, Snapshot(1, 1, ticks))).code == Code.MIRROR


# -- faults of our own side ----------------------------------------------------------------------------


def test_what_may_not_be_said_now_is_a_fault_of_the_caller() -> None:
    conn, _ = server()
    with pytest.raises(RpcError, match="RESULT cannot be sent in phase WAIT_HELLO"):
        conn.send(Result(1, 0, 0, None))
    assert conn.data_to_send(0.0) == b""
