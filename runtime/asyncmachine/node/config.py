"""Settings of a pool and of its workers. Times are seconds, sizes are bytes.

All classes are frozen, keyword-only, and checked when they are made: a bad value is named with its
field, and nothing later needs to check it again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Literal, Self, TypeAlias, get_args

__all__ = ["LogFiles", "OnOrphan", "PoolConfig", "Resources", "WorkerSpec"]

KIB = 1024
MIB = 1024 * KIB

OnOrphan: TypeAlias = Literal["finish", "kill"]
"""What a worker does when its supervisor is gone: end its current work first, or die at once."""


def _fail(owner: object, name: str, rule: str) -> ValueError:
    value = getattr(owner, name)
    return ValueError(f"{type(owner).__name__}.{name} is {value!r}, it must be {rule}")


def _check(owner: object, rules: Mapping[str, tuple[float, str]], *, optional: frozenset[str]) -> None:
    """Each named field is a finite number that is at least its bound; None only where optional."""
    for name, (least, rule) in rules.items():
        value = getattr(owner, name)
        if value is None and name in optional:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise _fail(owner, name, rule)
        if value < least:
            raise _fail(owner, name, rule)


_COUNTS = {
    "min": 0,
    "max": 1,
    "warm": 0,
    "max_client_workers": 1,
    "spawn_parallelism": 1,
    "max_jobs": 1,
    "max_rss": 1,
    "heartbeat_misses": 1,
    "intensity_allowance": 0,
    "boot_failures": 1,
    "kill_over": 0,
    "queue_limit": 0,
    "lease_tries": 1,
}
_OPTIONAL = frozenset({"spawn_parallelism", "max_jobs", "max_rss", "max_age", "stall_after"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """How many workers a supervisor keeps, and when it gives up on one.

    Attributes:
        min, max: workers there should be at least, and may be at most.
        warm: idle spares to keep on top of the leased workers, as far as ``max`` allows.
        max_client_workers: workers one client may hold at a time.
        spawn_parallelism: workers that may be starting at once; None: as many as there are CPUs.
        shrink_after: how long a spare above ``warm`` stays idle before it is stopped.
        max_jobs, max_rss, max_age: recycle a worker that passed this; None: never. Only idle
            workers are recycled, and one at a time.
        boot_timeout: from the launch until the worker is ready.
        heartbeat, heartbeat_misses: a worker that missed one is not offered, one that missed so
            many is killed.
        drain: how long work may go on once its worker, or the pool, is to stop.
        grace: from asking a worker to stop until it is killed.
        backoff_base, backoff_max: pause after the first failure, doubled by each further one.
        backoff_reset: a pool without failures for that long starts from the first pause again.
        intensity_window, intensity_allowance: more abnormal exits than workers plus the allowance
            in one window stop all launches.
        boot_failures: so many failed starts in a row, with no success between, do the same.
        probe_every: while launches are stopped, one worker is tried this often.
        error_ttl: how long an error of a worker is remembered; error_recent: how long it makes the
            worker the last choice; kill_over: more errors than this and it is replaced.
        queue_limit: requests that may wait for a worker.
        lease_tries: workers that may refuse one request before it is denied.
        stall_after: a worker that is at work while nothing in its machine moves for so long is replaced,
            with its stacks in its output; None: work may take any time.
        ticket_ttl: how long a granted client has to connect to its worker.
        client_grace: how long a client that lost its connection may take to come back to its worker.
    """

    min: int = 2
    max: int = 10
    warm: int = 5
    max_client_workers: int = 10
    spawn_parallelism: int | None = None
    shrink_after: float = 300.0
    max_jobs: int | None = None
    max_rss: int | None = None
    max_age: float | None = None
    boot_timeout: float = 15.0
    heartbeat: float = 2.0
    heartbeat_misses: int = 3
    drain: float = 30.0
    grace: float = 5.0
    backoff_base: float = 0.1
    backoff_max: float = 30.0
    backoff_reset: float = 60.0
    intensity_window: float = 30.0
    intensity_allowance: int = 3
    boot_failures: int = 3
    probe_every: float = 30.0
    error_ttl: float = 600.0
    error_recent: float = 60.0
    kill_over: int = 3
    queue_limit: int = 256
    lease_tries: int = 3
    stall_after: float | None = None
    ticket_ttl: float = 10.0
    client_grace: float = 15.0

    def __post_init__(self) -> None:
        """Raises ValueError, with the field and its value."""
        _check(
            self,
            {f.name: (_COUNTS.get(f.name, 0), _rule(f.name)) for f in fields(self)},
            optional=_OPTIONAL,
        )
        for spec in fields(self):
            value = getattr(self, spec.name)
            if spec.name in _COUNTS and value is not None and not isinstance(value, int):
                raise _fail(self, spec.name, _rule(spec.name))
            if spec.name not in _COUNTS and value == 0:
                raise _fail(self, spec.name, _rule(spec.name))
        if self.min > self.max:
            raise ValueError(f"PoolConfig.min is {self.min}, more than max {self.max}; give both min and max")
        if self.backoff_base > self.backoff_max:
            raise _fail(self, "backoff_base", f"at most backoff_max, {self.backoff_max}")
        if self.error_recent > self.error_ttl:
            raise _fail(self, "error_recent", f"at most error_ttl, {self.error_ttl}")

    @property
    def silent_after(self) -> float:
        """Seconds of silence after which a worker counts as dead."""
        return self.heartbeat * self.heartbeat_misses

    def resized(self, *, min: int, max: int, warm: int) -> Self:  # noqa: A002 - the names of the fields
        """The same config with other sizes. Raises ``ValueError``."""
        return replace(self, min=min, max=max, warm=warm)


def _rule(name: str) -> str:
    if name in _COUNTS:
        text = f"a whole number, at least {_COUNTS[name]}"
    else:
        text = "a positive, finite number of seconds"
    return f"{text}, or None" if name in _OPTIONAL else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Limits a worker puts on itself before it runs any code of the user. None: as inherited.

    Attributes:
        nice: added to the scheduling priority number; 0 to 19.
        memory: address space (``RLIMIT_AS``): beyond it Python raises MemoryError.
        open_files: file descriptors (``RLIMIT_NOFILE``).
        cpu: seconds of processor time (``RLIMIT_CPU``): beyond it the kernel ends the process with
            SIGXCPU, and a second later with SIGKILL.
    """

    nice: int = 0
    memory: int | None = None
    open_files: int | None = None
    cpu: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError."""
        _check(
            self,
            {
                "nice": (0, "between 0 and 19"),
                "memory": (16 * MIB, f"at least {16 * MIB}, or None"),
                "open_files": (32, "at least 32, or None"),
                "cpu": (1, "a whole number of seconds, at least 1, or None"),
            },
            optional=frozenset({"memory", "open_files", "cpu"}),
        )
        if self.cpu is not None and not isinstance(self.cpu, int):
            raise _fail(self, "cpu", "a whole number of seconds, at least 1, or None")
        if self.nice > 19:
            raise _fail(self, "nice", "between 0 and 19")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFiles:
    """Where the output of workers goes: ``<folder>/<worker>.log``, then ``.log.1``, ``.log.2``...

    Attributes:
        folder: made if it does not exist, readable by its owner only.
        max_bytes: size at which a file is rotated.
        keep: rotated files kept per worker.
    """

    folder: str
    max_bytes: int = 10 * MIB
    keep: int = 3

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if not self.folder:
            raise _fail(self, "folder", "a path")
        _check(
            self,
            {"max_bytes": (KIB, f"at least {KIB}"), "keep": (0, "at least 0")},
            optional=frozenset(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """What a launcher starts. Nothing secret goes in here: argv and env of a process can be read.

    Attributes:
        kind: name of the kind of worker, e.g. ``census``; one supervisor has one kind.
        digest: of the worker's schema; empty: not checked.
        argv: the command; run as it is, never by a shell.
        worker: id of this worker; the launcher's caller gives one per launch, see :meth:`named`.
        env: added to the environment of the worker.
        env_allow: names of the variables that a worker takes over from its supervisor, ``LC_*`` for all
            that begin so; None: all of them. With a list, tokens and keys in the supervisor's
            environment stay there.
        cwd: folder to start in; None: the supervisor's.
        on_orphan: ``finish`` or ``kill``, see :data:`OnOrphan`.
        drain: with ``finish``, the longest a worker without a supervisor may go on.
        resources: limits.
        log_files: None: output is kept in memory (the last 64 KiB) and logged, not written.
    """

    kind: str
    argv: tuple[str, ...]
    digest: str = ""
    worker: str = ""
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    env_allow: tuple[str, ...] | None = None
    cwd: str | None = None
    on_orphan: OnOrphan = "finish"
    drain: float = 30.0
    resources: Resources = field(default_factory=Resources)
    log_files: LogFiles | None = None

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if not self.kind or not self.kind.isprintable():
            raise _fail(self, "kind", "a printable name")
        if not self.argv or not self.argv[0] or any("\0" in a for a in self.argv):
            raise _fail(self, "argv", "a command and its arguments, without NUL")
        if "/" in self.worker or "\0" in self.worker or self.worker in (".", ".."):
            raise _fail(self, "worker", "an id that can name a file")
        for key, value in self.env.items():
            if not key or "=" in key or "\0" in key or "\0" in value:
                raise ValueError(f"WorkerSpec.env has {key!r}: {value!r}, a name with '=' or a NUL")
        for pattern in self.env_allow or ():
            if not pattern or "=" in pattern or "\0" in pattern or "*" in pattern[:-1]:
                raise ValueError(f"WorkerSpec.env_allow has {pattern!r}, it must be NAME or PREFIX*")
        if self.on_orphan not in get_args(OnOrphan):
            raise _fail(self, "on_orphan", "'finish' or 'kill'")
        _check(self, {"drain": (0, "at least 0")}, optional=frozenset())

    def named(self, worker: str) -> Self:
        """The spec of one worker of this kind."""
        return replace(self, worker=worker)

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """All variables of a worker whose supervisor has the *inherited* ones."""
        if self.env_allow is None:
            return {**inherited, **self.env}
        whole = {name for name in self.env_allow if not name.endswith("*")}
        starts = tuple(name[:-1] for name in self.env_allow if name.endswith("*"))
        kept = {k: v for k, v in inherited.items() if k in whole or (starts and k.startswith(starts))}
        return {**kept, **self.env}
