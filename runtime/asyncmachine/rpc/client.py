"""The side of the mirror: connects, keeps the connection, holds a mirror of the remote machine.

::

    client = Client(tcp("127.0.0.1", 4000), SCHEMA, client_id="me")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.run)
        mirror = await client.ready()
        await mirror.add("Foo")
        await mirror.when("Bar")
        client.stop()
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypedDict, TypeVar, Unpack

import anyio
from anyio.abc import SocketStream, TaskStatus, UNIXSocketStream

from amstates.rpc_client import RPC_CLIENT_SCHEMA
from amstates.rpc_client import RpcClientStates as S
from asyncmachine.api import Result
from asyncmachine.errors import NotConnected, ProtocolError, Refused, RpcError
from asyncmachine.machine import Machine
from asyncmachine.rpc.auth import Credentials, Psk
from asyncmachine.rpc.calls import Calls, printable
from asyncmachine.rpc.config import DEFAULTS, RpcConfig
from asyncmachine.rpc.netmachine import NetMachine
from asyncmachine.rpc.peers import is_loopback, peer_of
from asyncmachine.rpc.protocol.events import Closed
from asyncmachine.rpc.protocol.messages import Code, Payload
from asyncmachine.rpc.replies import Reply
from asyncmachine.rpc.tls import Tls, TlsFailed, wrap_client
from asyncmachine.rpc.transport import LOST, Stream, jitter, new_id
from asyncmachine.rpc.upstream import Consumer, Identity, Upstream
from asyncmachine.schema import Schema

__all__ = ["Client", "ClientOptions", "Payload", "Psk", "Tls", "from_socket", "stream_of", "tcp", "unix"]

log = logging.getLogger("asyncmachine.rpc")

Connect = Callable[[], Awaitable[Stream]]
T = TypeVar("T")


class ClientOptions(TypedDict, total=False):
    """Keyword arguments of :class:`Client`, all optional.

    Attributes:
        config: default :data:`~asyncmachine.rpc.config.DEFAULTS`.
        ticket: 32 bytes, good for one session, where the server asks for one.
        psk: the key, where the server asks for one; a server that does not know it is not accepted.
        source: id of the machine that is wanted, where a port has several; "" for any, the default.
        kind: the kind of machine that is expected; "" for any, the default.
        on_payload: called with each payload; ``False`` rejects it. It must not block. An error in it is
            logged, and rejects the payload too.
        reconnect: connect again when the connection is lost, with full jitter; default True.
    """

    config: RpcConfig
    ticket: bytes | None
    psk: Psk | None
    source: str
    kind: str
    on_payload: Consumer | None
    reconnect: bool


class _Errors:
    """Errors of a connection are normal: ``states`` and ``error`` show them, nobody needs to log them."""

    def exception_state(self, event: object) -> None:
        pass


class Client:
    """A client of one server. Runs once: make another one to start anew.

    Args:
        connect: opens a stream; called for each attempt. See :func:`tcp`, :func:`unix`, :func:`from_socket`.
        schema: of the remote machine; must have the same digest there.
        client_id: who this is; at most 255 characters. With a key or a certificate the identity that goes
            with it, or ``identity#name``; ``#name`` when this side does not know its identity.
        options: see :class:`ClientOptions`.

    Attributes:
        machine: the mirror.
        states: an ``RpcClient`` machine that shows what goes on here.
        error: why it has stopped for good, or None.
        client_id: what the server calls this client, once there was a session.
        dismissed: the server took its leave at the end of the last session: nothing was cut off.
    """

    def __init__(
        self,
        connect: Connect,
        schema: Schema,
        *,
        client_id: str,
        **options: Unpack[ClientOptions],
    ) -> None:
        config = options.get("config", DEFAULTS)
        if not 0 < len(client_id) <= config.limits.text:
            raise RpcError(f"client_id {client_id[:40]!r}: must have 1 to {config.limits.text} characters")
        self.config = config
        self.states = Machine(RPC_CLIENT_SCHEMA, _Errors(), id=f"rpc-client-{client_id}")
        self.machine = NetMachine(schema, f"mirror-{client_id}", self._call)
        self.error: RpcError | None = None
        self.dismissed = False
        self._connect = connect
        credentials = Credentials(options.get("ticket"), options.get("psk"))
        kind, source = options.get("kind", ""), options.get("source", "")
        self._identity = Identity(client_id, new_id(16), credentials, kind, source)
        self.client_id = client_id
        self._on_payload = options.get("on_payload")
        self._reconnect = options.get("reconnect", True)
        self._calls = Calls(config.limits.in_flight, config.call_timeout)
        self._session: Upstream | None = None
        self._stopping = False
        self._started = False
        self._scope = anyio.CancelScope()  # of what can be given up at once by stop()
        self._changed: anyio.Event | None = None

    # -- for users -----------------------------------------------------------------------------

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Connect, and connect again, until stopped, refused for good, or tired of trying.

        Returns in all these cases; ``error`` says why. Runs in the caller's task group.

        Raises:
            RpcError: it has run before.
        """
        if self._started:
            raise RpcError("this client has run already; make another one")
        self._started = True
        task_status.started()
        self.states.add(S.Start)
        try:
            await self._keep_connected()
        finally:
            self._stopping = True
            if self.error is None:
                self.error = NotConnected("the client has stopped")
            self.machine.connected = False
            self._calls.fail_all(str(self.error))
            self.states.remove(S.Start)
            self.states.add(S.Disconnected)
            self.machine.close()
            self._notify()

    async def ready(self) -> NetMachine:
        """Wait for an open session; the mirror, which shows the source as it is.

        Raises:
            Refused: the server does not want this client, and will not later.
            NotConnected: the client has stopped, or gave up.
        """
        while not self.machine.connected:
            if self.error is not None:
                raise self.error
            if self._changed is None:
                self._changed = anyio.Event()
            await self._changed.wait()
        return self.machine

    def stop(self) -> None:
        """Leave: what was sent before is sent, then BYE. ``run`` returns soon after. Idempotent."""
        self._stopping = True
        if self._session is not None:
            self.states.add(S.Disconnecting)
            self._session.close(Code.OK, "")
        self._scope.cancel()

    # -- inside --------------------------------------------------------------------------------

    def _call(self, op: int, states: Sequence[int], args: dict[str, Any], noreply: bool) -> Reply[Result]:
        if self._session is None:
            raise NotConnected(f"{self.machine.id} has no session; await client.ready() first")
        return self._session.call(op, states, args, noreply)

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def _keep_connected(self) -> None:
        config = self.config
        attempt = 0
        trying_since = anyio.current_time()
        while not self._stopping:
            self.states.add(S.Connecting)
            stream = await self._meanwhile(self._open)
            opened_for = 0.0
            if stream is not None and not self._stopping:
                opened_for, closed = await self._serve(stream)
                if not self._stopping:
                    self._judge(closed)
            now = anyio.current_time()
            if opened_for:
                trying_since = now
                attempt = 0 if opened_for >= config.stable else attempt
            if self._over() or not self._reconnect:
                return
            if config.retry_total is not None and now - trying_since > config.retry_total:
                self.error = NotConnected(f"no session for {config.retry_total} s; gave up")
                self.states.add(S.ConnRetryFailed)
                return
            self.error = None
            self.states.add(S.RetryingConn)
            top = config.retry_base / 10 if attempt == 0 else config.retry_base * 2 ** min(attempt, 30)
            attempt += 1
            await self._meanwhile(partial(self._pause, jitter(min(config.retry_cap, top))))

    def _over(self) -> bool:
        return self._stopping or isinstance(self.error, Refused)

    async def _meanwhile(self, do: Callable[[], Awaitable[T]]) -> T:
        """Do something while there is no session: nobody else looks at the deadlines of the requests."""
        if not self._calls:
            return await do()
        done: list[T] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._expire_calls)
            done.append(await do())
            tasks.cancel_scope.cancel()
        return done[0]

    async def _expire_calls(self) -> None:
        while self._calls:
            await anyio.sleep_until(self._calls.deadline())
            self._calls.expire(anyio.current_time())

    async def _pause(self, seconds: float) -> None:
        with anyio.CancelScope() as self._scope:
            await anyio.sleep(seconds)

    async def _open(self) -> Stream | None:
        reason = ""
        with anyio.CancelScope() as self._scope, anyio.move_on_after(self.config.connect_timeout) as limit:
            try:
                return await self._connect()
            except (RpcError, TlsFailed) as error:
                if isinstance(error, RpcError) or error.refused:
                    self.error = Refused(str(error))
                    self.states.add_error(self.error, S.ErrAuth)
                    return None
                reason = str(error)
            except LOST as error:
                reason = f"cannot connect: {str(error) or type(error).__name__}"
                log.debug("%s: %s", self.machine.id, reason)
        if limit.cancelled_caught:
            reason = f"no connection within {self.config.connect_timeout} s"
        elif not reason:  # stop() was called
            return None
        self.error = NotConnected(reason)
        self.states.add_error(self.error, S.ErrConnecting)
        return None

    async def _serve(self, stream: Stream) -> tuple[float, Closed]:
        """One session; how long it was open (0: never), and how it ended."""
        self.states.add(S.Connected)
        session = Upstream(
            self.machine, self.config, self._identity, self._on_payload, self._on_open, self._calls
        )
        self._session = session
        try:
            closed = await session.run(stream)
        finally:
            self._session = None
            self.machine.connected = False
            self._note_stale()
            self.states.add(S.Disconnected)
        opened = session.opened_at
        return (max(anyio.current_time() - opened, 1e-9) if opened is not None else 0.0), closed

    def _note_stale(self) -> None:
        mirror = self.machine
        mirror.stale = mirror.ver > 0
        if mirror.stale and mirror.stale_since is None:
            mirror.stale_since = anyio.current_time()

    def _on_open(self) -> None:
        self.error = None
        if self._session is not None:
            self.client_id = self._session.client_id
        self.states.remove(S.Exception)
        self.states.add(S.HandshakeDone)
        self.machine.opened()
        self._notify()

    def _judge(self, closed: Closed) -> None:
        """Turn the end of a session into an error and its state."""
        self.dismissed = closed.said
        text = printable(closed.text) or "closed"
        who = "the server" if closed.by_peer else "this side"
        if closed.fatal:
            self.error = Refused(f"{who} refused the session: {text}")
            self.states.add_error(self.error, S.ErrAuth)
            return
        self.error = NotConnected(f"the session ended: {text}")
        if closed.code == Code.OK:
            self.states.add_error(self.error, S.ErrNetwork)
        elif closed.code == Code.TIMEOUT:
            self.states.add_error(self.error, S.ErrNetworkTimeout)
        elif closed.code == Code.MIRROR:
            self.states.add_error(ProtocolError(closed.code, text), S.ErrSync)
        else:
            self.states.add_error(ProtocolError(closed.code, text), S.ErrRpc)


