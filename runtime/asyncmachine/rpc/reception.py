"""The server's side of a handshake: which source is meant, who the client is, what the audit log is told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from asyncmachine.errors import RpcError
from asyncmachine.rpc.acl import NONE, Admission, Claim
from asyncmachine.rpc.entrance import Visit
from asyncmachine.rpc.protocol.messages import Auth, Code, Hello

if TYPE_CHECKING:
    from asyncmachine.rpc.server import Server

__all__ = ["VERSION", "Problem", "Reception", "Route"]

log = logging.getLogger("asyncmachine.rpc")

VERSION: Final = 0  # minor; the major is in the preface
Route: TypeAlias = "Callable[[Hello], Server | None]"
Problem: TypeAlias = tuple[int, str]


class Reception:
    """One client that knocks.

    Args:
        route: finds the server that a client means, where there are several.
        now: monotonic seconds, as in all calls.

    Attributes:
        transcript: of HELLO and CHALLENGE, to be set when CHALLENGE is sent.
        admission: who it is, once it is let in.
        life: its client id, and the random name of this life of it.
    """

    def __init__(self, visit: Visit, route: Route | None, now: float) -> None:
        self.visit = visit
        self.transcript = b""
        self.admission: Admission | None = None
        self.life = "", b""
        self._route = route
        self._began = now
        self._hello: Hello | None = None
        self._refused = False

    def choose(self, server: Server, hello: Hello) -> Server | str:
        """The server that *hello* means, or why there is none."""
        self._hello = hello
        if self._route is not None:
            found = self._route(hello)
            if found is None:
                return f"there is no source {hello.source!r} of kind {hello.kind!r}"
            server = found
        if hello.source not in ("", server.source.id):
            return f"asks for source {hello.source!r}, this is {server.source.id!r}"
        if not hello.vmin <= VERSION <= hello.vmax:
            return f"versions {hello.vmin} to {hello.vmax}"
        if server.acl.method not in hello.auth:
            return f"offers authentication by {list(hello.auth)!r} only"
        return server

    def admit(self, server: Server, auth: Auth, now: float) -> tuple[Admission, Problem | None] | str:
        """Who the client is and what is in its way, which it may be told; or why it is nobody."""
        hello = self._hello
        if hello is None:
            raise RpcError("AUTH before HELLO: the transition table is wrong")
        claim = Claim(hello.client_id, auth.proof, self.transcript, self.visit.peer)
        found = server.acl.admit(claim, now, use=False)
        if isinstance(found, str):
            return found
        self.life = found.client_id, hello.instance
        problem = self._problem(server, hello, found, now)
        if problem is None and isinstance(server.acl.admit(claim, now), str):
            return f"client {hello.client_id!r} came too late"
        self.visit.over()
        if problem is None:
            self.admission = found
        return found, problem

    def _problem(self, server: Server, hello: Hello, found: Admission, now: float) -> Problem | None:
        schema = server.source.schema
        if hello.schema != schema.digest:
            return Code.SCHEMA, f"schema {schema.name} has digest {schema.digest}, not {hello.schema}"
        if hello.kind not in ("", server.kind):
            return Code.SCHEMA, f"this server is of kind {server.kind!r}, not {hello.kind!r}"
        if server.source.disposed:
            return Code.DISPOSED, "the machine is disposed"
        if refusal := server.refusal(found.client_id, self.life):
            return Code.BUSY, refusal
        if server.acl.method != NONE and not self.visit.entrance.gate.begin(found.identity, now):
            return Code.RATE, f"{found.identity!r} connects too often"
        return None

    # -- the audit log -------------------------------------------------------------------------

    def refused(self, reason: str, now: float) -> None:
        """It did not become a session. The first reason counts."""
        if not self._refused:
            self._refused = True
            self.audit("refused", now, reason=reason)

    def closed(self, code: int, text: str, by_peer: bool, now: float) -> None:
        """The connection has ended."""
        if self.admission is not None:
            seconds = round(now - self._began, 3)
            self.audit("closed", now, code=code, reason=text, by_peer=by_peer, seconds=seconds)
        elif code != Code.OK:
            self.refused(text, now)

    def audit(self, event: str, now: float, **fields: object) -> None:
        """One event about this client."""
        known, peer = self.admission, self.visit.peer
        claimed = self._hello.client_id if self._hello is not None else None
        self.visit.entrance.audit(
            event,
            now,
            address=peer.name,
            client=known.client_id if known is not None else claimed,
            role=known.role if known is not None else None,
            uid=peer.uid,
            pid=peer.pid,
            **fields,
        )
