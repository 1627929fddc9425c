"""The simulated network: hosts that reach each other over links, each of which can be disturbed."""

from __future__ import annotations

import errno
import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import checkpoint

from asyncmachine.testing.sim.pipe import Connection, End, Tap
from asyncmachine.testing.sim.trace import Trace

if TYPE_CHECKING:
    from asyncmachine.testing.sim.host import Host, Process

__all__ = ["Link", "Listener", "Network"]

_BACKLOG = 16


@dataclass(slots=True)
class Link:
    """One way from one host to another.

    Attributes:
        latency: mean of the seconds that a packet takes; each takes its own time.
        rate: bytes per second, or None for no limit.
        piece: most bytes of a packet; each has a random size up to it. None: as they were sent.
        blocked: nothing gets through.
    """

    latency: float = 0.005
    rate: float | None = None
    piece: int | None = None
    blocked: bool = False


class Listener:
    """Where a process takes connections; as a listener of anyio."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port
        self.closed = False
        self._waiting: deque[End] = deque()
        self._changed: anyio.Event | None = None

    @property
    def full(self) -> bool:
        """Too many connections wait to be accepted."""
        return len(self._waiting) >= _BACKLOG

    def offer(self, end: End) -> None:
        """A connection has arrived."""
        self._waiting.append(end)
        self._wake()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def accept(self) -> End:
        """The next connection.

        Raises:
            OSError: the host has no file descriptors left; the connection goes on waiting.
            ClosedResourceError: the listener is closed.
        """
        await checkpoint()
        await self.process.proceed()
        while not self._waiting:
            if self.closed:
                raise anyio.ClosedResourceError
            if self._changed is None:
                self._changed = anyio.Event()
            await self._changed.wait()
            await self.process.proceed()
        if self.process.host.no_files:
            raise OSError(errno.EMFILE, "too many open files")
        return self._waiting.popleft()

    async def aclose(self) -> None:
        """Take no more connections; those that wait are reset."""
        await checkpoint()
        if self.process.alive:
            self.drop()

    def drop(self) -> None:
        """Close without waiting."""
        self.closed = True
        while self._waiting:
            end = self._waiting.popleft()
            end.closed = True
            end.connection.reset_later(end.peer)
        self._wake()


class Network:
    """Carries bytes between hosts. Made by the world.

    Attributes:
        normal: what a link is like when nothing disturbs it; for links that are not used yet.
        chance: where latencies and sizes of packets are drawn from.
        buffer: bytes of one direction of a connection that wait to be received, at most.
        user_timeout: seconds without acknowledgement after which a sender finds its connection broken.
        taps: see :data:`~asyncmachine.testing.sim.pipe.Tap`.
        connections: that are not over, oldest first.
    """

    def __init__(self, trace: Trace, chance: random.Random) -> None:
        self.trace = trace
        self.chance = chance
        self.normal = Link()
        self.buffer = 256 * 1024
        self.user_timeout = 15.0
        self.taps: list[Tap] = []
        self.connections: list[Connection] = []
        self._links: dict[tuple[Host, Host], Link] = {}
        self._ports: dict[tuple[Host, int], Listener] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = 0
        self._opened = 0
        self._changed: anyio.Event | None = None

    # -- time ----------------------------------------------------------------------------------

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do it at that time; actions of one time are done in the order in which they came."""
        self._numbers += 1
        heapq.heappush(self._events, (when, self._numbers, action))
        if self._events[0][1] == self._numbers and self._changed is not None:
            self._changed.set()

    async def run(self) -> None:
        """Do what is due, for ever."""
        while True:
            due = self._events[0][0] if self._events else math.inf
            if due <= anyio.current_time():
                heapq.heappop(self._events)[2]()
                continue
            self._changed = anyio.Event()
            with anyio.CancelScope(deadline=due):
                await self._changed.wait()
            self._changed = None

    # -- links ---------------------------------------------------------------------------------

    def link(self, here: Host, there: Host) -> Link:
        """The way from *here* to *there*, to be looked at or disturbed."""
        link = self._links.get((here, there))
        if link is None:
            link = self._links[here, there] = replace(self.normal)
        return link

    def links(self) -> list[Link]:
        """All that were used or disturbed."""
        return list(self._links.values())

    def blocked(self, here: Host, there: Host) -> bool:
        """Whether nothing gets from *here* to *there*."""
        return not there.up or not here.up or self.link(here, there).blocked

    def draw_latency(self, link: Link) -> float:
        """Seconds that the next packet takes: never less than a quarter of the mean."""
        return link.latency * (0.25 + self.chance.expovariate(4 / 3))

    def draw_retransmit(self) -> float:
        """Seconds until a packet that was lost is sent again."""
        return self.chance.uniform(0.01, 0.5)

    def settle(self) -> None:
        """Links or hosts have changed: let what was held go on where it can."""
        for connection in self.connections:
            for pipe in connection.pipes:
                pipe.settle()

    # -- connections ---------------------------------------------------------------------------

    def listen(self, process: Process, port: int) -> Listener:
        """Take connections to *port* of the host of *process*.

        Raises:
            OSError: the port is taken.
        """
        key = process.host, port
        other = self._ports.get(key)
        if not process.alive:
            return Listener(process, port)  # which nobody ever reaches
        if other is not None and not other.closed:
            raise OSError(errno.EADDRINUSE, f"port {port} of {process.host.name} is in use")
        listener = self._ports[key] = Listener(process, port)
        self.trace.note("listen", f"{process.host.name}:{port}")
        return listener

    async def connect(self, process: Process, there: Host, port: int) -> End:
        """Open a connection, as a client does. Waits for ever while nothing gets through.

        Raises:
            ConnectionRefusedError: nobody listens.
        """
        here = process.host
        await checkpoint()
        await process.proceed()
        pause = 1.0
        while True:
            await anyio.sleep(self.draw_latency(self.link(here, there)))
            listener = self._ports.get((there, port))
            if self.blocked(here, there) or (listener is not None and listener.full):
                await anyio.sleep(pause)
                pause *= 2
                continue
            break
        if listener is None or listener.closed:
            await self._answer(there, here)
            self.trace.note("refused", f"{here.name} by {there.name}:{port}")
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"nobody listens on {there.name}:{port}")
        self._opened += 1
        connection = Connection(self, self._opened, process, listener.process)
        self.connections = [one for one in self.connections if not one.over]
        self.connections.append(connection)
        self.trace.note("connect", f"#{self._opened} {here.name} to {there.name}:{port}")
        near, far = connection.ends
        listener.offer(far)
        try:
            await self._answer(there, here)
        except anyio.get_cancelled_exc_class():
            if process.alive:
                near.drop()
            raise
        return near

    async def _answer(self, there: Host, here: Host) -> None:
        """The answer to the first packet comes back; it is sent again until it does."""
        latency = self.draw_latency(self.link(there, here))
        while True:
            await anyio.sleep(latency)
            if not self.blocked(there, here):
                break
            latency = 1.0

    def end_process(self, process: Process, *, silently: bool) -> None:
        """A process has ended: its connections are closed.

        Args:
            silently: its host has lost power: nobody is told.
        """
        for listener in self._ports.values():
            if listener.process is process:
                if silently:
                    listener.closed = True
                else:
                    listener.drop()
        for connection in self.connections:
            for end in connection.ends:
                if end.process is process:
                    if silently:
                        end.closed = True
                        end.out.discard()
                    else:
                        end.drop()
