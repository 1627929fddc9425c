"""Faults of the library, planted on purpose: a simulation that does not find them is blind there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from asyncmachine._wire.frames import FrameReader
from asyncmachine.rpc import netmachine, service, session
from asyncmachine.rpc.calls import Calls
from asyncmachine.rpc.client import Client
from asyncmachine.rpc.outbox import Outbox
from asyncmachine.rpc.protocol import connection
from asyncmachine.rpc.protocol.answers import Answers
from asyncmachine.rpc.protocol.messages import NOREPLY, Mutate, Result
from asyncmachine.rpc.protocol.states import RECEIVE, Phase, Role
from asyncmachine.rpc.server import Server
from asyncmachine.rpc.transport import Link

Plant = Callable[[pytest.MonkeyPatch], None]


def nothing(*args: Any) -> None:
    """In place of something that matters."""


def pending_after_loss(patch: pytest.MonkeyPatch) -> None:
    """A lost session leaves its requests unanswered."""
    patch.setattr(Calls, "fail_all", nothing)


def no_deadline(patch: pytest.MonkeyPatch) -> None:
    """Requests wait for their answer for ever."""
    patch.setattr(Calls, "expire", nothing)


def answered_twice(patch: pytest.MonkeyPatch) -> None:
    """Now and then a result is sent twice."""
    original = session.Session._mutate

    def mutate(self: Any, request: Mutate, now: float) -> None:
        original(self, request, now)
        if request.rid % 50 == 0 and not request.flags & NOREPLY:
            self._conn.send(Result(request.rid, 0, 1, None))

    patch.setattr(session.Session, "_mutate", mutate)


def executed_twice(patch: pytest.MonkeyPatch) -> None:
    """Now and then a request is executed twice."""
    original = service.execute

    def execute(source: Any, rights: Any, request: Mutate, client: str, items: int) -> Any:
        if request.rid % 50 == 0:
            original(source, rights, request, client, items)
        return original(source, rights, request, client, items)

    patch.setattr(service, "execute", execute)


def asked_again(patch: pytest.MonkeyPatch) -> None:
    """What was not answered when the session was lost is asked as something new in the next one."""
    original = Calls.again

    def again(self: Any, known: bool, last: int, now: float) -> list[Mutate]:
        repeated = []
        for request in original(self, known, last, now):
            entry = self._waiting.pop(request.rid)
            repeated.append(request._replace(rid=self.number()))
            self._waiting[self.last] = entry
        return repeated

    patch.setattr(Calls, "again", again)


def asked_of_another(patch: pytest.MonkeyPatch) -> None:
    """What was not answered is asked again, even when the server was started anew."""
    original = Calls.again
    patch.setattr(Calls, "again", lambda self, known, last, now: original(self, True, last, now))


def no_memory(patch: pytest.MonkeyPatch) -> None:
    """A server does not see that it was asked the same before."""
    patch.setattr(Answers, "begin", lambda self, rid: True)


def answer_before_effect(patch: pytest.MonkeyPatch) -> None:
    """Results come without the clock that shows their effect."""
    patch.setattr(service, "Result", lambda rid, status, qtick, update: Result(rid, status, qtick, None))
    original = session.Session._take_update

    def take(self: Any) -> Any:
        return None if self._serving else original(self)

    patch.setattr(session.Session, "_take_update", take)


def lost_push(patch: pytest.MonkeyPatch) -> None:
    """What moves while requests are served is not pushed."""
    original = session.Session.clock_moved

    def moved(self: Any, now: float) -> None:
        if not self._serving:
            original(self, now)

    patch.setattr(session.Session, "clock_moved", moved)


def never_told_again(patch: pytest.MonkeyPatch) -> None:
    """A session that has sent a snapshot is not told when the clock moves again."""
    patch.setattr(Server, "opened", lambda self, one: None)


def short_diff(patch: pytest.MonkeyPatch) -> None:
    """A diff of four states or more lacks one."""
    original = session.pack_diff
    patch.setattr(session, "pack_diff", lambda moved: original(moved[:-1] if len(moved) > 3 else moved))


def small_ticks(patch: pytest.MonkeyPatch) -> None:
    """Ticks of a diff wrap around at 256."""
    original = session.pack_diff

    def pack(moved: Any) -> bytes:
        return original([(index, delta) for index, delta in moved if (delta & 0x07) or not delta])

    patch.setattr(session, "pack_diff", pack)


def across_lives(patch: pytest.MonkeyPatch) -> None:
    """A mirror keeps what it knew of the life of the source before."""
    original = netmachine.NetMachine.install

    def install(self: Any, ticks: Any, welcome: Any, conn: Any) -> None:
        original(self, [max(old, new) for old, new in zip(self._ticks, ticks, strict=True)], welcome, conn)

    patch.setattr(netmachine.NetMachine, "install", install)


def sees_hidden(patch: pytest.MonkeyPatch) -> None:
    """A client is shown what it may not read."""
    original = session.Session._snapshot

    def snapshot(self: Any) -> Any:
        self._rights.read = (1 << len(self._server.source.schema)) - 1
        return original(self)

    patch.setattr(session.Session, "_snapshot", snapshot)


def session_leak(patch: pytest.MonkeyPatch) -> None:
    """A session whose client vanished is never forgotten."""
    original = Server.ended

    def ended(self: Any, one: Any, was_open: bool) -> None:
        if one.closed.code == 0:
            original(self, one, was_open)

    patch.setattr(Server, "ended", ended)


def deaf_to_silence(patch: pytest.MonkeyPatch) -> None:
    """Heartbeats are sent, and nobody minds when they are not answered."""
    patch.setattr(connection, "DEAD_AFTER", 10_000)


def gives_up(patch: pytest.MonkeyPatch) -> None:
    """A client that was refused or cut off during the handshake does not try again."""
    original = Client._judge

    def judge(self: Any, closed: Any) -> None:
        original(self, closed)
        if closed.code != 0:
            self._reconnect = False

    patch.setattr(Client, "_judge", judge)


def split_header(patch: pytest.MonkeyPatch) -> None:
    """The header of a frame that comes in two pieces is misread."""
    original = FrameReader.feed

    def feed(self: Any, data: bytes) -> None:
        if 0 < len(self._rest) < 4:
            self._rest.clear()
        original(self, data)

    patch.setattr(FrameReader, "feed", feed)


def lost_rest(patch: pytest.MonkeyPatch) -> None:
    """What a direct write leaves over is forgotten when more was queued meanwhile."""
    original = Link._write_now

    def write(self: Any, now: float) -> bool:
        before = self._rest
        done = original(self, now)
        if not before and len(self._rest) == 1:
            self._rest = b""
        return done

    patch.setattr(Link, "_write_now", write)


def rest_at_the_end(patch: pytest.MonkeyPatch) -> None:
    """What a direct write leaves over is sent after what was queued later."""

    async def write(self: Any) -> None:
        data_to_send = self.conn.data_to_send

        def late(now: float) -> bytes:
            data, rest = data_to_send(now), self._rest
            self._rest = b""
            return bytes(data + rest)

        self.conn.data_to_send = late
        try:
            await original(self)
        finally:
            self.conn.data_to_send = data_to_send

    original = Link._write
    patch.setattr(Link, "_write", write)


def parcel_limbo(patch: pytest.MonkeyPatch) -> None:
    """Nobody is told of a payload whose session was lost."""
    patch.setattr(Outbox, "fail_all", nothing)


def parcel_before_clock(patch: pytest.MonkeyPatch) -> None:
    """A payload overtakes what the source did before it."""
    original = session.Session.send_payload

    def send(self: Any, *args: Any, **options: Any) -> Any:
        self._take_update, keep = nothing, self._take_update
        try:
            return original(self, *args, **options)
        finally:
            self._take_update = keep

    patch.setattr(session.Session, "send_payload", send)


def pipe_forgets(patch: pytest.MonkeyPatch) -> None:
    """What a pipe had sent is lost with the session, and never made up for."""
    patch.setattr(
        netmachine.NetMachine, "opened", lambda self: vars(self).update(connected=True, stale=False)
    )


def farewell_misread(patch: pytest.MonkeyPatch) -> None:
    """A BYE that arrives together with the snapshot is taken for a mistake."""
    patch.setitem(cast("dict[Any, Any]", RECEIVE[Role.CLIENT]), Phase.INSTALLING, {})


PLANTED: dict[str, Plant] = {
    plant.__name__: plant
    for plant in (
        pending_after_loss,
        no_deadline,
        answered_twice,
        executed_twice,
        asked_again,
        asked_of_another,
        no_memory,
        answer_before_effect,
        lost_push,
        never_told_again,
        short_diff,
        small_ticks,
        across_lives,
        sees_hidden,
        session_leak,
        deaf_to_silence,
        gives_up,
        split_header,
        lost_rest,
        rest_at_the_end,
        parcel_limbo,
        parcel_before_clock,
        pipe_forgets,
        farewell_misread,
    )
}

QUICK = (
    pending_after_loss,
    answer_before_effect,
    short_diff,
    sees_hidden,
    lost_rest,
    never_told_again,
)
"""Found within a few seeds. The others are planted in the long run only."""


@pytest.fixture(
    params=[
        pytest.param(name, marks=[] if plant in QUICK else pytest.mark.soak)
        for name, plant in PLANTED.items()
    ]
)
def planted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a fault that the library has now."""
    PLANTED[request.param](monkeypatch)
    return str(request.param)
