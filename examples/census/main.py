"""A census of Python's own standard library, by four worker processes, one of which is killed on the way.

Run it with ``make demo``. It needs no network, no service and no argument.
"""

from __future__ import annotations

import os
import signal
import sys
import sysconfig
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anyio
from measure import measure
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from asyncmachine import FleetConfig, NodeClient, PoolConfig, Supervisor, function_pool

WORKERS = 4
TARGET = "measure:measure"
HERE = Path(__file__).parent

console = Console()


def library_files() -> list[str]:
    """Every ``.py`` file of the running Python's standard library, without installed packages."""
    root = Path(sysconfig.get_path("stdlib"))
    skipped = {"site-packages", "dist-packages"}
    return sorted(str(p) for p in root.rglob("*.py") if not skipped.intersection(p.relative_to(root).parts))


def totals(rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    """What is compared at the end."""
    sums = {"files": 0, "lines": 0, "functions": 0, "classes": 0, "unparsable": 0}
    for row in rows:
        sums["files"] += 1
        sums["unparsable"] += row["unparsable"] is not None
        for key in ("lines", "functions", "classes"):
            sums[key] += row[key]
    return sums


def kill_one(pool: Supervisor) -> str | None:
    """``kill -9`` a worker that is at work; its id, or None when none is just now."""
    for member in pool.members.values():
        if member.phase() == "busy":
            os.kill(member.pid, signal.SIGKILL)
            return member.id
    return None


async def count_with_workers(files: list[str]) -> dict[str, dict[str, Any]]:
    """The census, by a pool. Results by path."""
    found: dict[str, dict[str, Any]] = {}
    killed: str | None = None
    config = PoolConfig(min=WORKERS, max=WORKERS, warm=0)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    async with (
        function_pool(TARGET, config=config, folder=str(HERE)) as pool,
        NodeClient([pool.address], kind=TARGET) as client,
    ):
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task(f"{WORKERS} workers", total=len(files))
            # Measuring twice does no harm, so a file whose worker dies may be given to another one.
            fleet = FleetConfig(workers=WORKERS, idempotent=True)
            async with client.map(files, config=fleet) as run:
                async for outcome in run:
                    found[files[outcome.index]] = outcome.result()
                    progress.update(bar, completed=len(found))
                    if killed is None and len(found) >= len(files) // 3:
                        killed = kill_one(pool)
                        if killed is not None:
                            progress.console.print(f"kill -9 of worker {killed}, which is at work")
        console.print(
            f"workers: {pool.started} started, {pool.lost} lost; no file of {len(files)} is missing"
        )
    if killed is None or pool.lost != 1:
        raise SystemExit(f"one worker should have been killed and noticed: killed {killed}, lost {pool.lost}")
    return found


def count_alone(files: list[str]) -> dict[str, dict[str, Any]]:
    """The same, by this process alone."""
    found: dict[str, dict[str, Any]] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        for path in progress.track(files, description="alone, to compare"):
            found[path] = measure(path)
    return found


def show_longest(found: dict[str, dict[str, Any]]) -> None:
    """The ten longest functions."""
    root = sysconfig.get_path("stdlib")
    rows = [(row["longest"], path) for path, row in found.items() if row["longest"] is not None]
    table = Table("lines", "function", "where", title="The ten longest functions")
    for (length, name, line), path in sorted(rows, key=lambda row: (-row[0][0], row[1]))[:10]:
        table.add_row(str(length), name, f"{os.path.relpath(path, root)}:{line}")
    console.print(table)


def main() -> int:
    """Run the census; 0 when both counts agree."""
    # Old code warns when it is parsed: about escapes in strings, in files that are not ours.
    warnings.simplefilter("ignore")
    files = library_files()
    console.print(f"{len(files):,} files in {sysconfig.get_path('stdlib')}")
    began = time.monotonic()
    by_workers = anyio.run(count_with_workers, files)
    middle = time.monotonic()
    alone = count_alone(files)
    show_longest(by_workers)
    ours, theirs = totals(by_workers.values()), totals(alone.values())
    for key, value in ours.items():
        console.print(f"{key:<11}{value:>10,}   alone {theirs[key]:>10,}", highlight=False)
    took = f"time       {middle - began:>9.1f} s   alone {time.monotonic() - middle:>9.1f} s"
    console.print(took, highlight=False)
    if by_workers != alone:
        console.print("the two counts differ", style="red")
        return 1
    console.print("both counts agree", style="green")
    return 0


if __name__ == "__main__":
    sys.exit(main())
