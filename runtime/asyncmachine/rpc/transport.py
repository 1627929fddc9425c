"""Carries the bytes of a :class:`~asyncmachine.rpc.protocol.connection.Connection` over a stream.

Three tasks a connection: a reader, a writer and a timer, and nothing of anyio for a single message:
reads are chunks, all frames of a chunk are handled in one go, and what they and others queue within
one turn of the event loop leaves in one write.
"""

from __future__ import annotations

import errno
import logging
import os
import random
import secrets
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from math import inf
from typing import Any, Protocol, TypeVar

import anyio
from anyio.abc import SocketAttribute, SocketStream, TaskGroup, UNIXSocketStream
from anyio.lowlevel import checkpoint

from asyncmachine.rpc.protocol.connection import Connection
from asyncmachine.rpc.protocol.events import Event
from asyncmachine.rpc.protocol.messages import Code

__all__ = ["Driver", "Link", "Stream", "accept_forever", "ask", "jitter", "new_id", "tune"]

log = logging.getLogger("asyncmachine.rpc")

T = TypeVar("T")

DIRECT = 64 * 1024  # most that is written without the writer
PIECE = 256 * 1024  # of a large write, so that progress can be seen
LOST = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.BusyResourceError, OSError)
TRANSIENT = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED))


new_id = secrets.token_bytes
"""Random bytes that nobody can guess."""


def jitter(top: float) -> float:
    """A random number of seconds up to *top*."""
    return random.uniform(0, top)  # noqa: S311 - it spreads load, it keeps no secret


class Stream(Protocol):
    """What a link needs: any anyio byte stream, or a pair of memory object streams of bytes.

    It may have a method ``write_some(data)`` too, which takes what can be taken without waiting and says
    how many bytes that was. A socket needs none: a link writes to it directly.
    """

    async def send(self, item: bytes, /) -> None: ...
    async def receive(self) -> bytes: ...
    async def send_eof(self) -> None: ...
    async def aclose(self) -> None: ...


class Driver(Protocol):
    """Who uses a link. All methods are plain calls out of the link's tasks."""

    def on_events(self, events: list[Event], now: float) -> None:
        """What arrived. The last event of a connection's life is ``Closed``; it comes exactly once."""

    def before_send(self, now: float) -> None:
        """A write is about to be made: the last chance to add to it."""

    def deadline(self) -> float:
        """When :meth:`on_time` is due; ``math.inf`` for never."""
        ...

    def on_time(self, now: float) -> None:
        """The deadline has passed."""


