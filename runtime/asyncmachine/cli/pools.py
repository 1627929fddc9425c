"""Pools of function workers on this machine: what ``map`` and ``supervisor`` have in common."""

from __future__ import annotations

import sys

from asyncmachine.cli.start import PRELOAD, WORKER, default_launcher
from asyncmachine.node.config import PoolConfig, WorkerSpec
from asyncmachine.node.launchers.base import Launcher
from asyncmachine.node.launchers.forkserver import ForkserverLauncher
from asyncmachine.node.launchers.prefork import ForkServer
from asyncmachine.node.launchers.registry import make_launcher
from asyncmachine.node.supervisor import Supervisor

__all__ = ["fixed_size", "function_pool", "launcher_of"]


def function_pool(
    target: str,
    *,
    config: PoolConfig,
    host: str = "127.0.0.1",
    port: int = 0,
    folder: str | None = None,
    launcher: Launcher | None = None,
) -> Supervisor:
    """A supervisor of workers that run an importable function, each in a process of this machine.

    Args:
        target: ``package.module:function``; also the kind of the pool.
        folder: the workers start there, and import from there; None: the current one.
        launcher: None: a fork server on Linux, else a new interpreter per worker.
    """
    spec = WorkerSpec(kind=target, argv=(sys.executable, "-m", WORKER, target), cwd=folder)
    return Supervisor(launcher or launcher_of(None), spec, config=config, host=host, port=port)


def launcher_of(name: str | None, server: ForkServer | None = None) -> Launcher:
    """The launcher of that name, see ``launchers.registry``; None: what suits this system.

    Args:
        server: a fork server that was begun already.

    Raises:
        LaunchError: there is no such launcher.
    """
    if (name or default_launcher()) == "forkserver":
        return ForkserverLauncher(PRELOAD, server=server)
    return make_launcher(name or default_launcher())


def fixed_size(workers: int) -> PoolConfig:
    """A pool of so many workers, all of which one client may hold; it is ready when the first one is."""
    return PoolConfig(min=1, max=workers, warm=workers, max_client_workers=max(workers, 10))
