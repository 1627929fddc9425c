"""The side of the source: exposes one machine to sessions.

::

    server = Server(machine, Acl.open("client"))
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    await server.serve(listener)

A session is let in by the :class:`~asyncmachine.rpc.acl.Acl`, which also gives its role; the schema says
what a role may do. The server is "just a tracer" to the machine, which never waits for a session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypedDict, Unpack

import anyio

from asyncmachine.api import Tracer
from asyncmachine.errors import RpcError
from asyncmachine.machine import Machine
from asyncmachine.rpc.acl import NONE, Acl
from asyncmachine.rpc.config import DEFAULTS, RpcConfig
from asyncmachine.rpc.entrance import Entrance, Visit, check_listener
from asyncmachine.rpc.protocol.answers import Memory
from asyncmachine.rpc.protocol.messages import Code
from asyncmachine.rpc.session import Session
from asyncmachine.rpc.tls import Tls
from asyncmachine.rpc.transport import Stream, new_id

__all__ = ["Server", "ServerOptions", "Session"]

OnSession = Callable[[Session], None]


class ServerOptions(TypedDict, total=False):
    """Keyword arguments of :class:`Server`, all optional.

    Attributes:
        config: default :data:`~asyncmachine.rpc.config.DEFAULTS`.
        kind: what kind of machine this is, e.g. the name of a worker kind; default "". A client that
            names another is refused; one that names none is not asked.
        max_sessions: a client beyond it is told that the server is busy; default 1.
        same_client: when the id of a client is there already: ``allow`` another session, the default;
            ``reject`` it as busy; ``takeover``: end the old one, whose client does not come back.
        tls: certificates; default None: no encryption.
        insecure_allow_plaintext: listen without TLS or authentication even where other computers can
            connect; warns each time. Default False: that is an error.
        on_session: called with a session that is open: its client is READY.
        on_session_end: called when it has ended, exactly once for each ``on_session``.
    """

    config: RpcConfig
    kind: str
    max_sessions: int
    same_client: Literal["allow", "reject", "takeover"]
    tls: Tls | None
    insecure_allow_plaintext: bool
    on_session: OnSession | None
    on_session_end: OnSession | None


class Server(Tracer):
    """Exposes one machine.

    Args:
        source: the machine. It is traced as long as a session is open.
        acl: who may come in, and as what.
        options: see :class:`ServerOptions`.

    Attributes:
        entrance: what is counted, and audited, of who comes in.
        epoch: random name of its life, ``ver``: version of the clock of its source.
        memory: what became of the requests of its clients.
    """

    def __init__(self, source: Machine, acl: Acl, **options: Unpack[ServerOptions]) -> None:
        self.source = source
        self.acl = acl
        self.config = options.get("config", DEFAULTS)
        self.kind = options.get("kind", "")
        self.max_sessions = options.get("max_sessions", 1)
        self.same_client = options.get("same_client", "allow")
        self.tls = options.get("tls")
        if self.same_client == "takeover" and acl.method == NONE:
            raise RpcError("same_client='takeover' needs clients that prove who they are, see Acl")
        self.entrance = Entrance(self.config.limits, source.id)
        self.epoch = int.from_bytes(new_id(8), "big")
        self.ver = 1
        self._on_session = options.get("on_session")
        self._on_session_end = options.get("on_session_end")
        limits = self.config.limits
        self.memory: Memory[Session] = Memory(limits.answers, limits.answers_seconds, limits.answers_absent)
        self._sessions: dict[Session, None] = {}  # admitted
        self._unaware: dict[Session, None] = {}  # open, and not told yet that the clock moved
        self._insecure = options.get("insecure_allow_plaintext", False)
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
        """Accept connections until cancelled, or until *listener* is closed. Does not close it.

        Raises:
            RpcError: other computers can connect, and there is no TLS or no authentication; or the TLS
                files cannot be used.
        """
        check_listener(listener, self.acl, self.tls, insecure=self._insecure)
        await self.entrance.serve(listener, self.tls, self._begin)

    async def serve_stream(self, stream: Stream) -> None:
        """Serve one client over a stream; returns when its session has ended and closes the stream.

        Raises:
            RpcError: the TLS files cannot be used.
        """
        await self.entrance.receive(stream, self.tls, self._begin)

    async def _begin(self, stream: Stream, visit: Visit) -> None:
        await Session(self, self.new_session_id(), visit).run(stream)

    def new_session_id(self) -> int:
        """Unique among the sessions of this server."""
        self._last_id += 1
        return self._last_id

    def close(self, code: int = Code.OK, text: str = "") -> None:
        """End all sessions: BYE for code 0, else ERROR."""
        for session in self.sessions:
            session.close(code, text)

    # -- for sessions --------------------------------------------------------------------------

    def refusal(self, client_id: str, life: tuple[str, bytes]) -> str:
        """Why there is no room for another session of this client, or "". See :meth:`supersede`."""
        rivals = self._rivals(client_id, life)
        if self.same_client == "reject" and any(one.identity != life for one in rivals):
            return f"client {client_id!r} is here already"
        if len(self._sessions) - len(rivals) >= self.max_sessions:
            return f"{self.max_sessions} sessions are open, the limit"
        return ""

    def _rivals(self, client_id: str, life: tuple[str, bytes]) -> list[Session]:
        """Sessions that cannot be there together with the one that begins."""
        policy = self.same_client != "allow"
        return [s for s in self._sessions if s.identity == life or (policy and s.client_id == client_id)]

    def supersede(self, client_id: str, life: tuple[str, bytes]) -> None:
        """This client opens a session. Its old one, which was lost unnoticed, must end.

        What it had asked for there must not be executed after what it will ask for here. So must those of
        others with this id, whom it takes over from.

        Args:
            life: the id of the client and the random name of this life of it.
        """
        for one in self._rivals(client_id, life):
            if one.identity == life:
                one.close(Code.MOVED, "the client has opened another session")
            else:
                one.close(Code.LEASE, "another connection of this client took over")

    def unsent(self) -> int:
        """Bytes that wait to be sent, in all sessions."""
        return sum(session._conn.unsent for session in self._sessions)

    def admit(self, session: Session) -> None:
        """A client was let in: from now on the source is traced."""
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
