"""The worker's end of its launch: what it inherits, and what it does when its supervisor is gone.

A worker inherits two descriptors, whose numbers are in its environment: the boot channel, over which
it reports, and the life line, on which nothing is ever written and which ends with the supervisor.
"""

from __future__ import annotations

import ctypes
import math
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Final

import anyio

from asyncmachine.errors import LaunchError
from asyncmachine.node.config import WorkerSpec

__all__ = ["EXIT_ORPHAN", "Inherited", "channel_env", "inherit"]

EXIT_ORPHAN: Final = 75
"""Exit code of a worker that left because its supervisor was gone."""

_BOOT: Final = "ASYNCMACHINE_BOOT_FD"
_LIFE: Final = "ASYNCMACHINE_LIFE_FD"
_ON_ORPHAN: Final = "ASYNCMACHINE_ON_ORPHAN"
_DRAIN: Final = "ASYNCMACHINE_DRAIN"
_LIMITS: Final = "ASYNCMACHINE_LIMITS"
_PR_SET_PDEATHSIG: Final = 1


def channel_env(spec: WorkerSpec, boot: int, life: int) -> Mapping[str, str]:
    """What a launcher adds to the environment, given the numbers of the descriptors in the child."""
    limits = spec.resources
    given = {
        "nice": limits.nice or None,
        "memory": limits.memory,
        "open_files": limits.open_files,
        "cpu": limits.cpu,
    }
    return {
        _BOOT: str(boot),
        _LIFE: str(life),
        _ON_ORPHAN: spec.on_orphan,
        _DRAIN: repr(float(spec.drain)),
        _LIMITS: ",".join(f"{name}={value}" for name, value in given.items() if value is not None),
    }


@dataclass(frozen=True, slots=True)
class Inherited:
    """What this worker inherited.

    Attributes:
        boot: the worker's end of the boot channel.
        life: descriptor of the life line, readable (at its end) once the supervisor is gone.
        drain: seconds it may go on without a supervisor; after that the process is ended by force.
    """

    boot: socket.socket
    life: int
    drain: float

    async def orphaned(self) -> None:
        """Wait until the supervisor is gone."""
        await anyio.wait_readable(self.life)


def inherit(environ: MutableMapping[str, str] = os.environ) -> Inherited | None:
    """Take over what the launcher left for this process, and start to watch the life line.

    To be called once, first thing, in the main thread. The descriptors are not inherited further
    and the variables are removed, so processes started from here know nothing of them. With
    ``on_orphan="kill"`` the process dies with its supervisor at once, even if it is stopped or
    spins in C code; else it has the drain time, see :meth:`Inherited.orphaned`.

    Returns:
        None: this process was not started by a launcher.

    Raises:
        LaunchError: the variables are there but do not name such descriptors, or a limit was refused.
    """
    values = {name: environ.pop(name, None) for name in (_BOOT, _LIFE, _ON_ORPHAN, _DRAIN, _LIMITS)}
    boot_fd, life, on_orphan, drain, limits = values.values()
    if boot_fd is None or life is None:
        return None
    try:
        boot = socket.socket(fileno=int(boot_fd))
        boot.set_inheritable(False)
        boot.setblocking(False)
        os.set_inheritable(int(life), False)
        inherited = Inherited(boot, int(life), float(drain or 0))
        _limit(limits or "")
    except (ValueError, OSError) as error:
        raise LaunchError(
            f"what this worker should have inherited is not there: {error}; {values}"
        ) from error
    if on_orphan == "kill":
        _die_with_parent(inherited.life)
    bound = 0.0 if on_orphan == "kill" else inherited.drain
    threading.Thread(target=_watch, args=(inherited.life, bound), name="life line", daemon=True).start()
    return inherited


def _limit(text: str) -> None:
    for item in filter(None, text.split(",")):
        name, value = item.split("=")
        if name == "nice":
            os.nice(int(value))
        elif name == "cpu":  # counted from the start of the process; the hard limit is for who ignores it
            spent = math.ceil(time.process_time())
            resource.setrlimit(resource.RLIMIT_CPU, (spent + int(value), spent + int(value) + 1))
        else:
            what = {"memory": resource.RLIMIT_AS, "open_files": resource.RLIMIT_NOFILE}[name]
            resource.setrlimit(what, (int(value), resource.getrlimit(what)[1]))


def _die_with_parent(life: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if _ended(life, timeout=0):  # it was gone before that took effect
        os._exit(EXIT_ORPHAN)


def _ended(life: int, timeout: float | None) -> bool:
    poll = select.poll()
    poll.register(life, select.POLLIN)
    return bool(poll.poll(None if timeout is None else timeout * 1000))


def _watch(life: int, bound: float) -> None:
    """Runs in a thread, so that it also works when the event loop is stuck."""
    _ended(life, timeout=None)
    if bound > 0:
        threading.Event().wait(bound)
    os._exit(EXIT_ORPHAN)
