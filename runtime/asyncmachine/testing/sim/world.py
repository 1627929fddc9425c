"""Runs a scenario in a simulated world, the same way each time for one seed.

::

    async def scenario(world):
        world.host("server").start(serve)       # async def serve(process): ... process.listen(1) ...
        world.host("client").start(ask)         # async def ask(process): ... process.dial("server", 1) ...
        await world.sleep(60)
        world.host("server").kill()
        ...

    simulate(scenario, seed=7)
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import anyio
from anyio.abc import TaskGroup

from asyncmachine.testing.clock import run_virtual
from asyncmachine.testing.sim.host import Host
from asyncmachine.testing.sim.loop import Gate, SimLoop
from asyncmachine.testing.sim.network import Network
from asyncmachine.testing.sim.trace import Trace

__all__ = ["Run", "Scenario", "World", "explore", "simulate"]

TAIL = 60
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")


@dataclass(frozen=True, slots=True)
class Run:
    """A simulation that went well.

    Attributes:
        trace: what happened.
        seconds: of virtual time that it took.
    """

    seed: int
    backend: str
    trace: Trace
    seconds: float


class World:
    """Hosts and the network between them, for one run.

    Attributes:
        seed: of the run.
        trace: what happens.
        hosts: by name.
        errors: texts of what was logged as an error by the library.
        can_freeze: processes can be frozen: on asyncio.
    """

    def __init__(self, seed: int, loop: SimLoop | None, trace: Trace) -> None:
        self.seed = seed
        self.trace = trace
        self.network = Network(self.trace, self.chance("network"))
        self.hosts: dict[str, Host] = {}
        self.errors: list[str] = []
        self.tasks: TaskGroup
        self.can_freeze = loop is not None
        self._loop = loop

    def chance(self, purpose: str) -> random.Random:
        """Random numbers for one purpose: more draws for one do not change those for another."""
        return random.Random(f"{self.seed}/{purpose}")  # noqa: S311 - it must be repeatable

    def host(self, name: str) -> Host:
        """The host with this name; made when it is asked for the first time."""
        host = self.hosts.get(name)
        if host is None:
            host = self.hosts[name] = Host(self, name)
        return host

    def open(self, gate: Gate) -> None:
        """Let the tasks behind *gate* go on."""
        if self._loop is not None:
            self._loop.open(gate)

    async def sleep(self, seconds: float) -> None:
        """Let time pass, in no time."""
        await anyio.sleep(seconds)

    async def run(self, scenario: Scenario) -> None:
        """Play *scenario*; all processes end with it. Used by :func:`simulate`."""
        self.trace.note("seed", str(self.seed))
        async with anyio.create_task_group() as self.tasks:
            self.tasks.start_soon(self.network.run)
            try:
                await scenario(self)
            finally:
                if self._loop is not None:
                    self._loop.open_all()
            for host in self.hosts.values():
                host.kill()
            self.tasks.cancel_scope.cancel()


Scenario: TypeAlias = Callable[[World], Awaitable[None]]


class _Log(logging.Handler):
    """Writes what the library logs to the trace. It is not part of what two runs have in common."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.WARNING)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        text = _ADDRESS.sub("0x...", record.getMessage())
        if record.exc_info and record.exc_info[1] is not None:
            text += f": {record.exc_info[1]!r}"
        self._world.trace.remark("log", f"{record.levelname} {text}")
        if record.levelno >= logging.ERROR:
            self._world.errors.append(text)


@contextmanager
def _logged(world: World) -> Iterator[None]:
    logger, handler = logging.getLogger("asyncmachine"), _Log(world)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The library spreads its attempts to connect by the common random numbers."""
    before = random.getstate()
    random.seed(f"{seed}/common")
    try:
        yield
    finally:
        random.setstate(before)


def simulate(
    scenario: Scenario,
    *,
    seed: int,
    backend: str = "asyncio",
    limit: float = 3600.0,
    replay: str = "",
    watch: Callable[[str], None] | None = None,
) -> Run:
    """Run *scenario* once. If it raises, the notes of the error say how to do that again, and what happened.

    Args:
        seed: what is drawn: the order of tasks that are ready together, latencies, sizes of packets, jitter,
            and all that the scenario draws. Two runs with one seed on one backend have one trace.
        backend: ``asyncio`` or ``trio``.
        limit: virtual seconds that it may take.
        replay: the command that runs it again; default: the one for a function of a module.
        watch: called with each line of the trace.

    Raises:
        TimeoutError: it was not over within *limit*.
        Deadlock: nothing would ever happen again.
        Livelock: it goes round and round without any time passing; on asyncio only.
        ValueError: *backend* is neither ``asyncio`` nor ``trio``.
    """
    trace = Trace(watch)
    try:
        with _seeded(seed):
            seconds = _run(scenario, seed, backend, limit, trace)
    except BaseExceptionGroup as group:
        error = _only(group)
        error.add_note(_report(scenario, seed, backend, replay, trace))
        raise error from None
    except BaseException as error:
        error.add_note(_report(scenario, seed, backend, replay, trace))
        raise
    return Run(seed, backend, trace, seconds)


def _run(scenario: Scenario, seed: int, backend: str, limit: float, trace: Trace) -> float:
    """Virtual seconds that it took."""
    loops: list[SimLoop] = []

    def new_loop() -> SimLoop:
        loops.append(SimLoop(seed))
        return loops[-1]

    async def main() -> float:
        world = World(seed, loops[-1] if loops else None, trace)
        with _logged(world), anyio.fail_after(limit):
            await world.run(scenario)
        return trace.seconds

    if backend == "asyncio":
        return anyio.run(main, backend=backend, backend_options={"loop_factory": new_loop})
    return run_virtual(main, backend=backend, seed=seed)


def _only(error: BaseException) -> BaseException:
    """The one error in groups of one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _report(scenario: Scenario, seed: int, backend: str, replay: str, trace: Trace) -> str:
    command = replay or _command(scenario, seed, backend)
    return (
        f"\nsimulation with seed {seed} on {backend} failed; to replay it:\n  {command}\n"
        f"what happened:\n{trace.tail(TAIL)}"
    )


def _command(scenario: Scenario, seed: int, backend: str) -> str:
    module, name = getattr(scenario, "__module__", ""), getattr(scenario, "__qualname__", "")
    if not name or "<" in name:  # nobody else can get hold of it
        return f"simulate({name or type(scenario).__name__}, seed={seed}, backend={backend!r})"
    if module == "__main__":
        module = getattr(scenario, "__globals__", {}).get("__file__", module)
    return f"python -m asyncmachine.testing.sim {module}:{name} --seed {seed} --backend {backend}"


def explore(
    scenario: Scenario,
    seeds: Iterable[int],
    *,
    backend: str = "asyncio",
    limit: float = 3600.0,
    replay: str = "",
) -> list[Run]:
    """Run *scenario* with each seed; see :func:`simulate`. The first that fails ends it.

    Args:
        replay: as of :func:`simulate`, with ``{seed}`` and ``{backend}`` in it.
    """
    return [
        simulate(
            scenario,
            seed=seed,
            backend=backend,
            limit=limit,
            replay=replay.format(seed=seed, backend=backend),
        )
        for seed in seeds
    ]
