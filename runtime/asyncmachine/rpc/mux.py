"""Several sources on one port.

::

    mux = Mux([Server(pool, Acl.psk("client", key), kind="pool"), Server(lamp, Acl.psk("guest", key))])
    await mux.serve(listener)

A client says in HELLO which one it wants: by ``kind``, by ``source`` (the id of the machine), or by both. The
first server that fits has it; each of them has its own rights, sessions and limits of sessions. Strangers
are counted for all of them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

from asyncmachine.errors import RpcError
from asyncmachine.rpc.config import DEFAULTS, Limits
from asyncmachine.rpc.entrance import Entrance, Visit, check_listener
from asyncmachine.rpc.protocol.messages import Hello
from asyncmachine.rpc.server import Server
from asyncmachine.rpc.session import Session
from asyncmachine.rpc.tls import Tls
from asyncmachine.rpc.transport import Stream

__all__ = ["Mux", "MuxOptions"]


class MuxOptions(TypedDict, total=False):
    """Keyword arguments of :class:`Mux`, all optional; as in ``ServerOptions``.

    Attributes:
        limits: of strangers; default those of ``DEFAULTS``.
        name: for the audit log; default "mux".
    """

    limits: Limits
    name: str
    tls: Tls | None
    insecure_allow_plaintext: bool


class Mux:
    """One port for several servers.

    Args:
        servers: in order of preference; more can be added and removed at any time.
        options: see :class:`MuxOptions`. The TLS of the servers themselves is not used.

    Raises:
        RpcError: two servers could not be told apart.
    """

    def __init__(self, servers: Sequence[Server], **options: Unpack[MuxOptions]) -> None:
        self._servers: list[Server] = []
        self.entrance = Entrance(options.get("limits", DEFAULTS.limits), options.get("name", "mux"))
        self._tls = options.get("tls")
        self._insecure = options.get("insecure_allow_plaintext", False)
        self._listeners: list[Any] = []
        for server in servers:
            self.add(server)

    @property
    def servers(self) -> tuple[Server, ...]:
        """In order of preference."""
        return tuple(self._servers)

    def add(self, server: Server) -> None:
        """Serve one more source.

        Raises:
            RpcError: its kind and id are there already, or what is listened on does not allow for its
                authentication.
        """
        key = server.kind, server.source.id
        if key in [(s.kind, s.source.id) for s in self._servers]:
            raise RpcError(
                f"there is a source {key[1]!r} of kind {key[0]!r} already; give another id or kind"
            )
        for listener in self._listeners:
            check_listener(listener, server.acl, self._tls, insecure=self._insecure)
        self._servers.append(server)

    def remove(self, server: Server) -> None:
        """Let nobody new in to this source. Its sessions go on; end them with ``Server.close``."""
        self._servers.remove(server)

    async def serve(self, listener: Any) -> None:
        """Accept connections until cancelled, or until *listener* is closed. Does not close it.

        Raises:
            RpcError: see ``Server.serve``.
        """
        for server in self._servers:
            check_listener(listener, server.acl, self._tls, insecure=self._insecure)
        self._listeners.append(listener)
        try:
            await self.entrance.serve(listener, self._tls, self._begin)
        finally:
            self._listeners.remove(listener)

    async def serve_stream(self, stream: Stream) -> None:
        """Serve one client over a stream; returns when its session has ended and closes the stream."""
        await self.entrance.receive(stream, self._tls, self._begin)

    async def _begin(self, stream: Stream, visit: Visit) -> None:
        if not self._servers:
            await stream.aclose()
            return
        first = self._servers[0]
        await Session(first, first.new_session_id(), visit, self._pick).run(stream)

    def _pick(self, hello: Hello) -> Server | None:
        for server in self._servers:
            if hello.kind in ("", server.kind) and hello.source in ("", server.source.id):
                return server
        return None
