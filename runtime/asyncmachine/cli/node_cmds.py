"""``am-node supervisor``, ``worker`` and ``status``."""

from __future__ import annotations

import signal
import sys
from functools import partial
from typing import Any

import anyio
import click
from rich.console import Console
from rich.table import Table

from asyncmachine.cli.exits import show_exits
from asyncmachine.cli.mistake import Mistake
from asyncmachine.cli.pools import function_pool, launcher_of
from asyncmachine.cli.start import LAUNCHERS, default_launcher
from asyncmachine.cli.worker import main as run_worker
from asyncmachine.errors import AsyncMachineError
from asyncmachine.node.args import PoolStatus
from asyncmachine.node.client import ClientConfig, NodeClient
from asyncmachine.node.config import PoolConfig
from asyncmachine.node.exits import ExitReport
from asyncmachine.node.supervisor import Supervisor
from asyncmachine.node.targets import load_function, load_path, parse_address

__all__ = ["status", "supervisor", "worker"]


@click.command()
@click.argument("target", metavar="PKG.MOD:FUNC")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; loopback only.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=7070, show_default=True, help="0: any free one."
)
@click.option("--min", type=click.IntRange(0), default=2, show_default=True, help="Workers at least.")
@click.option("--max", type=click.IntRange(1), default=10, show_default=True, help="Workers at most.")
@click.option("--warm", type=click.IntRange(0), default=2, show_default=True, help="Idle spares.")
@click.option(
    "--launcher",
    type=click.Choice(LAUNCHERS),
    default=default_launcher(),
    show_default=True,
    help="How workers start: as forks of a clean process, or each as a new interpreter.",
)
def supervisor(target: str, host: str, port: int, launcher: str, **sizes: int) -> None:
    r"""Keep a pool of workers that run FUNC, until SIGINT or SIGTERM.

    It prints one line with its address when clients may come. The first signal lets work in progress finish,
    a second one does not.

    \b
    Example:
      am-node supervisor mypackage.mymodule:measure --port 7070 --max 8
    """
    load_path()
    try:
        load_function(target)
        config = PoolConfig(**sizes)
    except (AsyncMachineError, ValueError) as error:
        raise Mistake(str(error)) from None
    try:
        pool = function_pool(target, config=config, host=host, port=port, launcher=launcher_of(launcher))
        anyio.run(partial(_supervise, target, pool))
    except (AsyncMachineError, OSError) as error:
        click.echo(f"am-node supervisor: {error}", err=True)
        raise SystemExit(1) from None


async def _supervise(target: str, pool: Supervisor) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with pool:
            click.echo(f"supervisor of {target} at {pool.address}")
            async for _ in signals:
                break
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_hurry, signals, tasks)
                await pool.stop()
                tasks.cancel_scope.cancel()


async def _hurry(signals: Any, tasks: Any) -> None:
    async for _ in signals:
        tasks.cancel_scope.cancel()


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def worker(arguments: tuple[str, ...]) -> None:
    """Be one worker process. Supervisors start these; by hand it explains itself and ends."""
    load_path()
    sys.exit(run_worker(list(arguments)))


@click.command()
@click.argument("address", metavar="HOST:PORT")
@click.option("--kind", default="", help="The kind of pool that is expected there; default: any.")
@click.option("--exits", is_flag=True, help="Show how the last workers ended.")
@click.option("--worker", default="", help="With --exits: only this one, with all of its output.")
@click.option("--json", "as_json", is_flag=True, help="With --exits: one JSON object per worker and line.")
def status(address: str, kind: str, *, exits: bool, worker: str, as_json: bool) -> None:
    r"""Show the pool of the supervisor at HOST:PORT: its states, clients and workers.

    \b
    Example:
      am-node status 127.0.0.1:7070
      am-node status 127.0.0.1:7070 --exits --worker w3
    """
    try:
        parse_address(address)
    except ValueError as error:
        raise Mistake(str(error)) from None
    try:
        if exits:
            show_exits(anyio.run(partial(_ask_exits, address, kind, worker)), as_json=as_json)
            return
        found = anyio.run(partial(_ask, address, kind))
    except (AsyncMachineError, OSError) as error:
        click.echo(f"am-node status: {error}", err=True)
        raise SystemExit(1) from None
    _show(found)


async def _ask(address: str, kind: str) -> PoolStatus:
    async with NodeClient([address], kind=kind, config=ClientConfig(start_timeout=3.0)) as client:
        return await client.status()


async def _ask_exits(address: str, kind: str, worker: str) -> tuple[ExitReport, ...]:
    async with NodeClient([address], kind=kind, config=ClientConfig(start_timeout=3.0)) as client:
        return await client.exits(worker)


def _show(found: PoolStatus) -> None:
    console = Console()
    console.print(f"kind      {found.kind}", highlight=False, markup=False)
    console.print(f"states    {' '.join(found.states)}", highlight=False)
    console.print(f"clients   {len(found.clients)}, {found.waiting} requests waiting", highlight=False)
    console.print(
        f"workers   {len(found.workers)}; {found.started} started, {found.lost} lost", highlight=False
    )
    table = Table("worker", "phase", "pid", "age", "jobs", "client", "states")
    for row in found.workers:
        table.add_row(
            row.worker,
            row.phase,
            str(row.pid),
            f"{row.age:,.0f} s",
            f"{row.jobs:,}",
            row.client or "-",
            " ".join(row.states),
        )
    if found.workers:
        console.print(table)
