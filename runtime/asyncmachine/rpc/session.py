"""One client of a server: its handshake, rights, requests, pushes and payloads."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from math import inf
from typing import TYPE_CHECKING

import anyio

from asyncmachine.errors import DeliveryError, NotConnected
from asyncmachine.rpc.acl import Rights
from asyncmachine.rpc.entrance import Visit
from asyncmachine.rpc.gate import Meter
from asyncmachine.rpc.outbox import Outbox
from asyncmachine.rpc.protocol.clocksync import pack_diff, pack_ticks
from asyncmachine.rpc.protocol.connection import Connection
from asyncmachine.rpc.protocol.events import Closed, Event
from asyncmachine.rpc.protocol.messages import (
    Auth,
    Cancel,
    Challenge,
    Code,
    Hello,
    Mutate,
    Payload,
    PayloadAck,
    Ready,
    Resync,
    Snapshot,
    Update,
    Welcome,
)
from asyncmachine.rpc.protocol.states import Role
from asyncmachine.rpc.reception import VERSION, Reception, Route
from asyncmachine.rpc.service import Service
from asyncmachine.rpc.transport import Link, Stream, new_id, tune

if TYPE_CHECKING:
    from asyncmachine.rpc.server import Server

__all__ = ["Session"]

log = logging.getLogger("asyncmachine.rpc")


class Session:
    """One client. Made by the server.

    Attributes:
        id: of this session, unique within its server.
        client_id: what the client calls itself; with tickets, whom the ticket was made for.
        identity: ``client_id``, and the random name of this life of the client, which has one session at
            a time; None before it was let in.
        principal: who it is: the client id, or what its key, certificate or user id belongs to.
        peer: what the operating system and TLS say of the other end.
        role: what it may do, see ``State.rpc``.
        admitted: it was let in; ``open``: it is ready, and not gone.
        ver: version of the source's clock that the client knows.
        closed: why it ended, or None.
    """

    def __init__(self, server: Server, session_id: int, visit: Visit, route: Route | None = None) -> None:
        self.id = session_id
        self.client_id = ""
        self.identity: tuple[str, bytes] | None = None
        self.principal = ""
        self.role = ""
        self.admitted = False
        self.open = False
        self.ver = 0
        self.closed: Closed | None = None
        self.peer = visit.peer
        self._server = server
        self._reception = Reception(visit, route, anyio.current_time())
        self._address = visit.peer.name
        self._config = server.config
        self._meter: Meter | None = None
        self._ticks: tuple[int, ...] = ()  # of ``ver``
        self._rights = Rights(server.source.schema, "")
        self._dirty = False
        self._serving = False
        self._leaving: tuple[int, str] | None = None  # close() was called out of a request
        self._next_push = 0.0
        self._outbox = Outbox(server.config.limits.unacked, server.config.payload_timeout)
        self._link: Link | None = None
        self._service = Service(self)

    def __repr__(self) -> str:
        return f"<Session {self.id} of {self.client_id!r} as {self.role!r} from {self._address}>"

    async def run(self, stream: Stream) -> None:
        """Serve until it has ended."""
        config = self._config
        tune(stream, 3 * config.heartbeat)
        now = anyio.current_time()
        conn = Connection(Role.SERVER, config.limits, now=now, heartbeat=config.heartbeat)
        self._conn = conn
        if Meter.wanted(config.limits):
            self._meter = Meter(config.limits, now)
        self._link = Link(stream, conn, self, self._address)
        await self._link.run()

    # -- what users call -----------------------------------------------------------------------

    def send_payload(self, name: str, data: bytes, *, source: str = "") -> Awaitable[None]:
        """Send bytes to the client's consumer. They leave with the call, not with the ``await``.

        The client's mirror shows all that the source did before the call when they arrive.

        Args:
            name: what they are, at most 255 characters.
            source: id of the machine that sends them; default: that of the server's source.

        Raises (from the ``await``):
            DeliveryError: rejected, no consumer, not acknowledged in time, or the session ended.

        Raises (at once):
            DeliveryError: too large, or too much is waiting already.
            NotConnected: the session is not open.
        """
        self._outbox.check_room()
        self._check_payload(name, data, source)
        update = self._take_update()
        if update is not None:
            self._conn.send(update)
        pid = self._outbox.number()
        self._put_payload(pid, name, data, source)
        reply = self._outbox.wait_for(pid, anyio.current_time())
        if self._link is not None:
            self._link.hurry(self.deadline())
        return reply

    def send_payload_nowait(self, name: str, data: bytes, *, source: str = "") -> None:
        """As :meth:`send_payload`, but unacknowledged: the hot path.

        Nothing is known of a payload that is rejected, or lost with the session, and the client's mirror
        may lag behind it.
        """
        self._check_payload(name, data, source)
        self._put_payload(0, name, data, source)

    def _check_payload(self, name: str, data: bytes, source: str) -> None:
        limits = self._config.limits
        if not self.open:
            raise NotConnected(f"{self!r} is not open")
        if len(data) > limits.payload:
            raise DeliveryError(f"payload {name!r} has {len(data)} bytes, the limit is {limits.payload}")
        if len(name) > limits.text or len(source) > limits.text:
            raise DeliveryError(
                f"payload {name[:40]!r}: name and source have at most {limits.text} characters"
            )
        waiting = self._conn.unsent
        if waiting + len(data) > limits.output_hard:
            raise DeliveryError(f"{self!r} reads too slowly: {waiting} bytes are waiting")
        if waiting > limits.output_soft and self._server.unsent() > limits.output_total:
            raise DeliveryError(f"{self!r} reads too slowly, and all sessions have too much waiting")

    def _put_payload(self, pid: int, name: str, data: bytes, source: str) -> None:
        source = source or self._server.source.id
        self._conn.send(Payload(pid, name, source, len(data), 0, bytes(data)))
        if self._link is not None:
            self._link.flush(anyio.current_time())

    @property
    def all_written(self) -> bool:
        """Whether all that was sent has left this process, or the session has ended."""
        return self._link is None or self._link.all_written

    async def flushed(self) -> None:
        """Wait until all that was sent before has left this process, or the session has ended."""
        if self._link is not None:
            await self._link.flushed()

    def close(self, code: int = Code.OK, text: str = "") -> None:
        """End the session: BYE for code 0, else ERROR with this code. What is queued is sent first.

        So is the last change of the clock, for the client to know how it ended. Called out of a request
        of this very client, e.g. by a handler, it takes effect once that request is answered; none of
        the client's other requests is looked at any more.
        """
        if self._serving:
            self._leaving = self._leaving or (code, text)
            return
        if self.open and self._dirty and (update := self._take_update()) is not None:
            self._conn.send(update)
        if self._link is not None:
            self._link.close(code, text)

    # -- the driver of the link ----------------------------------------------------------------

    def on_events(self, events: list[Event], now: float) -> None:
        """See ``Driver``."""
        self._serving = True  # most of what moves now leaves with a RESULT
        free = 0  # events that are no requests
        for event in events:
            if self.closed is not None:
                break
            if self._leaving is not None and not isinstance(event, Closed):
                continue
            if isinstance(event, Mutate):
                self._mutate(event, now)
            elif isinstance(event, Cancel):
                self._service.cancel(event)
            elif isinstance(event, PayloadAck):
                self._outbox.acknowledge(event, self)
                free += 1
            elif isinstance(event, Closed):
                self._ended(event)
            elif isinstance(event, Hello):
                self._greet(event, now)
            elif isinstance(event, Auth):
                self._admit(event, now)
            elif isinstance(event, Ready):
                self._opened(event, now)
            elif isinstance(event, Resync):
                self._conn.send(self._snapshot())
        self._serving = False
        if self._meter is not None and self._link is not None and self.open and len(events) > free:
            self._link.read_on = on = self._meter.charge(len(events) - free, now)
            if on == inf:
                self._end(Code.RATE, "too many requests", now)
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            self.close(*leaving)
        elif self._dirty:
            self._schedule_push(now)

    def before_send(self, now: float) -> None:
        """See ``Driver``: the pending change of the clock leaves with whatever leaves now."""
        if self._dirty and now >= self._next_push:
            update = self._take_update()
            if update is not None:
                self._next_push = now + self._config.interval
                self._conn.send(update)

    def deadline(self) -> float:
        """See ``Driver``."""
        return min(self._next_push if self._dirty else inf, self._outbox.deadline())

    def on_time(self, now: float) -> None:
        """See ``Driver``."""
        if self._dirty and now >= self._next_push:
            self.before_send(now)  # the link writes what it finds after this
        self._outbox.expire(now)

    # -- handshake -----------------------------------------------------------------------------

    def _refuse(self, reason: str, now: float) -> None:
        """The reason is for our log: the peer is told a constant."""
        log.warning("refused %s: %s", self._address, reason)
        self._reception.visit.failed(now)
        self._reception.refused(reason, now)
        self._end(Code.AUTH, "refused", now)

    def _end(self, code: int, text: str, now: float) -> None:
        for event in self._conn.close(code, text, now):
            if isinstance(event, Closed):
                self._ended(event)

    def _greet(self, hello: Hello, now: float) -> None:
        server = self._reception.choose(self._server, hello)
        if isinstance(server, str):
            self._refuse(server, now)
            return
        if server is not self._server:
            self._server, self.id = server, server.new_session_id()
        heartbeat = int(self._config.heartbeat * 1000)
        self._conn.send(Challenge(VERSION, new_id(16), new_id(32), server.acl.method, heartbeat))
        self._reception.transcript = self._conn.transcript

    def _admit(self, auth: Auth, now: float) -> None:
        server, reception = self._server, self._reception
        answer = reception.admit(server, auth, now)
        if isinstance(answer, str):
            self._refuse(answer, now)
            return
        found, problem = answer
        self.client_id, self.principal, self.role, proof = found
        last: int | None = None
        if problem is None:
            self.identity = reception.life
            server.supersede(found.client_id, reception.life)
            last = self._service.remember(server, reception.life, now)
        source, limits = server.source, self._config.limits.as_wire()
        digest = source.schema.digest
        about = (source.id, server.kind, server.epoch, digest, found.role, limits, found.client_id, proof)
        self._conn.send(Welcome(*about, last))
        if problem is not None:
            log.info("turned %s away: %s", self._address, problem[1])
            reception.refused(problem[1], now)
            self._end(*problem, now)
            return
        self._rights = Rights(source.schema, found.role)
        self.admitted = True
        server.admit(self)
        reception.audit("opened", now, method=server.acl.method, identity=found.identity)
        self._conn.send(self._snapshot())

    def _opened(self, ready: Ready, now: float) -> None:
        if ready.ver != self.ver:
            self._end(Code.MIRROR, f"READY for version {ready.ver}, the snapshot was {self.ver}", now)
            return
        self.open = True
        self._server.opened(self)
        if self._server.ver != self.ver:
            self.clock_moved(now)

    def _ended(self, closed: Closed) -> None:
        if self.closed is not None:
            return
        self.closed = closed
        was_open, self.open = self.open, False
        if closed.code != Code.OK:
            who = "the peer says" if closed.by_peer else "for"
            log.warning("session with %s ended: %s %r", self._address, who, closed.text)
        self._outbox.fail_all(closed.text)
        self._reception.closed(closed.code, closed.text, closed.by_peer, anyio.current_time())
        if self.admitted:
            self._server.memory.close(self.identity, self, anyio.current_time(), self._conn.acked)
            self._server.ended(self, was_open)

    # -- the clock -----------------------------------------------------------------------------

    def clock_moved(self, now: float) -> None:
        """The source has moved: push it, at once or when the interval is over."""
        self._dirty = True
        if not self._serving:
            self._schedule_push(now)

    def _schedule_push(self, now: float) -> None:
        if self._link is None:
            return
        if now >= self._next_push:
            self._link.wake()
        else:
            self._link.hurry(self._next_push)

    def _snapshot(self) -> Snapshot:
        self.ver, self._ticks = self._server.clock()
        self._dirty = False
        if self.open:
            self._server.rearm(self)
        shown = [tick if self._rights.read >> i & 1 else 0 for i, tick in enumerate(self._ticks)]
        return Snapshot(self.ver, self._server.source.queue_tick, pack_ticks(shown))

    def _take_update(self) -> Update | None:
        """What the client does not know yet, or None. It counts as known from now on."""
        base = self.ver
        ver, ticks = self._server.clock()
        self._dirty = False
        self._server.rearm(self)
        if ver == base:
            return None
        cache = self._server.diffs()
        diff = cache.get((base, self._rights.read))
        if diff is None:
            readable, old = self._rights.read, self._ticks
            moved = [
                (i, new - was)
                for i, (new, was) in enumerate(zip(ticks, old, strict=True))
                if new != was and readable >> i & 1
            ]
            diff = cache[base, readable] = pack_diff(moved)
        self._ticks = ticks
        if not diff:
            self.ver = base  # nothing that this client may see; it stays where it is
            return None
        self.ver = ver
        return Update(base, ver, self._server.source.queue_tick, diff)

    # -- requests ------------------------------------------------------------------------------

    def _mutate(self, request: Mutate, now: float) -> None:
        self._service.mutate(request, now)
