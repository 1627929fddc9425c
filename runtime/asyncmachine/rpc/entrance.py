"""The way in: what happens to a connection before its session, and what a server may listen on."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias

import anyio
from anyio.abc import SocketAttribute

from asyncmachine.errors import RpcError
from asyncmachine.rpc.acl import MTLS, NONE, Acl
from asyncmachine.rpc.audit import Audit
from asyncmachine.rpc.config import Limits
from asyncmachine.rpc.gate import Gate
from asyncmachine.rpc.peers import Peer, host_of, is_loopback, peer_of
from asyncmachine.rpc.tls import Tls, TlsFailed, part, wrap_server
from asyncmachine.rpc.transport import LOST, Stream, accept_forever

__all__ = ["Entrance", "Visit", "check_listener"]

log = logging.getLogger("asyncmachine.rpc")

Begin: TypeAlias = "Callable[[Stream, Visit], Awaitable[None]]"


def check_listener(listener: Any, acl: Acl, tls: Tls | None, *, insecure: bool) -> None:
    """Refuse to listen where others can connect, without encryption or authentication.

    Args:
        insecure: do it all the same, with a warning.

    Raises:
        RpcError: refused.
    """
    if acl.method == MTLS and (tls is None or tls.ca is None):
        raise RpcError("certificates of clients can only be checked with TLS and a CA for them: give Tls.ca")
    reachable = [host for host in _hosts(listener) if not is_loopback(host)]
    lacks = [
        what
        for what, there in (("TLS", tls is not None), ("authentication", acl.method != NONE))
        if not there
    ]
    if not reachable or not lacks:
        return
    text = f"listening on {reachable[0]}, where others can connect, without {' and without '.join(lacks)}"
    if not insecure:
        raise RpcError(f"{text}; give both, or insecure_allow_plaintext=True")
    log.warning("%s", text)


def _hosts(listener: Any) -> list[str]:
    found: list[str] = []
    for one in getattr(listener, "listeners", None) or [listener]:
        extra = getattr(one, "extra", None)
        address = extra(SocketAttribute.local_address, None) if extra is not None else None
        if isinstance(address, tuple):
            found.append(host_of(address[0]))
    return found


class Visit:
    """A connection that is not authenticated yet.

    Attributes:
        peer: whose it is.
    """

    def __init__(self, entrance: Entrance, peer: Peer) -> None:
        self.peer = peer
        self.entrance = entrance
        self._inside = False

    async def enter(self, limits: Limits) -> bool:
        """Wait for room among the strangers; False when there is none, or not in time."""
        host = self.peer.host
        self._inside = self.entrance.gate.enter(host)
        if not self._inside and await self.entrance.wait(host, limits):
            self._inside = True
        return self._inside

    def over(self) -> None:
        """It is authenticated, or gone. Idempotent."""
        if self._inside:
            self._inside = False
            self.entrance.left(self.peer.host)

    def failed(self, now: float) -> None:
        """It was refused."""
        if self.peer.host:
            self.entrance.gate.failed(self.peer.host, now)


class Entrance:
    """Everything that is counted for one port, or for several that belong together.

    Args:
        limits: of strangers.
        name: of the server, for the audit log.
    """

    def __init__(self, limits: Limits, name: str) -> None:
        self.gate = Gate(limits)
        self.limits = limits
        self._name = name
        self._audit: Audit | None = None
        self._waiting: list[tuple[str, anyio.Event]] = []
        self._tls: tuple[Tls, tuple[int, ...], ssl.SSLContext, bytes] | None = None

    def audit(self, event: str, now: float, **fields: object) -> None:
        """See :class:`~asyncmachine.rpc.audit.Audit`."""
        if self._audit is None:
            self._audit = Audit(self._name, now)
        self._audit.note(event, now, **fields)

    # -- room ----------------------------------------------------------------------------------

    async def wait(self, host: str, limits: Limits) -> bool:
        """Wait until :meth:`left` has passed a place on to this address; False: it took too long."""
        if len(self._waiting) >= limits.preauth_waiting:
            return False
        entry = host, anyio.Event()
        self._waiting.append(entry)
        try:
            with anyio.move_on_after(limits.preauth_seconds):
                await entry[1].wait()
        except BaseException:  # cancelled, perhaps with a place in hand
            if entry[1].is_set():
                self.left(host)
            raise
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)
        return entry[1].is_set()

    def left(self, host: str) -> None:
        """A place is free: it goes to the first that waits and may have it."""
        self.gate.leave(host)
        for entry in self._waiting:
            if self.gate.enter(entry[0]):
                self._waiting.remove(entry)
                entry[1].set()
                return

    # -- connections ---------------------------------------------------------------------------

    async def serve(self, listener: Any, tls: Tls | None, begin: Begin) -> None:
        """Accept until cancelled, or until *listener* is closed; *begin* serves each stream, and closes it.

        Raises:
            RpcError: the TLS files cannot be used.
        """
        if tls is not None:
            self._context(tls)

        async def receive(stream: Any) -> None:
            await self.receive(stream, tls, begin)

        await accept_forever(listener, receive)

    async def receive(self, stream: Any, tls: Tls | None, begin: Begin) -> None:
        """Serve one stream; closes it. Raises nothing but a cancellation.

        Raises:
            RpcError: the TLS files cannot be used.
        """
        visit = Visit(self, peer_of(stream))
        begun = False
        try:
            ready = await self._welcome(stream, visit, tls)
            if ready is not None:
                begun = True
                await begin(ready, visit)
        finally:
            visit.over()
            if not begun:
                with anyio.move_on_after(1, shield=True), suppress(*LOST):
                    await stream.aclose()

    async def _welcome(self, stream: Any, visit: Visit, tls: Tls | None) -> Stream | None:
        """The stream to talk on, or None when the visit ends here."""
        peer = visit.peer
        if not await visit.enter(self.limits):
            self.turn_away(peer, "too many connections are not authenticated yet")
            return None
        if delay := self.gate.delay(peer.host, anyio.current_time()) if peer.host else 0.0:
            await anyio.sleep(delay)
        if tls is None:
            ready: Stream = stream
            return ready
        try:
            with anyio.fail_after(self.limits.preauth_seconds):
                wrapped = await wrap_server(stream, *self._context(tls))
        except TlsFailed as error:
            visit.failed(anyio.current_time())
            self.turn_away(peer, str(error))
            await part(stream)
            return None
        except TimeoutError:
            self.turn_away(peer, "no TLS handshake in time")
            return None
        except LOST:
            return None
        visit.peer = peer_of(wrapped)
        return wrapped

    def turn_away(self, peer: Peer, reason: str) -> None:
        """Note a connection that did not become a session."""
        log.warning("a connection from %s was closed: %s", peer.name, reason)
        self.audit("refused", anyio.current_time(), address=peer.name, reason=reason)

    def _context(self, tls: Tls) -> tuple[ssl.SSLContext, bytes]:
        """For :func:`wrap_server`; made anew when the files have changed. Wrong files are not taken."""
        known = self._tls
        try:
            stamp = tls.stamp()
            if known is None or known[:2] != (tls, stamp):
                known = self._tls = tls, stamp, tls.server_context(), tls.channel()
        except (OSError, RpcError) as error:
            if known is None or known[0] != tls:
                raise RpcError(f"cannot use the TLS files: {error}") from error
            log.warning("%s; the ones before are kept", error)
        return known[2:]
