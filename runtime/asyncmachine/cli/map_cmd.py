"""``am-node map``: a function over many inputs."""

from __future__ import annotations

import base64
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import anyio
import click
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
from asyncmachine.cli.mistake import Mistake
from asyncmachine.cli.pools import check_target, fixed_size, function_pool, load_path
from asyncmachine.errors import AsyncMachineError, WorkError
from asyncmachine.node.client import NodeClient, parse_address
from asyncmachine.node.fleet import FleetConfig, MapRun, Outcome

__all__ = ["map_command"]

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
SHOW_EVERY = 0.1  # seconds


@dataclass
class _Job:
    """What the command was asked to do, and how far it is."""

    target: str
    inputs: list[Any]
    workers: int
    supervisor: str | None
    fleet: FleetConfig
    out: IO[str]
    done: int = 0
    failed: int = 0
    started: int = 0
    lost: int = 0
    interrupted: bool = False
    errors: list[tuple[Any, Outcome]] = field(default_factory=list[tuple[Any, Outcome]])


@click.command("map")
@click.argument("target", metavar="PKG.MOD:FUNC")
@click.argument("inputs", nargs=-1)
@click.option(
    "--glob", "globs", multiple=True, metavar="G", help="Add the paths that match, e.g. 'src/**/*.py'."
)
@click.option("--stdin", "from_stdin", is_flag=True, help="Add every line of the standard input.")
@click.option("--json", "as_json", is_flag=True, help="Inputs are JSON values, not text.")
@click.option(
    "--workers", type=click.IntRange(1, 256), default=None, help="Worker processes; default: one per CPU."
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write results here, else to stdout."
)
@click.option("--supervisor", metavar="HOST:PORT", help="Use this pool instead of one of our own.")
@click.option(
    "--idempotent", is_flag=True, help="An input whose worker died may be run again (at most twice)."
)
@click.option("--deadline", type=click.FloatRange(0.001), help="Seconds that one input may take.")
def map_command(
    target: str,
    inputs: tuple[str, ...],
    workers: int | None,
    out: Path | None,
    supervisor: str | None,
    **options: Any,
) -> None:
    r"""Run FUNC on every input, in a pool of worker processes.

    Inputs are arguments, matches of --glob, and lines of --stdin, in this order. Results are written as
    JSON lines, as they come: {"index", "input", "value"} or {"index", "input", "error"}.

    \b
    Exit code: 0 all done, 1 some failed, 2 nothing was started, 130 interrupted (what is done is kept).

    \b
    Examples:
      am-node map math:sqrt 2 3 4 --json
      am-node map os.path:getsize --glob '/usr/lib/python3*/*.py' --workers 4 --out sizes.jsonl
      ls | am-node map os.path:abspath --stdin
    """
    load_path()
    try:
        check_target(target)
        if supervisor is not None:
            parse_address(supervisor)
        values = _inputs(inputs, options["globs"], options["from_stdin"], options["as_json"])
    except (AsyncMachineError, ValueError) as error:
        raise Mistake(str(error)) from None
    if not values:
        raise click.UsageError("no inputs; give some as arguments, with --glob or with --stdin")
    count = min(workers or os.cpu_count() or 1, len(values))
    fleet = FleetConfig(workers=count, idempotent=options["idempotent"], deadline=options["deadline"])
    with ExitStack() as stack:
        stream = stack.enter_context(out.open("w", encoding="utf-8")) if out is not None else sys.stdout
        job = _Job(target, values, count, supervisor, fleet, stream)
        raise SystemExit(_execute(job))


def _inputs(given: Sequence[str], globs: Sequence[str], from_stdin: bool, as_json: bool) -> list[Any]:
    def texts() -> Iterator[str]:
        yield from given
        for pattern in globs:
            root = Path(pattern).anchor
            matches = Path(root or ".").glob(pattern.removeprefix(root))
            yield from sorted(str(path) for path in matches)
        if from_stdin:
            yield from (line.rstrip("\n") for line in sys.stdin)

    if not as_json:
        return list(texts())
    values: list[Any] = []
    for text in texts():
        try:
            values.append(json.loads(text))
        except json.JSONDecodeError as error:
            raise ValueError(f"input {text!r} is not JSON: {error}") from None
    return values


class _OneLine(logging.Handler):
    """What happens to workers, above the progress bar, a line each: the whole story is in the outcomes."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """See the base."""
        text = record.getMessage().partition("\n")[0]
        self._console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _execute(job: _Job) -> int:
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


async def _run(job: _Job, console: Console) -> None:
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


async def _interrupt(job: _Job, tasks: TaskGroup) -> None:
    """The first Ctrl-C or SIGTERM ends the map in good order; what is done is kept."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
        async for _ in received:
            job.interrupted = True
            tasks.cancel_scope.cancel()


async def _map(job: _Job, progress: Progress, bar: TaskID) -> None:
    async with AsyncExitStack() as stack:
        pool = function_pool(job.target, config=fixed_size(job.workers)) if job.supervisor is None else None
        run: MapRun | None = None
        try:
            if pool is not None:
                await stack.enter_async_context(pool)
            address = pool.address if pool is not None else str(job.supervisor)
            client = await stack.enter_async_context(NodeClient([address], kind=job.target))
            run = await stack.enter_async_context(client.map(job.inputs, config=job.fleet))
            async for outcome in run:
                _record(job, outcome)
        finally:
            _show(job, progress, bar)
            if pool is not None:
                job.started, job.lost = pool.started, pool.lost
            elif run is not None:
                job.lost = len(run.lost)


def _show(job: _Job, progress: Progress, bar: TaskID) -> None:
    """Bring the bar and the results up to date. Not for each of them: it would cost more than short work."""
    note = f"{job.failed} failed" if job.failed else ""
    progress.update(bar, completed=job.done + job.failed, note=note)
    job.out.flush()


async def _keep_showing(job: _Job, progress: Progress, bar: TaskID) -> None:
    while True:
        await anyio.sleep(SHOW_EVERY)
        _show(job, progress, bar)


def _record(job: _Job, outcome: Outcome) -> None:
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
