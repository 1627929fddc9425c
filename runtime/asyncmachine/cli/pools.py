"""Pools of function workers on this machine: what ``map`` and ``supervisor`` have in common."""

from __future__ import annotations

import sys
from pathlib import Path

from asyncmachine.node.config import PoolConfig, WorkerSpec
from asyncmachine.node.functions import load_function
from asyncmachine.node.launchers.process import ProcessLauncher
from asyncmachine.node.supervisor import Supervisor

__all__ = ["check_target", "fixed_size", "function_pool", "load_path"]


def load_path() -> None:
    """Let functions be imported from the current folder, as ``python -m`` does."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def check_target(target: str) -> None:
    """Raises ``TargetError`` before any worker is started."""
    load_function(target)


def function_pool(
    target: str,
    *,
    config: PoolConfig,
    host: str = "127.0.0.1",
    port: int = 0,
    folder: str | None = None,
) -> Supervisor:
    """A supervisor of workers that run an importable function, each in a process of this machine.

    Args:
        target: ``package.module:function``; also the kind of the pool.
        folder: the workers start there, and import from there; None: the current one.
    """
    argv = (sys.executable, "-m", "asyncmachine.cli.worker", target)
    spec = WorkerSpec(kind=target, argv=argv, cwd=folder)
    return Supervisor(ProcessLauncher(), spec, config=config, host=host, port=port)


def fixed_size(workers: int) -> PoolConfig:
    """A pool of so many workers, all of which one client may hold; it is ready when the first one is."""
    return PoolConfig(min=1, max=workers, warm=workers, max_client_workers=max(workers, 10))
