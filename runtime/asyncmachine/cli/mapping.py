"""A run of ``am-node map``: the pool, the bar, the results as they come, the summary."""

from __future__ import annotations

import base64
import json
import logging
import signal
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import IO, TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskGroup

from asyncmachine._perform import TaskOwner
from asyncmachine.cli.display import Display, display
from asyncmachine.errors import AsyncMachineError, WorkError
from asyncmachine.node.client import NodeClient
from asyncmachine.node.fleet import FleetConfig, MapRun, Outcome
from asyncmachine.node.launchers.prefork import ForkServer

if TYPE_CHECKING:
    from asyncmachine.node.supervisor import Supervisor

__all__ = ["Job", "execute"]

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
SHOW_EVERY = 0.1  # seconds


@dataclass(kw_only=True)
class Job:
    """What the command was asked to do, and how far it is."""

    target: str
    inputs: list[Any]
    workers: int
    out: IO[str]
    supervisor: str | None
    launcher: str
    server: ForkServer | None
    idempotent: bool
    deadline: float | None
    done: int = 0
    failed: int = 0
    started: int = 0
    lost: int = 0
    interrupted: bool = False
    errors: list[tuple[Any, Outcome]] = field(default_factory=list[tuple[Any, Outcome]])


class _OneLine(logging.Handler):
    """What happens to workers, above the progress bar, a line each: the whole story is in the outcomes."""

    def __init__(self, screen: Display) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        """See the base."""
        self._screen.line(record.getMessage().partition("\n")[0], "yellow")


def execute(job: Job) -> int:
    """Do it all; returns the exit code of the command."""
    screen = display(job.target, len(job.inputs))
    logger, handler = logging.getLogger("asyncmachine"), _OneLine(screen)
    logger.addHandler(handler)
    began = time.monotonic()
    stopped: Exception | None = None
    try:
        anyio.run(partial(_run, job, screen))
    except (AsyncMachineError, OSError) as error:
        stopped = error
    finally:
        logger.removeHandler(handler)
    for value, outcome in job.errors[:20]:
        screen.line(_describe(value, outcome), "red")
    if stopped is not None:
        screen.line(f"am-node map: {stopped}", "red")
    if len(job.errors) > 20:
        screen.line(f"... and {len(job.errors) - 20} more", "red")
    screen.line(f"{_summary(job)}; {time.monotonic() - began:.2f} s")
    if job.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_FAILED if job.failed or stopped is not None else 0


def _summary(job: Job) -> str:
    text = f"{job.done:,} done, {job.failed:,} failed"
    if left := len(job.inputs) - job.done - job.failed:
        text += f", {left:,} not done"
    if job.supervisor is None:
        return f"{text}; workers: {job.started} started, {job.lost} lost"
    return f"{text}; workers: {job.lost} lost"


async def _run(job: Job, screen: Display) -> None:
    async with TaskOwner() as tasks:
        tasks.start_soon(_interrupt, job, tasks)
        with screen:
            tasks.start_soon(_keep_showing, job, screen)
            await _map(job, screen)
        tasks.cancel_scope.cancel()


async def _interrupt(job: Job, tasks: TaskGroup) -> None:
    """The first Ctrl-C or SIGTERM ends the map in good order; what is done is kept."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
        async for _ in received:
            job.interrupted = True
            tasks.cancel_scope.cancel()


async def _map(job: Job, screen: Display) -> None:
    async with AsyncExitStack() as stack:
        pool = _pool(job) if job.supervisor is None else None
        fleet = FleetConfig(workers=job.workers, idempotent=job.idempotent, deadline=job.deadline)
        run: MapRun | None = None
        try:
            if pool is not None:
                await stack.enter_async_context(pool)
            address = pool.address if pool is not None else str(job.supervisor)
            client = await stack.enter_async_context(NodeClient([address], kind=job.target))
            run = await stack.enter_async_context(client.map(job.inputs, config=fleet))
            async for outcome in run:
                _record(job, outcome)
        finally:
            _show(job, screen)
            if pool is not None:
                job.started, job.lost = pool.started, pool.lost
            elif run is not None:
                job.lost = len(run.lost)


def _pool(job: Job) -> Supervisor:
    from asyncmachine.cli.pools import fixed_size, function_pool, launcher_of  # noqa: PLC0415 - half of the start

    launcher = launcher_of(job.launcher, job.server)
    return function_pool(job.target, config=fixed_size(job.workers), launcher=launcher)


def _show(job: Job, screen: Display) -> None:
    """Bring the bar and the results up to date. Not for each of them: it would cost more than short work."""
    screen.show(job.done + job.failed, f"{job.failed} failed" if job.failed else "")
    job.out.flush()


async def _keep_showing(job: Job, screen: Display) -> None:
    while True:
        await anyio.sleep(SHOW_EVERY)
        _show(job, screen)


def _record(job: Job, outcome: Outcome) -> None:
    value = job.inputs[outcome.index]
    row: dict[str, Any] = {"index": outcome.index, "input": value}
    if outcome.error is None:
        job.done += 1
        row["value"] = outcome.value
    else:
        job.failed += 1
        job.errors.append((value, outcome))
        error = outcome.error
        row["error"] = {"kind": type(error).__name__, "message": str(error), "worker": outcome.worker}
        if isinstance(error, WorkError):
            row["error"] |= {"kind": error.kind, "message": error.message, "traceback": error.traceback}
    job.out.write(json.dumps(row, default=_bytes) + "\n")


def _bytes(value: object) -> object:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _describe(value: Any, outcome: Outcome) -> str:
    error = outcome.error
    if isinstance(error, WorkError) and error.traceback:
        return f"input {value!r}:\n{error.traceback.rstrip()}"
    return f"input {value!r}: {type(error).__name__}: {error}"
