"""How workers are started, and an early begin of it. Imports little: what is slow happens meanwhile."""

from __future__ import annotations

import sys
from typing import Final

from asyncmachine.node.launchers import prefork

__all__ = ["LAUNCHERS", "PRELOAD", "WORKER", "begin", "default_launcher"]

WORKER: Final = "asyncmachine.cli.worker"
"""The module that is a worker when it is run."""

PRELOAD: Final = (f"{WORKER}:warm_up",)
"""What a fork server imports, and calls, before it makes workers."""

LAUNCHERS: Final = ("forkserver", "process", "inline")


def default_launcher() -> str:
    """A fork server where there can be one. It is quicker, and safe: nothing of the user is in it."""
    return "forkserver" if sys.platform == "linux" else "process"


def begin(launcher: str) -> prefork.ForkServer | None:
    """Start a fork server, if that is the launcher, to have it ready by the time the caller is."""
    return prefork.launch(PRELOAD) if launcher == "forkserver" else None
