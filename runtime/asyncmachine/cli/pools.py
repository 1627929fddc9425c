"""Pools of function workers on this machine: what ``map`` and ``supervisor`` have in common."""

from __future__ import annotations

import sys
from pathlib import Path

from asyncmachine.node.config import PoolConfig
from asyncmachine.node.functions import load_function
from asyncmachine.node.launchers.process import ProcessLauncher
from asyncmachine.node.supervisor import Supervisor

__all__ = ["check_target", "function_pool", "load_path"]


def load_path() -> None:
    """Let functions be imported from the current folder, as ``python -m`` does."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def check_target(target: str) -> None:
    """Raises ``TargetError`` before any worker is started."""
    load_function(target)


def function_pool(
    target: str, *, workers: int, host: str = "127.0.0.1", port: int = 0, pool: PoolConfig | None = None
) -> Supervisor:
    """A supervisor, not yet entered, of workers that run the function *target*."""
    config = pool or PoolConfig(min=workers, max=workers, warm=0, max_client_workers=max(workers, 10))
    return Supervisor(
        ProcessLauncher(),
        [sys.executable, "-m", "asyncmachine.cli.worker", target],
        kind=target,
        config=config,
        host=host,
        port=port,
    )
