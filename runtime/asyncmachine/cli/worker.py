"""The process of a function worker. Started by a supervisor, not by hand.

Kept free of the command-line library: a worker should be ready fast and stay small.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import anyio

from asyncmachine.node.function_worker import FunctionWorker
from asyncmachine.node.launchers.child import Inherited, inherit
from asyncmachine.node.launchers.prefork import name_process
from asyncmachine.node.targets import TargetError, load_function
from asyncmachine.node.worker import WorkerSettings

__all__ = ["EXIT_NOT_LAUNCHED", "EXIT_NO_TARGET", "main", "warm_up"]

EXIT_NOT_LAUNCHED = 2
EXIT_NO_TARGET = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run one worker until its supervisor, or a signal, ends it. Returns the exit code."""
    inherited = inherit()
    if inherited is None:
        print(
            "a worker is started by its supervisor; to run a pool of them: am-node supervisor PKG.MOD:FUNC, "
            "or am-node map PKG.MOD:FUNC INPUTS...",
            file=sys.stderr,
        )
        return EXIT_NOT_LAUNCHED
    parser = argparse.ArgumentParser(prog="am-node worker", description=__doc__)
    parser.add_argument("target", help="package.module:function")
    parser.add_argument("--id", required=True)
    parser.add_argument("--kind", required=True)
    parser.add_argument("--run-dir", required=True)
    parser.add_argument("--drain", type=float, default=30.0)
    parser.add_argument("--heartbeat", type=float, default=2.0)
    options = parser.parse_args(argv)
    name_process(f"am-{options.id}")
    try:
        function = load_function(options.target)
    except TargetError as error:
        print(error, file=sys.stderr)
        return EXIT_NO_TARGET
    settings = WorkerSettings(
        worker=options.id,
        kind=options.kind,
        run_dir=options.run_dir,
        drain=options.drain,
        heartbeat=options.heartbeat,
    )
    anyio.run(partial(_serve, settings, function, inherited))
    return 0


def warm_up() -> None:
    """Do what every worker begins with, so that the forks of this process need not."""
    anyio.run(anyio.sleep, 0)


async def _serve(settings: WorkerSettings, function: Callable[[Any], Any], inherited: Inherited) -> None:
    worker = FunctionWorker(settings, function)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_signals, worker)
        tasks.start_soon(_orphaned, worker, inherited)
        await worker.run(inherited.boot)
        tasks.cancel_scope.cancel()


async def _signals(worker: FunctionWorker) -> None:
    """SIGTERM: finish what is in progress. SIGINT is for the supervisor, who tells us in its own way."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
        async for number in received:
            if number == signal.SIGTERM:
                worker.machine.add("Draining")


async def _orphaned(worker: FunctionWorker, inherited: Inherited) -> None:
    await inherited.orphaned()
    worker.orphaned()


if __name__ == "__main__":
    sys.exit(main())
