"""One session of a client: its handshake, its requests, and what the server sends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import anyio

from asyncmachine.api import EXECUTED
from asyncmachine.api import Result as Outcome
from asyncmachine.errors import NotConnected, RemoteError, RpcError
from asyncmachine.rpc.args import encode_args
from asyncmachine.rpc.auth import Credentials
from asyncmachine.rpc.calls import Calls
from asyncmachine.rpc.config import RpcConfig
from asyncmachine.rpc.netmachine import NetMachine
from asyncmachine.rpc.peers import Peer, peer_of
from asyncmachine.rpc.protocol.connection import Connection
from asyncmachine.rpc.protocol.events import Closed, Event, Installed, Moved
from asyncmachine.rpc.protocol.messages import (
    NOREPLY,
    WAIT_FINAL,
    Auth,
    Cancel,
    Challenge,
    Code,
    Error,
    Hello,
    Mutate,
    Payload,
    PayloadAck,
    PayloadStatus,
    Ready,
    Result,
    Welcome,
)
from asyncmachine.rpc.protocol.states import Phase, Role
from asyncmachine.rpc.replies import Reply
from asyncmachine.rpc.transport import Link, Stream, ask, new_id, tune

__all__ = ["Consumer", "Identity", "Upstream"]

log = logging.getLogger("asyncmachine.rpc")

VERSION: Final = 0

Consumer: TypeAlias = Callable[[Payload], "bool | None"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a client is. ``instance`` is random, 16 bytes, for the life of the client.

    ``kind`` and ``source``: what it looks for; "" for any.
    """

    client_id: str
    instance: bytes
    credentials: Credentials
    kind: str
    source: str = ""