class Link:
    """One connection on one stream.

    Attributes:
        name: of the peer, for the log.
        read_on: when to read the next chunk: a peer that asks too much is heard later.
    """

    def __init__(self, stream: Stream, conn: Connection, driver: Driver, name: str = "peer") -> None:
        self.conn = conn
        self.name = name
        self._stream = stream
        self._driver = driver
        self._tasks: TaskGroup | None = None
        self._idle: anyio.Event | None = None  # the writer waits for it
        self._drained: anyio.Event | None = None  # the reader waits for it
        self._flushed: anyio.Event | None = None  # set when nothing is left to be written
        self._alarm: anyio.CancelScope | None = None
        self._stalled_since: float | None = None
        self.read_on = 0.0  # nothing is read before
        self._half_done = False  # either the reader or the writer has finished
        self._write_some = _direct_write(stream)
        self._rest = b""  # what a direct write has left over

    async def run(self) -> None:
        """Until the connection has ended. Raises nothing but a cancellation."""
        try:
            async with anyio.create_task_group() as self._tasks:
                self._tasks.start_soon(self._write)
                self._tasks.start_soon(self._watch)
                await self._read()
        except Exception:  # the error boundary of a connection
            log.exception("connection with %s failed, a fault of this side", self.name)
        finally:
            self._tasks = None
            self._note_flushed()
            with anyio.move_on_after(1, shield=True), suppress(*LOST):
                await self._stream.aclose()
            self._tell(self.conn.abort("the connection was given up", anyio.current_time()))

    def wake(self) -> None:
        """Something is to be sent: write it in the next turn of the loop."""
        if self._idle is not None:
            self._idle.set()

    def flush(self, now: float) -> None:
        """Write the first message of a burst at once, and what follows in the next turn of the loop."""
        self._write_now(now)
        self.wake()

    def _write_now(self, now: float) -> bool:
        """Try to write without the writer, which is two task switches away. Whether all is written.

        Only while it idles: then nothing waits in the stream either, so the order is kept.
        """
        idle, write_some = self._idle, self._write_some
        if idle is None or write_some is None or idle.is_set() or self.conn.closed is not None:
            return False
        self._driver.before_send(now)
        if self.conn.unsent > DIRECT:
            return False
        data = self.conn.data_to_send(now)
        try:
            sent = write_some(data) if data else 0
        except OSError:  # it is full, or broken: then the writer will find out
            sent = 0
        self._rest = data[sent:]
        return not self._rest

    def hurry(self, deadline: float) -> None:
        """Some deadline may be earlier than it was."""
        if self._alarm is not None and deadline < self._alarm.deadline:
            self._alarm.deadline = deadline

    @property
    def all_written(self) -> bool:
        """Whether the operating system has taken all that was to be sent, or the connection has ended."""
        return self._tasks is None or (self._idle is not None and not self.conn.unsent and not self._rest)

    async def flushed(self) -> None:
        """Wait until all that was to be sent was taken by the operating system, or the connection ended."""
        while not self.all_written:
            if self._flushed is None:
                self._flushed = anyio.Event()
            await self._flushed.wait()

    def _note_flushed(self) -> None:
        if self._flushed is not None:
            self._flushed.set()
            self._flushed = None

    def close(self, code: int, text: str) -> None:
        """End the connection: BYE for code 0, else ERROR."""
        self._tell(self.conn.close(code, text, anyio.current_time()))
        self.wake()
        self.hurry(self.conn.next_deadline())

    def _tell(self, events: list[Event]) -> None:
        if events:
            self._driver.on_events(events, anyio.current_time())

    # -- reading -------------------------------------------------------------------------------

    async def _read(self) -> None:
        conn, receive = self.conn, self._stream.receive
        limits = conn.limits
        drained = 0
        while True:
            try:
                data = await receive()
            except anyio.EndOfStream:
                now = anyio.current_time()
                self._handle(conn.receive_eof(now), now)
                self._finish()
                return
            except LOST as error:
                self._lose(error)
                return
            if conn.closed is not None:
                drained += len(data)
                if drained > limits.close_drain:
                    self._end()
                    return
                continue
            now = anyio.current_time()
            self._handle(conn.receive_data(data, now), now)
            while conn.more:
                await checkpoint()
                now = anyio.current_time()
                self._handle(conn.receive_data(b"", now), now)
            if conn.unsent > limits.output_soft:
                await self._wait_drained()
            if self.read_on > now and conn.closed is None:
                await anyio.sleep_until(self.read_on)

    def _handle(self, events: list[Event], now: float) -> None:
        conn = self.conn
        if events:
            self._driver.on_events(events, now)
        if conn.closed is not None or (conn.unsent and not self._write_now(now)):
            self.wake()
            if conn.unsent > conn.limits.output_hard and conn.closed is None:
                self.close(Code.SLOW, "too much is waiting to be read")
        alarm = self._alarm
        if alarm is not None and (due := conn.next_deadline()) < alarm.deadline:
            alarm.deadline = due

    async def _wait_drained(self) -> None:
        self._drained = anyio.Event()
        await self._drained.wait()
        self._drained = None

    # -- writing -------------------------------------------------------------------------------

    async def _write(self) -> None:
        conn, driver = self.conn, self._driver
        while True:
            now = anyio.current_time()
            driver.before_send(now)
            data = conn.data_to_send(now)
            if self._rest:
                data, self._rest = self._rest + data, b""
            if data:
                if not await self._send(data, now):
                    return
                continue
            if self._drained is not None:
                self._drained.set()
            if conn.done:
                break
            self._idle = anyio.Event()
            self._note_flushed()
            await self._idle.wait()
            self._idle = None
        with suppress(*LOST):
            await self._stream.send_eof()
        if conn.closed is not None and conn.closed.by_peer:
            self._end()
        else:
            self._finish()

    async def _send(self, data: bytes, now: float) -> bool:
        """Whether the peer took it."""
        send = self._stream.send
        self._stalled_since = now
        self.hurry(self._stall_deadline())
        try:
            if len(data) <= PIECE:
                await send(data)
            else:
                for at in range(0, len(data), PIECE):
                    await send(data[at : at + PIECE])
                    self._stalled_since = anyio.current_time()
        except LOST as error:
            self._lose(error)
            return False
        self._stalled_since = None
        return True

    def _lose(self, error: Exception) -> None:
        text = str(error) if hasattr(error, "refused") else f"the connection was lost: {type(error).__name__}"
        now = anyio.current_time()
        code = Code.AUTH if getattr(error, "refused", False) else Code.OK
        self._handle(self.conn.abort(text, now, code), now)
        self._end()

    def _finish(self) -> None:
        """The reader or the writer is done; with both, the connection is."""
        if self._half_done:
            self._end()
        self._half_done = True

    def _end(self) -> None:
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()

    # -- time ----------------------------------------------------------------------------------

    async def _watch(self) -> None:
        conn, driver = self.conn, self._driver
        while True:
            due = min(conn.next_deadline(), driver.deadline(), self._stall_deadline())
            with anyio.CancelScope(deadline=due) as self._alarm:
                await anyio.sleep_forever()
            self._alarm = None
            now = anyio.current_time()
            if now >= self._stall_deadline():
                text = f"the peer took no byte for {conn.limits.stall_seconds} s"
                self._tell(conn.close(Code.SLOW, text, now))
                break
            if conn.closed is not None and conn.done and now >= conn.next_deadline():
                break
            self._handle(conn.handle_timeout(now), now)
            if now >= driver.deadline():
                driver.on_time(now)
                if conn.unsent:
                    self.wake()
        self._end()

    def _stall_deadline(self) -> float:
        """When the write that is under way has made no progress for too long."""
        if self._stalled_since is None:
            return inf
        return self._stalled_since + self.conn.limits.stall_seconds


