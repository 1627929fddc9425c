"""Connections of the simulated network: two directions, two ends, and what can happen to them.

A connection is as TCP is: bytes keep their order and are never changed; they are late, cut into any pieces,
held while the way is blocked, and lost when the connection breaks. Each direction has room for a limited
number of bytes that were not received, beyond which senders wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
from anyio.abc import SocketAttribute
from anyio.lowlevel import checkpoint

if TYPE_CHECKING:
    from asyncmachine.testing.sim.host import Process
    from asyncmachine.testing.sim.network import Network

__all__ = ["Connection", "End", "Pipe", "Tap"]

Tap: TypeAlias = "Callable[[Connection, End, bytes], str]"
"""Called with what an end sends, before it is on its way; what it says about it is written to the trace."""

_MOST_PIECES = 40
"""Of one send, however small the pieces: large payloads would take for ever."""


class End:
    """One end of a connection: a byte stream as those of anyio are.

    Attributes:
        process: whose it is.
        closed: by its process, or with it.
        broken: a reset arrived, or nothing was acknowledged for too long.
    """

    def __init__(self, connection: Connection, process: Process) -> None:
        self.connection = connection
        self.process = process
        self.closed = False
        self.broken = False
        self.out: Pipe
        self.into: Pipe
        self._changed: anyio.Event | None = None

    @property
    def peer(self) -> End:
        """The other end."""
        return self.out.receiver

    @property
    def gone(self) -> bool:
        """Nobody is there to receive: what arrives is answered by a reset."""
        return self.closed or self.broken or not self.process.alive

    def wake(self) -> None:
        """Something has changed."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def _wait(self) -> None:
        if self._changed is None:
            self._changed = anyio.Event()
        await self._changed.wait()
        await self.process.proceed()

    async def _enter(self) -> None:
        await checkpoint()
        await self.process.proceed()

    def _check(self) -> None:
        if self.closed:
            raise anyio.ClosedResourceError
        if self.broken:
            raise anyio.BrokenResourceError

    async def send(self, item: bytes, /) -> None:
        """Send all of it; waits while there is no room.

        Raises:
            ClosedResourceError: this end is closed, or has sent its end.
            BrokenResourceError: the connection is broken.
        """
        await self._enter()
        self._check()
        if self.out.ended:
            raise anyio.ClosedResourceError
        self.connection.tell(self, item)
        at = 0
        while at < len(item):
            room = self.out.room
            if room <= 0:
                await self._wait()
                self._check()
                continue
            self.out.put(item[at : at + room])
            at += room

    def write_some(self, data: bytes) -> int:
        """Send what can be sent without waiting: how many bytes. Sometimes less than there is room for.

        Raises:
            OSError: it is full, closed or broken.
        """
        chance = self.connection.network.chance
        room = min(self.out.room, len(data))
        if room > 0 and chance.random() < 0.25:
            room = chance.randint(0, room)
        if room <= 0 or self.gone or self.out.ended:
            raise BlockingIOError(f"{self} takes nothing now")
        self.connection.tell(self, data[:room])
        self.out.put(data[:room])
        return room

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """What has arrived, at least one byte.

        Raises:
            EndOfStream: the other end sends nothing more.
            ClosedResourceError, BrokenResourceError: as for :meth:`send`.
        """
        await self._enter()
        pace = self.process.host.reading
        if pace is not None:
            await anyio.sleep(pace[0])
            max_bytes = min(max_bytes, pace[1])
        while True:
            if self.into.inbox and not self.closed:
                return self.into.take(max_bytes)
            self._check()
            if self.into.finished:
                raise anyio.EndOfStream
            await self._wait()

    async def send_eof(self) -> None:
        """Send nothing more; receiving goes on."""
        await checkpoint()
        if self.process.alive and not self.broken:
            self.out.end()

    async def aclose(self) -> None:
        """Close this end. What was sent still arrives, unless bytes were not received here. Idempotent."""
        await checkpoint()
        if self.process.alive:
            self.drop()

    def drop(self) -> None:
        """Close without waiting, as the operating system does for a process that has ended."""
        if self.closed:
            return
        self.closed = True
        self.wake()
        if self.broken:
            return
        if self.into.inbox:
            self.out.discard()
            self.connection.reset_later(self.peer)
        else:
            self.out.end()

    def fail(self) -> None:
        """A reset has arrived, or the operating system has given up."""
        if not self.closed and not self.broken:
            self.broken = True
            self.out.discard()
            if self.connection.network.chance.random() < 0.5:
                self.into.inbox.clear()  # some systems let it be read, some do not
            self.connection.network.trace.note("broken", f"{self}")
        self.wake()

    def extra(self, attribute: Any, default: Any = None) -> Any:
        """The addresses, as of an anyio stream; *default* for other attributes."""
        if attribute is SocketAttribute.remote_address:
            return self.peer.process.host.name, self.connection.number
        if attribute is SocketAttribute.local_address:
            return self.process.host.name, self.connection.number
        return default

    def __str__(self) -> str:
        return f"#{self.connection.number} {self.process.host.name}"