def tcp(host: str, port: int, *, tls: Tls | None = None) -> Connect:
    """Connects to a TCP port, with TLS or without. Warns when plain text leaves this computer.

    Raises (from connecting):
        TlsFailed: the two sides do not trust each other.
        RpcError: the TLS files cannot be used.
    """
    warned = False

    async def connect() -> Stream:
        nonlocal warned
        stream = await anyio.connect_tcp(host, port)
        if tls is not None:
            return await wrap_client(stream, tls, host)
        if not warned and not is_loopback(peer_of(stream).host):
            warned = True
            log.warning("connected to %s:%d without TLS: others can read and change what is sent", host, port)
        return stream

    return connect


def unix(path: str) -> Connect:
    """Connects to a Unix socket."""

    async def connect() -> UNIXSocketStream:
        return await anyio.connect_unix(path)

    return connect


def from_socket(sock: socket.socket) -> Connect:
    """Uses one end of a socket pair. Good for one attempt: combine with ``reconnect=False``."""
    left = [sock]

    async def connect() -> Stream:
        if not left:
            raise OSError("the socket has been used")
        return await stream_of(left.pop())

    return connect


async def stream_of(sock: socket.socket) -> Stream:
    """An anyio stream on a connected socket, which it takes over."""
    sock.setblocking(False)
    with suppress(AttributeError):
        if sock.family == socket.AF_UNIX:
            return await UNIXSocketStream.from_socket(sock)
    return await SocketStream.from_socket(sock)