def _direct_write(stream: object) -> Callable[[bytes], int] | None:
    """Writes without waiting, where what is written is what the peer receives: not under TLS."""
    if os.name == "posix" and isinstance(stream, SocketStream | UNIXSocketStream):
        raw = stream.extra(SocketAttribute.raw_socket)
        return lambda data: os.write(raw.fileno(), data)
    own: Callable[[bytes], int] | None = getattr(stream, "write_some", None)
    return own


def ask(consumer: Callable[[Any], T], value: Any) -> T | Exception:
    """Call a user's function from a connection's task: its error is a value here, and logged."""
    try:
        return consumer(value)
    except Exception as error:
        log.exception("a consumer of payloads failed")
        return error


def tune(stream: Any, dead_after: float) -> None:
    """Set the options of a TCP socket that find dead peers and do not delay small writes.

    Args:
        dead_after: seconds after which data that nobody acknowledges ends the connection.
    """
    extra = getattr(stream, "extra", None)
    raw = extra(SocketAttribute.raw_socket, None) if extra is not None else None
    if raw is None or raw.family not in (socket.AF_INET, socket.AF_INET6):
        return
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (
        ("TCP_KEEPIDLE", 10),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", int(dead_after * 1000)),
    ):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    for level, option, value in options:
        with suppress(OSError):  # it may be gone already
            raw.setsockopt(level, option, value)


Serve = Callable[[Any], Coroutine[Any, Any, None]]


async def accept_forever(listener: Any, serve: Serve) -> None:
    """Accept until cancelled, or until the listener is closed. Each stream is served in its own task.

    Running out of descriptors or memory only pauses it. anyio's ``serve()`` would end, and take the
    live connections with it.

    Args:
        listener: of anyio, over sockets.
    """
    async with anyio.create_task_group() as tasks:
        for one in getattr(listener, "listeners", None) or [listener]:
            tasks.start_soon(_accept, one, serve, tasks)


async def _accept(listener: Any, serve: Serve, tasks: TaskGroup) -> None:
    pause = 0.1
    while True:
        try:
            stream = await listener.accept()
        except (OSError, anyio.BrokenResourceError) as error:
            if _errno(error) not in TRANSIENT:
                raise
            if pause == 0.1:
                log.warning("accepting pauses: %s", error)
            await anyio.sleep(pause)
            pause = min(1.0, pause * 2)
            continue
        except anyio.ClosedResourceError:
            return
        pause = 0.1
        tasks.start_soon(serve, stream)


def _errno(error: BaseException | None) -> int | None:
    """The errno of the OSError, which trio hides behind the cause."""
    while error is not None:
        if isinstance(error, OSError) and error.errno:
            return error.errno
        error = error.__cause__ or error.__context__
    return None
