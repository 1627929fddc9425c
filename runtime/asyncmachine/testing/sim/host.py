"""Simulated computers, and the processes that live and die on them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

import anyio

from asyncmachine.testing.sim.loop import GATE, Gate
from asyncmachine.testing.sim.pipe import End

if TYPE_CHECKING:
    from asyncmachine.testing.sim.network import Listener
    from asyncmachine.testing.sim.world import World

__all__ = ["Host", "Main", "Process"]


class Process:
    """One life of a program on a host. What it leaves in memory when it ends is nobody's any more.

    Attributes:
        host: where it runs.
        life: 1 for the first process of the host, and so on.
        alive: it has not ended. The tasks of one that was killed are cancelled, and what they still say
            reaches no one.
    """

    def __init__(self, host: Host, life: int) -> None:
        self.host = host
        self.life = life
        self.alive = True
        self._gate = Gate()
        self._scope = anyio.CancelScope()

    @property
    def frozen(self) -> bool:
        """It is stopped, as by SIGSTOP: it does nothing, and its timers are late."""
        return self._gate.shut

    async def proceed(self) -> None:
        """Go on if it is alive; else wait for the end of the task."""
        if not self.alive:
            await anyio.sleep_forever()

    async def connect(self, host: str, port: int) -> End:
        """Open a connection to a port of a host. Waits while nothing gets through.

        Raises:
            ConnectionRefusedError: nobody listens there.
            KeyError: there is no such host.
        """
        world = self.host.world
        return await world.network.connect(self, world.hosts[host], port)

    def dial(self, host: str, port: int) -> Callable[[], Awaitable[End]]:
        """What a ``Client`` takes to connect with."""
        return lambda: self.connect(host, port)

    def listen(self, port: int) -> Listener:
        """Take connections; what ``Server.serve`` takes. Ends with the process.

        Raises:
            OSError: the port is taken.
        """
        return self.host.world.network.listen(self, port)

    def __str__(self) -> str:
        return f"{self.host.name}/{self.life}"


Main: TypeAlias = Callable[[Process], Awaitable[None]]
"""A program. If it raises, the simulation has failed."""


class Host:
    """A computer. It runs one program, of which one process at a time.

    Attributes:
        name: by which others connect to it.
        process: the last one, or None before the first.
        up: it has power.
        no_files: it has no file descriptors left: nothing can be accepted.
        reading: seconds before each receive, and most bytes of one, of its processes; or None.
    """

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.process: Process | None = None
        self.up = True
        self.no_files = False
        self.reading: tuple[float, int] | None = None
        self._main: Main | None = None

    @property
    def running(self) -> bool:
        """A process is alive, frozen or not."""
        return self.process is not None and self.process.alive

    def start(self, main: Main | None = None) -> Process:
        """Start its program, which the first start names.

        Raises:
            RuntimeError: it runs already, or there is none.
        """
        self._main = main or self._main
        if self.running or self._main is None:
            raise RuntimeError(f"host {self.name}: {'runs already' if self.running else 'has no program'}")
        life = self.process.life + 1 if self.process is not None else 1
        self.process = process = Process(self, life)
        if not self.up:
            self.up = True
            self.world.network.settle()
        self.world.trace.note("start", str(process))
        before = GATE.set(process._gate)
        try:
            self.world.tasks.start_soon(self._live, self._main, process, name=str(process))
        finally:
            GATE.reset(before)
        return process

    async def _live(self, main: Main, process: Process) -> None:
        with process._scope:
            await process.proceed()  # it may have been killed before it began
            await main(process)
        if process.alive:
            self._end(process, silently=False, how="exit")

    def kill(self) -> None:
        """End the process, as SIGKILL does; its operating system closes its connections. Idempotent."""
        self._kill(silently=False, how="kill")

    def power_off(self) -> None:
        """End the process, and tell nobody, until the host is started again. Idempotent."""
        self._kill(silently=True, how="power off")
        self.up = False

    def _kill(self, *, silently: bool, how: str) -> None:
        process = self.process
        if process is not None and process.alive:
            self._end(process, silently=silently, how=how)
            self.world.open(process._gate)
            process._scope.cancel()

    def _end(self, process: Process, *, silently: bool, how: str) -> None:
        process.alive = False
        self.world.trace.note("end", f"{process} {how}")
        self.world.network.end_process(process, silently=silently)

    def freeze(self) -> None:
        """Stop the process, as SIGSTOP does. Its host still acknowledges what arrives.

        Raises:
            RuntimeError: on trio, whose tasks cannot be stopped; see ``World.can_freeze``.
        """
        if not self.world.can_freeze:
            raise RuntimeError(f"host {self.name}: processes can be frozen on asyncio only")
        process = self.process
        if process is not None and process.alive and not process.frozen:
            self.world.trace.note("freeze", str(process))
            process._gate.shut = True

    def thaw(self) -> None:
        """Let the process go on: all its timers that were due fire at once. Idempotent."""
        process = self.process
        if process is not None and process.frozen:
            self.world.trace.note("thaw", str(process))
            self.world.open(process._gate)