class Upstream:
    """One session with a server. Made by the client.

    Attributes:
        opened_at: when it became open, on the clock of the event loop, or None.
        closed: why it has ended, or None.
        client_id: what the server calls this client, once it is let in.
    """

    def __init__(
        self,
        mirror: NetMachine,
        config: RpcConfig,
        identity: Identity,
        consumer: Consumer | None,
        on_open: Callable[[], None],
        calls: Calls,
    ) -> None:
        self.opened_at: float | None = None
        self.closed: Closed | None = None
        self._mirror = mirror
        self._config = config
        self._identity = identity
        self._consumer = consumer
        self._on_open = on_open
        self._welcome: Welcome | None = None
        self._calls = calls
        self._ttl = max(1, int(config.call_timeout * 1000))
        self._max_args = config.limits.args
        self._last_pid = 0
        self._peer = Peer()
        self._transcript = b""
        self.client_id = identity.client_id
        limits, now = config.limits, anyio.current_time()
        self._conn = Connection(
            Role.CLIENT, limits, now=now, states=len(mirror.schema), heartbeat=config.heartbeat
        )
        self._link: Link | None = None

    async def run(self, stream: Stream) -> Closed:
        """Until it has ended."""
        identity = self._identity
        self._peer = peer_of(stream)
        tune(stream, 3 * self._config.heartbeat)
        self._link = Link(stream, self._conn, self, "the server")
        self._conn.send(
            Hello(
                VERSION,
                VERSION,
                identity.client_id,
                identity.instance,
                new_id(32),
                identity.credentials.methods(self._peer),
                self._mirror.schema.digest,
                identity.kind,
                identity.source,
            )
        )
        await self._link.run()
        if self.closed is None:
            raise RpcError("a link ended without saying so")
        return self.closed

    def close(self, code: int, text: str) -> None:
        """End it: BYE for code 0, else ERROR."""
        if self._link is not None:
            self._link.close(code, text)

    def call(self, op: int, states: Sequence[int], args: dict[str, Any], noreply: bool) -> Reply[Outcome]:
        """Send a mutation. See ``NetMachine.add``."""
        conn, limits = self._conn, self._config.limits
        if conn.phase is not Phase.OPEN or self._link is None:
            raise NotConnected(f"{self._mirror.id} has no open session; await client.ready() first")
        data = encode_args(args, max_bytes=self._max_args, max_items=limits.items) if args else None
        if conn.unsent > limits.output_hard:
            raise RemoteError(Code.BUSY, f"{conn.unsent} bytes wait to be sent; nothing was added to them")
        now = anyio.current_time()
        rid = self._calls.number()
        request = Mutate(rid, op, states, data, NOREPLY if noreply else WAIT_FINAL, self._ttl)
        conn.send(request)
        self._link.flush(now)
        if noreply:
            reply: Reply[Outcome] = Reply()
            reply.resolve(EXECUTED)
            return reply
        due, reply = self._calls.wait_for(request, now)
        self._link.hurry(due)
        return reply

    # -- the driver of the link ----------------------------------------------------------------

    def on_events(self, events: list[Event], now: float) -> None:
        """See ``Driver``."""
        mirror = self._mirror
        for event in events:
            if self.closed is not None:
                break
            if isinstance(event, Moved):
                mirror.move(event.changes, self._conn.mirror.ver)
            elif isinstance(event, Result):
                if not self._calls.answer(event):
                    self._forgive("an answer to nobody", now)
            elif isinstance(event, Payload):
                self._take(event)
            elif isinstance(event, Error):
                self._calls.refuse(event)
            elif isinstance(event, Installed):
                self._install(event, now)
            elif isinstance(event, Challenge):
                self._prove(event, now)
            elif isinstance(event, Welcome):
                self._check(event, now)
            elif isinstance(event, Closed):
                self._ended(event)

    def before_send(self, now: float) -> None:
        """See ``Driver``: nothing waits here."""

    def deadline(self) -> float:
        """See ``Driver``."""
        return self._calls.deadline()

    def on_time(self, now: float) -> None:
        """See ``Driver``."""
        self._calls.expire(now)

    def _end(self, code: int, text: str, now: float) -> None:
        self._finish(self._conn.close(code, text, now))

    def _forgive(self, what: str, now: float) -> None:
        self._finish(self._conn.forgive(what, now))

    def _finish(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Closed):
                self._ended(event)

    def _prove(self, challenge: Challenge, now: float) -> None:
        credentials = self._identity.credentials
        if challenge.version != VERSION or not challenge.heartbeat:
            self._end(Code.VERSION, f"version {challenge.version}, heartbeat {challenge.heartbeat}", now)
        elif challenge.auth not in credentials.methods(self._peer):
            self._end(Code.AUTH, f"authentication by {challenge.auth!r} was not offered", now)
        else:
            self._conn.heartbeat = challenge.heartbeat / 1000
            self._transcript = self._conn.transcript
            self._conn.send(Auth(credentials.prove(self._transcript, self._peer)))

    def _check(self, welcome: Welcome, now: float) -> None:
        schema, identity = self._mirror.schema, self._identity
        if not identity.credentials.convinced(welcome.proof, self._transcript, self._peer):
            self._end(Code.AUTH, "the server does not prove that it knows the key", now)
        elif identity.source not in ("", welcome.source):
            self._end(Code.SCHEMA, f"the source is {welcome.source!r}, not {identity.source!r}", now)
        elif welcome.schema != schema.digest:
            text = f"schema {schema.name} has digest {schema.digest} here, {welcome.schema!r} there"
            self._end(Code.SCHEMA, text, now)
        elif identity.kind not in ("", welcome.kind):
            text = f"the server is of kind {welcome.kind!r}, not {identity.kind!r}"
            self._end(Code.SCHEMA, text, now)
        else:
            self._welcome = welcome
            self.client_id = welcome.client_id or identity.client_id
            self._max_args = min(self._max_args, welcome.limits.get("args", self._max_args))

    def _install(self, event: Installed, now: float) -> None:
        welcome = self._welcome
        if welcome is None:
            raise RpcError("SNAPSHOT before WELCOME: the transition table is wrong")
        same = welcome.epoch == self._mirror.epoch
        self._mirror.install(event.ticks, welcome, self._conn)
        if self.opened_at is None:
            self._conn.send(Ready(self._conn.mirror.ver))
            self.opened_at = now
            self._repeat(same, welcome, now)
            self._on_open()

    def _repeat(self, same: bool, welcome: Welcome, now: float) -> None:
        """Ask again what was not answered. Nothing new may go before it."""
        last = welcome.last
        for request in self._calls.again(same and last is not None, last or 0, now):
            self._conn.send(request)
        self._calls.cancel = self._cancel
        self._calls.shown()

    def _cancel(self, rid: int) -> None:
        if self._conn.send(Cancel(rid)) and self._link is not None:
            self._link.flush(anyio.current_time())

    def _take(self, payload: Payload) -> None:
        if not payload.pid:  # the sender does not want to know
            if self._consumer is not None:
                ask(self._consumer, payload)
            return
        text = ""
        if payload.pid <= self._last_pid:
            status = PayloadStatus.DUPLICATE
        elif self._consumer is None:
            status = PayloadStatus.NO_CONSUMER
        else:
            answer = ask(self._consumer, payload)
            status = PayloadStatus.ACCEPTED
            if isinstance(answer, Exception):
                status, text = PayloadStatus.REJECTED, f"{type(answer).__name__}: {answer}"
            elif answer is False:
                status = PayloadStatus.REJECTED
        self._last_pid = max(self._last_pid, payload.pid)
        if self._conn.closed is None:
            self._conn.send(PayloadAck(payload.pid, status.value, text[: self._config.limits.error_text]))

    def _ended(self, closed: Closed) -> None:
        if self.closed is None:
            self.closed = closed
            self._mirror.connected = False
            self._calls.lost(self._conn.unresolved)
