"""A connection in memory whose faults are in your hands.

::

    wire = Wire(piece=1)                    # as slow as TCP can be: byte by byte
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve_stream, wire.far)
        ...
        wire.cut()                          # both ends find the connection broken

Like TCP it loses nothing and keeps the order while it lasts. With virtual time delays cost nothing.
"""

from __future__ import annotations

from collections import deque

import anyio
from anyio.lowlevel import checkpoint

__all__ = ["End", "Wire"]


class _Way:
    """One direction."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._packets: deque[tuple[float, bytes]] = deque()  # when it arrives, and what; b"" is the end
        self._size = 0
        self._changed = anyio.Event()
        self.closed_by_sender = False
        self.closed_by_receiver = False

    def wake(self) -> None:
        event, self._changed = self._changed, anyio.Event()
        event.set()

    def check(self, closed_here: bool, closed_there: bool) -> None:
        if closed_here:
            raise anyio.ClosedResourceError
        if self._wire.broken or closed_there:
            raise anyio.BrokenResourceError

    async def send(self, data: bytes) -> None:
        await checkpoint()
        self.check(self.closed_by_sender, self.closed_by_receiver)
        while self._size >= self._wire.buffer:
            await self._changed.wait()
            self.check(self.closed_by_sender, self.closed_by_receiver)
        self._put(bytes(data))

    def end(self) -> None:
        if not self.closed_by_sender:
            self.closed_by_sender = True
            self._put(b"")

    def _put(self, data: bytes) -> None:
        self._packets.append((anyio.current_time() + self._wire.delay, data))
        self._size += len(data)
        self.wake()

    async def receive(self, most: int) -> bytes:
        await checkpoint()
        while True:
            self.check(self.closed_by_receiver, False)
            due = self._packets[0][0] if self._packets and not self._wire.stalled else float("inf")
            if due <= anyio.current_time():
                return self._take(most)
            with anyio.CancelScope(deadline=due):
                await self._changed.wait()

    def _take(self, most: int) -> bytes:
        due, data = self._packets.popleft()
        if not data:
            self._packets.appendleft((due, data))  # it stays the end
            raise anyio.EndOfStream
        most = min(most, self._wire.piece or most)
        if len(data) > most:
            self._packets.appendleft((due, data[most:]))
        self._size -= len(data[:most])
        self.wake()
        return data[:most]


class End:
    """One end of a wire: a byte stream as those of anyio are."""

    def __init__(self, out: _Way, back: _Way) -> None:
        self._out = out
        self._back = back

    async def send(self, item: bytes, /) -> None:
        """Send all of it; waits while the other end does not read.

        Raises:
            ClosedResourceError: this end is closed.
            BrokenResourceError: the wire is cut, or the other end closed.
        """
        await self._out.send(item)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """What has arrived, at least one byte.

        Raises:
            EndOfStream: the other end sends nothing more.
            ClosedResourceError, BrokenResourceError: as for :meth:`send`.
        """
        return await self._back.receive(max_bytes)

    async def send_eof(self) -> None:
        """Send nothing more; receiving goes on."""
        self._out.end()
        await checkpoint()

    async def aclose(self) -> None:
        """Close this end. What was sent still arrives. Idempotent."""
        self._out.end()
        self._back.closed_by_receiver = True
        self._back.wake()
        await checkpoint()


class Wire:
    """Two ends, ``near`` and ``far``; make it inside the event loop. All settings can be changed at any time.

    Args:
        piece: most bytes that one receive gets; None for no limit.
        delay: seconds until what is sent arrives.
        buffer: bytes on the way in one direction from which on senders wait.

    Attributes:
        broken: it was cut. ``stalled``: nothing arrives, see :meth:`stall`.
    """

    def __init__(self, *, piece: int | None = None, delay: float = 0.0, buffer: int = 1 << 20) -> None:
        if piece is not None and piece < 1:
            raise ValueError(f"piece is {piece!r}, must be at least 1 byte, or None")
        self.piece = piece
        self.delay = delay
        self.buffer = buffer
        self.broken = False
        self.stalled = False
        self._ways = _Way(self), _Way(self)
        self.near = End(*self._ways)
        self.far = End(*reversed(self._ways))

    def cut(self) -> None:
        """Break it: both ends are told when they next send or receive, and what was on its way is lost."""
        self.broken = True
        self._wake()

    def stall(self) -> None:
        """Let nothing arrive, as when a cable is pulled: senders do not notice until the buffer is full."""
        self.stalled = True

    def resume(self) -> None:
        """Let arrive what was held."""
        self.stalled = False
        self._wake()

    def _wake(self) -> None:
        for way in self._ways:
            way.wake()
