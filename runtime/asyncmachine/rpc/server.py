"""The side of the source: exposes one machine to sessions.

::

    server = Server(machine, Acl.open("client"))
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    await server.serve(listener)

A session is let in by the :class:`~asyncmachine.rpc.acl.Acl`, which also gives its role; the schema says
what a role may do. The server is "just a tracer" to the machine, which never waits for a session.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypedDict, Unpack

import anyio
from anyio.abc import SocketAttribute

from asyncmachine.api import Tracer
from asyncmachine.machine import Machine
from asyncmachine.rpc.acl import Acl
from asyncmachine.rpc.config import DEFAULTS, RpcConfig
from asyncmachine.rpc.protocol.messages import Code
from asyncmachine.rpc.session import Session
from asyncmachine.rpc.transport import Stream, accept_forever, new_id

__all__ = ["Server", "ServerOptions", "Session"]

log = logging.getLogger("asyncmachine.rpc")

OnSession = Callable[[Session], None]


class ServerOptions(TypedDict, total=False):
    """Keyword arguments of :class:`Server`, all optional.

    Attributes:
        config: default :data:`~asyncmachine.rpc.config.DEFAULTS`.
        kind: what kind of machine this is, e.g. the name of a worker kind; default "". A client that
            names another is refused; one that names none is not asked.
        max_sessions: a client beyond it is told that the server is busy; default 1.
        on_session: called with a session that is open: its client is READY.
        on_session_end: called when it has ended, exactly once for each ``on_session``.
    """

    config: RpcConfig
    kind: str
    max_sessions: int
    on_session: OnSession | None
    on_session_end: OnSession | None


class Server(Tracer):
    """Exposes one machine.

    Args:
        source: the machine. It is traced as long as a session is open.
        acl: who may come in, and as what.
        options: see :class:`ServerOptions`.
    """

    def __init__(self, source: Machine, acl: Acl, **options: Unpack[ServerOptions]) -> None:
        self.source = source
        self.acl = acl
        self.config = options.get("config", DEFAULTS)
        self.kind = options.get("kind", "")
        self.max_sessions = options.get("max_sessions", 1)
        self.epoch = int.from_bytes(new_id(8), "big")
        self.ver = 1
        self._on_session = options.get("on_session")
        self._on_session_end = options.get("on_session_end")
        self._sessions: dict[Session, None] = {}  # admitted
        self._unaware: dict[Session, None] = {}  # open, and not told yet that the clock moved
        self._unauthenticated = 0
        self._last_id = 0
        self._ticks: tuple[int, ...] = source.time()
        self._masks: tuple[tuple[int, ...], int] = ((), 0)
        self._diffs: dict[tuple[int, int], bytes] = {}  # of this version, by (base, readable states)

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Sessions that were let in and have not ended, oldest first."""
        return tuple(self._sessions)

    # -- connections ---------------------------------------------------------------------------

    async def serve(self, listener: Any) -> None:
        """Accept connections until cancelled, or until *listener* is closed. Does not close it."""
        limits = self.config.limits
        await accept_forever(
            listener, self.serve_stream, lambda: self._unauthenticated < limits.preauth_connections
        )

    async def serve_stream(self, stream: Stream) -> None:
        """Serve one client over a stream; returns when its session has ended and closes the stream.

        Raises nothing but a cancellation.
        """
        self._last_id += 1
        session = Session(self, self._last_id, _address(stream))
        self._unauthenticated += 1
        try:
            await session.run(stream)
        finally:
            if not session.admitted:
                self._unauthenticated -= 1

    def close(self, code: int = Code.OK, text: str = "") -> None:
        """End all sessions: BYE for code 0, else ERROR."""
        for session in self.sessions:
            session.close(code, text)

    # -- for sessions --------------------------------------------------------------------------

    def full(self, *, besides: tuple[str, bytes]) -> bool:
        """Whether another session would be one too many, not counting one of this client."""
        return sum(one.identity != besides for one in self._sessions) >= self.max_sessions

    def supersede(self, identity: tuple[str, bytes]) -> None:
        """This client opens a session: the one that it had is lost, which was not noticed here.

        What it had asked for there must not be executed after what it will ask for here.
        """
        for one in self.sessions:
            if one.identity == identity:
                one.close(Code.MOVED, "the client has opened another session")

    def admit(self, session: Session) -> None:
        """A client was let in: from now on the source is traced."""
        self._unauthenticated -= 1
        if not self._sessions:
            self.source.trace(self)
        self._note_clock()
        self._sessions[session] = None

    def opened(self, session: Session) -> None:
        """Its client is ready."""
        self._unaware[session] = None
        if self._on_session is not None:
            self._on_session(session)

    def ended(self, session: Session, was_open: bool) -> None:
        """It is over."""
        self._sessions.pop(session, None)
        self._unaware.pop(session, None)
        if not self._sessions:
            self.source.untrace(self)
        if was_open and self._on_session_end is not None:
            self._on_session_end(session)

    def rearm(self, session: Session) -> None:
        """It has sent all there was: tell it again when the clock moves."""
        self._unaware[session] = None

    def clock(self) -> tuple[int, tuple[int, ...]]:
        """The present version and its ticks."""
        return self.ver, self._ticks

    def diffs(self) -> dict[tuple[int, int], bytes]:
        """Diffs to the present version, shared by all sessions at the same base with the same rights."""
        return self._diffs

    # -- the tracer ----------------------------------------------------------------------------

    def _note_clock(self) -> None:
        ticks = self.source.time()
        if ticks != self._ticks:
            self._ticks = ticks
            self.ver += 1
            self._diffs = {}

    def clock_moved(self, machine: Any) -> None:
        """See the base."""
        self._note_clock()
        if self._unaware:
            now = anyio.current_time()
            for session in [s for s in self._unaware if s.ver != self.ver]:
                del self._unaware[session]
                session.clock_moved(now)

    def machine_dispose(self, machine: Any) -> None:
        """See the base."""
        self.close(Code.DISPOSED, "the machine is disposed")


def _address(stream: Any) -> str:
    extra = getattr(stream, "extra", None)
    address = extra(SocketAttribute.remote_address, None) if extra is not None else None
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address or "a local peer")
