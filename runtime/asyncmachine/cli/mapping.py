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
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from asyncmachine._perform import TaskOwner
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

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """See the base."""
        text = record.getMessage().partition("\n")[0]
        self._console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)


def execute(job: Job) -> int:
    """Do it all; returns the exit code of the command."""
    console = Console(stderr=True)
    logging.getLogger("asyncmachine").addHandler(_OneLine(console))
    began = time.monotonic()
    stopped: Exception | None = None
    try:
        anyio.run(partial(_run, job, console))
    except (AsyncMachineError, OSError) as error:
        stopped = error
    for value, outcome in job.errors[:20]:
        console.print(_describe(value, outcome), style="red", markup=False, highlight=False, soft_wrap=True)
    if stopped is not None:
        console.print(f"am-node map: {stopped}", style="red", markup=False, highlight=False, soft_wrap=True)
    if len(job.errors) > 20:
        console.print(f"... and {len(job.errors) - 20} more", style="red")
    left = len(job.inputs) - job.done - job.failed
    text = f"{job.done:,} done, {job.failed:,} failed"
    if left:
        text += f", {left:,} not done"
    if job.supervisor is None:
        text += f"; workers: {job.started} started, {job.lost} lost"
    else:
        text += f"; workers: {job.lost} lost"
    console.print(f"{text}; {time.monotonic() - began:.2f} s", highlight=False)
    if job.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_FAILED if job.failed or stopped is not None else 0


async def _run(job: Job, console: Console) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    async with TaskOwner() as tasks:
        tasks.start_soon(_interrupt, job, tasks)
        with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
            bar = progress.add_task(job.target, total=len(job.inputs), note="")
            tasks.start_soon(_keep_showing, job, progress, bar)
            await _map(job, progress, bar)
        tasks.cancel_scope.cancel()


async def _interrupt(job: Job, tasks: TaskGroup) -> None:
    """The first Ctrl-C or SIGTERM ends the map in good order; what is done is kept."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
        async for _ in received:
            job.interrupted = True
            tasks.cancel_scope.cancel()


async def _map(job: Job, progress: Progress, bar: TaskID) -> None:
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
            _show(job, progress, bar)
            if pool is not None:
                job.started, job.lost = pool.started, pool.lost
            elif run is not None:
                job.lost = len(run.lost)


def _pool(job: Job) -> Supervisor:
    from asyncmachine.cli.pools import fixed_size, function_pool, launcher_of  # noqa: PLC0415 - half of the start

    launcher = launcher_of(job.launcher, job.server)
    return function_pool(job.target, config=fixed_size(job.workers), launcher=launcher)


def _show(job: Job, progress: Progress, bar: TaskID) -> None:
    """Bring the bar and the results up to date. Not for each of them: it would cost more than short work."""
    note = f"{job.failed} failed" if job.failed else ""
    progress.update(bar, completed=job.done + job.failed, note=note)
    job.out.flush()


async def _keep_showing(job: Job, progress: Progress, bar: TaskID) -> None:
    while True:
        await anyio.sleep(SHOW_EVERY)
        _show(job, progress, bar)


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
