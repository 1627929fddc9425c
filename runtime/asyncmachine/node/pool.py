"""What a pool should do next: a function of its records, its config and the time. Pure.

The supervisor keeps one :class:`WorkerRecord` per worker, from before the launch until the process
is reaped, and calls :func:`plan` after every change and at :func:`next_deadline`. It performs the
actions and changes the records accordingly in the same step, so nothing has to poll and no action
is planned twice: ``Launch`` adds records in phase ``spawning``, the others are :func:`applied`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Self, TypeAlias

from asyncmachine.node.config import PoolConfig
from asyncmachine.node.restarts import Restarts

__all__ = [
    "Action",
    "Derived",
    "Drain",
    "Escalate",
    "Kill",
    "Launch",
    "Phase",
    "PoolView",
    "Recover",
    "Stop",
    "WorkerRecord",
    "applied",
    "derive",
    "desired",
    "next_deadline",
    "pick_idle",
    "plan",
    "retired",
]

Phase: TypeAlias = Literal["spawning", "booting", "idle", "leased", "busy", "draining", "stopping", "killed"]

RECYCLED: Final = "recycled"
"""How the reasons of Stop begin where a worker is to be replaced."""

STARTING: frozenset[Phase] = frozenset({"spawning", "booting"})
LEASED: frozenset[Phase] = frozenset({"leased", "busy"})
USABLE: frozenset[Phase] = frozenset({"idle", "leased", "busy"})
MEMBERS: frozenset[Phase] = STARTING | USABLE
"""Phases that count towards the wanted size; all phases count towards ``max``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """One worker, as the supervisor knows it. Times are of the supervisor's monotonic clock.

    Attributes:
        id: of the worker.
        phase: where it is in its life; ``draining`` ends its work and takes no more.
        since: when it entered the phase.
        launched: when it was launched.
        seen: when it last gave a sign of life, from ``booting`` on.
        client, lease: who holds it; empty and 0: nobody.
        jobs: pieces of work done.
        rss: resident memory in bytes, as last reported.
        errors: times of its errors, oldest first.
        retire: why it is to be replaced when idle, e.g. ``reload``; empty: it is not.
        stalled: its session is gone: not offered.
        stuck: it says that it is at work and nothing has moved for ``stall_after``.
        patient: it drains, and what it has begun may take as long as it takes.
    """

    id: str
    phase: Phase
    since: float
    launched: float
    seen: float
    client: str = ""
    lease: int = 0
    jobs: int = 0
    rss: int = 0
    errors: tuple[float, ...] = ()
    retire: str = ""
    stalled: bool = False
    stuck: bool = False
    patient: bool = False

    def entered(self, phase: Phase, now: float) -> Self:
        """The record after a change of phase. A worker that is not held has no client."""
        if phase in LEASED or phase == "draining":
            return replace(self, phase=phase, since=now)
        return replace(self, phase=phase, since=now, client="", lease=0)

    def held_by(self, client: str, lease: int, now: float) -> Self:
        """The record after a lease was granted. Raises ``ValueError`` if it is not idle."""
        if self.phase != "idle":
            raise ValueError(
                f"worker {self.id} is {self.phase}, only an idle one can be leased to {client!r}"
            )
        return replace(self, phase="leased", since=now, client=client, lease=lease)

    def failed(self, now: float, config: PoolConfig) -> Self:
        """The record after an error of the worker; errors past their time are forgotten."""
        return replace(self, errors=(*self.recent(now, config.error_ttl), now))

    def recent(self, now: float, ttl: float) -> tuple[float, ...]:
        """Times of the errors of the last *ttl* seconds."""
        return tuple(t for t in self.errors if now - t < ttl)

    def healthy(self, now: float, config: PoolConfig) -> bool:
        """Ready, heard of in the last heartbeat period and a half, and not stuck."""
        return (
            self.phase in USABLE
            and not (self.stalled or self.stuck)
            and now - self.seen < 1.5 * config.heartbeat
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolView:
    """All that a decision depends on, besides the config and the time.

    Attributes:
        workers: by id, in order of launch.
        restarts: what failures have taught.
        waiting: requests that wait for a worker.
        cpus: of this machine: how many workers may start at once, if the config does not say.
        draining: the pool is to end: no launches, idle workers stop, leased ones finish.
        broken: an Escalate was performed and no Recover since.
    """

    workers: Mapping[str, WorkerRecord] = field(default_factory=dict[str, WorkerRecord])
    restarts: Restarts = field(default_factory=Restarts)
    waiting: int = 0
    cpus: int = 1
    draining: bool = False
    broken: bool = False

    def having(self, record: WorkerRecord) -> Self:
        """The view with this record added or replaced."""
        return replace(self, workers={**self.workers, record.id: record})

    def without(self, worker: str) -> Self:
        """The view after the worker is gone."""
        return replace(self, workers={k: w for k, w in self.workers.items() if k != worker})

    def count(self, phases: Collection[Phase]) -> int:
        """Workers in one of these phases."""
        return sum(w.phase in phases for w in self.workers.values())


@dataclass(frozen=True, slots=True)
class Launch:
    """Start so many workers."""

    count: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Let the worker end its work, and give it no more. ``patient``: without a limit."""

    worker: str
    reason: str
    patient: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask the worker to end."""

    worker: str
    reason: str


@dataclass(frozen=True, slots=True)
class Kill:
    """End the worker's process group for certain."""

    worker: str
    reason: str


@dataclass(frozen=True, slots=True)
class Escalate:
    """The pool cannot heal itself by launching: ``ErrPool``."""

    reason: str


@dataclass(frozen=True, slots=True)
class Recover:
    """What was escalated is over."""


Action: TypeAlias = Launch | Drain | Stop | Kill | Escalate | Recover


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """The states of a pool that follow from its records.

    Attributes:
        pool_ready: at least ``min`` healthy workers.
        pool_warm: at least ``warm`` healthy idle ones.
        workers_available: a healthy idle one exists, and the pool is not draining.
        normalized: there are exactly as many ready workers as wanted, and none is coming or going.
        wanted: size the pool aims at.
        total, starting, idle, leased, leaving: counts; their sum, without total, is total.
    """

    pool_ready: bool
    pool_warm: bool
    workers_available: bool
    normalized: bool
    wanted: int
    total: int
    starting: int
    idle: int
    leased: int
    leaving: int


def desired(view: PoolView, config: PoolConfig) -> int:
    """Workers wanted: the leased ones plus the spares, or ``min`` if that is more; never over ``max``."""
    if view.draining:
        return 0
    spares = max(config.warm, view.waiting)
    return min(config.max, max(config.min, view.count(LEASED) + spares))


def derive(view: PoolView, config: PoolConfig, now: float) -> Derived:
    """See :class:`Derived`."""
    workers = view.workers.values()
    healthy = sum(w.healthy(now, config) for w in workers)
    free = sum(w.phase == "idle" and w.healthy(now, config) for w in workers)
    total, usable = len(view.workers), view.count(USABLE)
    wanted, starting = desired(view, config), view.count(STARTING)
    return Derived(
        pool_ready=not view.draining and healthy >= config.min,
        pool_warm=not view.draining and free >= config.warm,
        workers_available=not view.draining and free > 0,
        normalized=usable == total and usable >= wanted and healthy == usable,
        wanted=wanted,
        total=total,
        starting=starting,
        idle=view.count({"idle"}),
        leased=view.count(LEASED),
        leaving=total - starting - usable,
    )


def pick_idle(
    view: PoolView, config: PoolConfig, now: float, tried: Collection[str] = ()
) -> WorkerRecord | None:
    """The worker for the next request: idle, healthy, not in *tried*, not about to be replaced.

    Of several, one without recent errors, and then the one that was busy last: its caches are warm,
    and the others can grow old enough to be stopped.
    """
    free = [
        w
        for w in view.workers.values()
        if w.phase == "idle" and w.id not in tried and w.healthy(now, config) and not view.draining
    ]
    fit = [w for w in free if not _replaceable(w, config, now)] or free
    return max(fit, key=lambda w: (not w.recent(now, config.error_recent), w.since), default=None)


def plan(view: PoolView, config: PoolConfig, now: float) -> list[Action]:
    """What to do now. Once that is done, and while no time passes, the next plan is empty."""
    actions: list[Action] = [*_deadlines(view, config, now)]
    view = applied(view, actions, now)
    if view.draining:
        return actions + list(_ending(view))
    more = _surplus(view, config, now) or _recycling(view, config, now)
    return [*actions, *more, *_launches(applied(view, more, now), config, now)]


def applied(view: PoolView, actions: Iterable[Action], now: float) -> PoolView:
    """The view after these actions were performed; for ``Launch``, the new records are yet to add."""
    for action in actions:
        match action:
            case Drain(worker, _, patient):
                record = view.workers[worker].entered("draining", now)
                view = view.having(replace(record, patient=patient))
            case Stop(worker):
                view = view.having(view.workers[worker].entered("stopping", now))
            case Kill(worker):
                view = view.having(view.workers[worker].entered("killed", now))
            case Launch():
                pass
            case Escalate() | Recover():
                view = replace(view, broken=isinstance(action, Escalate))
    return view


def _deadlines(view: PoolView, config: PoolConfig, now: float) -> Iterator[Action]:
    for w in view.workers.values():
        if w.phase in STARTING and now >= w.launched + config.boot_timeout:
            yield Kill(w.id, f"not ready {config.boot_timeout:g} s after its launch")
        elif w.phase in USABLE or w.phase == "draining":
            if now >= w.seen + config.silent_after:
                yield Kill(w.id, f"silent for {config.silent_after:g} s")
            elif w.stuck:
                yield Kill(w.id, f"stalled: at work, and nothing moved for {config.stall_after or 0:g} s")
            elif w.phase == "draining" and not w.patient and now >= w.since + config.drain:
                yield Stop(w.id, f"still at work after {config.drain:g} s of draining")
            elif w.phase in LEASED and (reason := _worn(w, config, now)):
                yield Drain(w.id, reason)
        elif w.phase == "stopping" and now >= w.since + config.grace:
            yield Kill(w.id, f"still there {config.grace:g} s after it was asked to stop")


def _ending(view: PoolView) -> Iterator[Action]:
    for w in reversed(list(view.workers.values())):
        if w.phase in STARTING or w.phase == "idle":
            yield Stop(w.id, "the pool ends")
        elif w.phase in LEASED or (w.phase == "draining" and w.patient):
            yield Drain(w.id, "the pool ends")


def _surplus(view: PoolView, config: PoolConfig, now: float) -> list[Action]:
    """Idle workers over what is wanted: those over ``max`` at once, the others when they are old."""
    members = view.count(MEMBERS)
    idle = sorted((w for w in view.workers.values() if w.phase == "idle"), key=lambda w: w.since)
    actions: list[Action] = []
    for w in idle[: max(members - desired(view, config), 0)]:
        if len(actions) < members - config.max:
            actions.append(Stop(w.id, f"more than {config.max} workers"))
        elif now >= w.since + config.shrink_after:
            actions.append(Stop(w.id, f"idle for {config.shrink_after:g} s"))
    return actions


def _worn(w: WorkerRecord, config: PoolConfig, now: float) -> str:
    """Why the worker should not go on at all; such a one is replaced even while it is held."""
    count = len(w.recent(now, config.error_ttl))
    return f"{count} errors in {config.error_ttl:g} s" if count > config.kill_over else ""


def _replaceable(w: WorkerRecord, config: PoolConfig, now: float) -> str:
    """Why the worker should be replaced once it is idle."""
    if reason := _worn(w, config, now) or w.retire:
        return reason
    if config.max_jobs is not None and w.jobs >= config.max_jobs:
        return f"{w.jobs} jobs done"
    if config.max_rss is not None and w.rss >= config.max_rss:
        return f"{w.rss} bytes of memory"
    if config.max_age is not None and now >= w.launched + config.max_age:
        return f"{config.max_age:g} s old"
    return ""


def _recycling(view: PoolView, config: PoolConfig, now: float) -> list[Action]:
    """At most one, while none is coming, going or missing, and only if launches are likely to work."""
    whole = view.count(USABLE) == len(view.workers) >= desired(view, config)
    if not whole or (view.restarts.broken and now < view.restarts.ready_at()):
        return []
    for w in view.workers.values():
        if w.phase == "idle" and (reason := _replaceable(w, config, now)):
            return [Stop(w.id, f"{RECYCLED}: {reason}")]
    for w in view.workers.values():
        if w.phase in LEASED and w.retire:
            return [Drain(w.id, f"{RECYCLED}: {w.retire}", patient=True)]
    return []


def retired(view: PoolView, reason: str) -> PoolView:
    """The view after all present workers were marked to be replaced, one by one.

    Those that are held come last. They finish what they have begun, however long it takes, and give
    the rest back, so no work is lost.
    """
    marked = {w.id: replace(w, retire=reason) if w.phase in MEMBERS else w for w in view.workers.values()}
    return replace(view, workers=marked)


def _launches(view: PoolView, config: PoolConfig, now: float) -> Iterator[Action]:
    wanted, starting = desired(view, config), view.count(STARTING)
    why = view.restarts.broken if view.count(USABLE) < wanted else ""
    if why and not view.broken:
        yield Escalate(why)
    elif view.broken and not why:
        yield Recover()
    at_once = 1 if view.restarts.broken else config.spawn_parallelism or max(1, view.cpus)
    room = min(wanted - view.count(MEMBERS), at_once - starting, config.max - len(view.workers))
    if room > 0 and now >= view.restarts.ready_at():
        yield Launch(room)


def next_deadline(view: PoolView, config: PoolConfig, now: float) -> float | None:
    """When :func:`plan` or :func:`derive` may say something new though nothing has happened."""
    times = [t for t in _times(view, config) if t > now]
    return min(times, default=None)


def _times(view: PoolView, config: PoolConfig) -> Iterator[float]:
    yield view.restarts.ready_at()
    for w in view.workers.values():
        if w.phase in STARTING:
            yield w.launched + config.boot_timeout
        elif w.phase == "stopping":
            yield w.since + config.grace
        elif w.phase in USABLE or w.phase == "draining":
            yield w.seen + 1.5 * config.heartbeat
            yield w.seen + config.silent_after
        if w.phase == "draining" and not w.patient:
            yield w.since + config.drain
        elif w.phase == "idle":
            yield w.since + config.shrink_after
            if config.max_age is not None:
                yield w.launched + config.max_age
