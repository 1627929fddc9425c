"""What a launcher is.

Rules that every launcher keeps, each with a test that runs against all of them:

1. The exit code of the worker, or the signal that ended it, arrives, and soon.
2. :meth:`Handle.exited` resolves exactly once, always, for any number of waiters.
3. A worker that cannot be started at all is a :class:`~asyncmachine.errors.LaunchError` that says why.
4. Nothing secret is in argv or env. The worker reports over an inherited socket, :attr:`Handle.boot`.
5. A worker whose supervisor is gone does not stay.
6. Output is always drained, so that no worker ever blocks on it; the last 64 KiB are kept.
7. Leaving the launcher's block ends every worker that is left.

What a launcher has not, on purpose:

- *Adoption* of the workers of a supervisor that died. By rule 5 there is none to adopt: a worker without a
  supervisor ends its work and leaves, so its lease, its ticket and its client have one owner at all times. A
  second supervisor is another address in the list of the client, with workers of its own.
- *Capacity*. What a machine can hold depends on what the workers do, so a number from here would be wrong;
  the user says it as ``PoolConfig.max``, and a start that cannot be had is a LaunchError (rule 3), which the
  pool shows and tries again. A launcher that must ask somebody for room waits in ``start`` no longer than the
  pool's ``boot_timeout`` and then raises, so want of room is never a silent wait either.

Launchers have names, see ``registry``.
"""

from __future__ import annotations

import signal as signals
import socket
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self

from asyncmachine.node.config import WorkerSpec

__all__ = ["Exit", "Handle", "Launcher", "Reason", "signal_name"]


class Reason(StrEnum):
    """Why a worker is gone."""

    EXITED = "exited"
    SIGNALLED = "signalled"
    UNKNOWN = "unknown"
    """It ended, or cannot be ended, and its status is not to be had."""


def signal_name(number: int) -> str:
    """``SIGKILL`` for 9; ``signal 99`` for one that has no name here."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a worker ended.

    Attributes:
        code: exit code, if it exited; signal: number of the signal, if one ended it.
        detail: for people: one line.
        output: the last 64 KiB of what it wrote to stdout and stderr.
        oom: whether the kernel killed it for want of memory; None: it does not say.
        user, system: seconds of CPU; max_rss: bytes at most resident. 0: not known.
    """

    reason: Reason
    code: int | None = None
    signal: int | None = None
    detail: str = ""
    output: bytes = b""
    user: float = 0.0
    system: float = 0.0
    max_rss: int = 0
    oom: bool | None = None

    @property
    def clean(self) -> bool:
        """It exited with code 0."""
        return self.code == 0


class Handle(Protocol):
    """A worker that was started."""

    @property
    def id(self) -> str:
        """Id of the worker."""
        ...

    @property
    def pid(self) -> int | None:
        """Process id on its host; None: not known."""
        ...

    @property
    def boot(self) -> socket.socket:
        """The supervisor's end of the boot channel, non-blocking. Whoever asks for it closes it."""
        ...

    async def exited(self) -> Exit:
        """Wait for the end."""
        ...

    def terminate(self) -> None:
        """Ask the worker to end. Harmless if it is gone."""
        ...

    def kill(self) -> None:
        """End the worker and all that it started, for certain. Harmless if it is gone."""
        ...

    def tail(self, count: int = 4096) -> bytes:
        """The last bytes of its output, at most 64 KiB."""
        ...

    def memory(self) -> int | None:
        """Resident memory in bytes, now; None: not known."""
        ...

    def rotate(self) -> None:
        """Begin a new log file, if it has one."""
        ...


class Launcher(Protocol):
    """Starts workers while its ``async with`` block runs."""

    @property
    def name(self) -> str:
        """Name of the kind of launcher."""
        ...

    async def start(self, spec: WorkerSpec) -> Handle:
        """Start one worker.

        Raises:
            LaunchError: it could not be started at all; names the command and the cause.
        """
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None: ...
