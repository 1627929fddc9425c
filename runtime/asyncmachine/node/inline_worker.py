"""Function workers for the inline launcher: the whole worker, in the process of its supervisor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import anyio

from asyncmachine.errors import LaunchError
from asyncmachine.node.function_worker import FunctionWorker
from asyncmachine.node.launchers.inline import InlineLauncher, InlineProcess, Life
from asyncmachine.node.targets import TargetError, load_function
from asyncmachine.node.worker import Worker, WorkerSettings

__all__ = ["EXIT_NO_TARGET", "function_life", "inline_functions", "settings_of", "worker_life"]

EXIT_NO_TARGET = 3
"""As of a worker that is a process."""


def inline_functions(function: Callable[[Any], Any] | None = None) -> InlineLauncher:
    """A launcher of function workers in this process; see :func:`function_life`."""
    return InlineLauncher(function_life(function))


def function_life(function: Callable[[Any], Any] | None = None) -> Life:
    """The life of a function worker.

    Args:
        function: what it runs; None: the one named ``package.module:function`` in the command of its spec.
    """

    async def live(process: InlineProcess) -> int:
        try:
            work = function or load_function(_target(process.spec.argv))
        except TargetError as error:
            process.write(f"{error}\n")
            return EXIT_NO_TARGET
        return await _serve(process, FunctionWorker(settings_of(process.spec.argv), work))

    return live


def worker_life(make: Callable[[WorkerSettings], Worker]) -> Life:
    """The life of the worker that *make* makes."""

    async def live(process: InlineProcess) -> int:
        return await _serve(process, make(settings_of(process.spec.argv)))

    return live


async def _serve(process: InlineProcess, worker: Worker) -> int:
    async def terminated() -> None:
        await process.terminated.wait()
        worker.orphaned()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(terminated)
        await worker.run(process.boot)
        tasks.cancel_scope.cancel()
    return 0


def settings_of(argv: Sequence[str]) -> WorkerSettings:
    """The settings that a supervisor has put at the end of the command of a worker.

    Raises:
        LaunchError: one of them is not there.
    """
    options = {name: value for name, value in pairwise(argv) if name.startswith("--")}
    try:
        return WorkerSettings(
            worker=options["--id"],
            kind=options["--kind"],
            run_dir=options["--run-dir"],
            drain=float(options["--drain"]),
            heartbeat=float(options["--heartbeat"]),
        )
    except KeyError as error:
        raise LaunchError(f"the command of an inline worker has no {error}: {tuple(argv)}") from None


def _target(argv: Sequence[str]) -> str:
    """The first word of the command that looks like one."""
    for word in argv[1:]:
        if not word.startswith("-") and ":" in word:
            return word
    raise TargetError(f"no package.module:function in the command {tuple(argv)}")