class Pipe:
    """One direction of a connection.

    Attributes:
        inbox: has arrived, and was not received.
        ended: the sender has sent its end. ``finished``: it has arrived.
        held: something should have arrived, but the way is blocked.
    """

    def __init__(self, network: Network, sender: End, receiver: End) -> None:
        self.network = network
        self.sender, self.receiver = sender, receiver
        self.inbox = bytearray()
        self.ended = self.finished = self.held = False
        self._flight: deque[tuple[float, bytes]] = deque()  # when it arrives, and what; b"" is the end
        self._in_flight = 0
        self._free_at = 0.0  # when the last byte has left, at a limited rate
        self._unacknowledged: float | None = None  # since when

    @property
    def room(self) -> int:
        """Bytes that a sender may add now."""
        return self.network.buffer - self._in_flight - len(self.inbox)

    def put(self, data: bytes) -> None:
        """Put it on its way."""
        link = self.network.link(self.sender.process.host, self.receiver.process.host)
        most = max(link.piece or len(data), len(data) // _MOST_PIECES, 1)
        at = 0
        while at < len(data):
            size = most if link.piece is None else self.network.chance.randint(1, most)
            self._schedule(data[at : at + size])
            at += size

    def end(self) -> None:
        """Put the end on its way. Idempotent."""
        if not self.ended:
            self.ended = True
            self._schedule(b"")

    def _schedule(self, piece: bytes) -> None:
        network, now = self.network, anyio.current_time()
        link = network.link(self.sender.process.host, self.receiver.process.host)
        leaves = max(now, self._free_at)
        if link.rate is not None:
            leaves += len(piece) / link.rate
        self._free_at = leaves
        due = leaves + network.draw_latency(link)
        if self._flight:
            due = max(due, self._flight[-1][0])
        self._flight.append((due, piece))
        self._in_flight += len(piece)
        network.at(due, self.pump)
        if self._unacknowledged is None:
            self._unacknowledged = now
            network.at(now + network.user_timeout, self._check_acknowledged)

    def pump(self) -> None:
        """Deliver what is due, unless the way is blocked."""
        network, now = self.network, anyio.current_time()
        here, there = self.sender.process.host, self.receiver.process.host
        while self._flight and self._flight[0][0] <= now:
            if network.blocked(here, there):
                self.held = True
                return
            piece = self._flight.popleft()[1]
            self._in_flight -= len(piece)
            if self.receiver.gone:
                self.discard()
                if piece or not self.receiver.closed:
                    self.sender.connection.reset_later(self.sender)
                return
            self._arrive(piece)
            if not network.blocked(there, here):
                self._unacknowledged = now if self._flight else None

    def _arrive(self, piece: bytes) -> None:
        if piece:
            self.inbox += piece
            self.network.trace.note("arrive", f"{self.receiver} {len(piece)} B")
        else:
            self.finished = True
            self.network.trace.note("arrive", f"{self.receiver} end")
        self.receiver.wake()

    def settle(self) -> None:
        """Links have changed: send again what was held if the way is free, acknowledge if the way back is."""
        network = self.network
        here, there = self.sender.process.host, self.receiver.process.host
        if network.blocked(here, there):
            return
        if self.held:
            self.held = False
            network.at(anyio.current_time() + network.draw_retransmit(), self.pump)
        if not self._flight and not network.blocked(there, here):
            self._unacknowledged = None

    def _check_acknowledged(self) -> None:
        since, network = self._unacknowledged, self.network
        if since is None or self.sender.gone:
            return
        due = since + network.user_timeout
        if anyio.current_time() < due - 1e-9:
            network.at(due, self._check_acknowledged)
        else:
            network.trace.note("timeout", f"{self.sender}: nothing acknowledged")
            self.sender.fail()

    def take(self, most: int) -> bytes:
        """Receive up to *most* bytes of what has arrived."""
        data = bytes(self.inbox[:most])
        del self.inbox[:most]
        self.sender.wake()
        return data

    def discard(self) -> None:
        """Lose what is on its way."""
        self._flight.clear()
        self._in_flight = 0
        self._unacknowledged = None
        self.sender.wake()

    def tear(self, ends: bool) -> None:
        """Let a part of what is on its way arrive now, lose the rest.

        Args:
            ends: the end arrives after it, as if the sender had said no more.
        """
        if self.receiver.gone:
            return
        whole = b"".join(piece for _, piece in self._flight)
        part = whole[: self.network.chance.randint(0, len(whole))]
        self.discard()
        if part:
            self._arrive(part)
        if ends and not self.finished:
            self.ended = True
            self._arrive(b"")


class Connection:
    """Two ends.

    Attributes:
        number: in the order in which they were opened, from 1 on.
        ends: of who has connected, and of who has accepted.
    """

    def __init__(self, network: Network, number: int, caller: Process, callee: Process) -> None:
        self.network = network
        self.number = number
        self.ends = near, far = End(self, caller), End(self, callee)
        there, back = Pipe(network, near, far), Pipe(network, far, near)
        near.out, near.into = there, back
        far.out, far.into = back, there
        self.pipes = there, back

    @property
    def over(self) -> bool:
        """Neither end will hear of it any more."""
        return all(end.gone for end in self.ends)

    def tell(self, end: End, data: bytes) -> None:
        """An end is about to send."""
        texts = [tap(self, end, data) for tap in self.network.taps]
        self.network.trace.note("send", " ".join([f"{end} {len(data)} B", *filter(None, texts)]))

    def reset_later(self, end: End) -> None:
        """A reset is on its way to *end*; it may never arrive."""
        network = self.network
        here, there = end.peer.process.host, end.process.host

        def arrive() -> None:
            if not network.blocked(here, there):
                end.fail()

        network.at(anyio.current_time() + network.draw_latency(network.link(here, there)), arrive)

    def reset(self, *, half: bool = False) -> None:
        """Break it, with a part of what is on its way delivered before.

        Args:
            half: only one of the ends hears of it.
        """
        self.network.trace.note("reset", f"#{self.number}{' half' if half else ''}")
        for pipe in self.pipes:
            pipe.tear(ends=False)
        ends = [self.network.chance.choice(self.ends)] if half else self.ends
        for end in ends:
            end.fail()

    def truncate(self) -> None:
        """Let both ends receive a part of what is on its way, and then the end."""
        self.network.trace.note("truncate", f"#{self.number}")
        for pipe in self.pipes:
            pipe.tear(ends=True)
