"""Which job goes to which worker, and what becomes of the jobs of a worker that died. Pure.

A worker runs its jobs strictly one after the other and lets go of each result before it begins the
next. So of the jobs it held when it died, the oldest is the only one that may have run: that one is
*lost*, or run again if the caller said that it may be; the others have not begun and simply move on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["MAX_RERUNS", "Dispatcher", "Job", "Lost"]

W = TypeVar("W")

MAX_RERUNS = 2
_DEEPEST = 16
_TARGET = 0.002  # seconds of work that should be waiting at a worker: covers a round trip
_LONG = 0.05  # jobs longer than this are handed out one by one: waiting behind one would cost more


@dataclass(slots=True)
class Job:
    """One piece of work.

    Attributes:
        index: position of its input, rising from job to job; also its id on the wire.
        data: the encoded input.
        deaths: workers that died with it in their hands.
    """

    index: int
    data: bytes
    deaths: int = 0


@dataclass(frozen=True, slots=True)
class Lost:
    """A job that will not be run again. ``poison``: it may be, but it has killed too many workers."""

    job: Job
    poison: bool


@dataclass(slots=True)
class _Hands:
    jobs: deque[Job] = field(default_factory=deque[Job])
    retired: bool = False  # takes no more jobs, keeps those it has


class Dispatcher(Generic[W]):
    """Spreads jobs over workers.

    Args:
        idempotent: a job whose worker died may be run again, at most ``max_reruns`` times.
        depth: most jobs at one worker; None: as many as cover a round trip, from one (long jobs)
            to sixteen (very short ones).

    Attributes:
        reruns: how many times a job was run again.
        depth: jobs that each worker should hold now.
    """

    def __init__(
        self, *, idempotent: bool = False, max_reruns: int = MAX_RERUNS, depth: int | None = None
    ) -> None:
        if depth is not None and depth < 1:
            raise ValueError(f"depth is {depth}, it must be at least 1")
        self.idempotent = idempotent
        self.max_reruns = max_reruns
        self.reruns = 0
        self._waiting: deque[Job] = deque()
        self._hands: dict[W, _Hands] = {}
        self._mean = _TARGET / 2  # running mean of the time a job takes, in seconds
        self._fixed = depth is not None
        self.depth = self._suitable_depth() if depth is None else depth

    def _suitable_depth(self) -> int:
        if self._mean > _LONG:
            return 1
        return max(2, min(_DEEPEST, round(_TARGET / max(self._mean, 1e-6))))

    @property
    def open(self) -> int:
        """Jobs that have no outcome yet."""
        return len(self._waiting) + sum(len(h.jobs) for h in self._hands.values())

    @property
    def has_room(self) -> bool:
        """Whether one more job would be handed out at once, all that wait being handed out already."""
        if self._waiting:
            return False
        depth = self.depth
        return any(len(h.jobs) < depth and not h.retired for h in self._hands.values())

    def add(self, job: Job) -> None:
        """Take a new job; it waits until :meth:`assign`."""
        self._waiting.append(job)

    def join(self, worker: W) -> None:
        """A worker is ready for jobs."""
        self._hands.setdefault(worker, _Hands())

    def assign(self) -> Iterator[tuple[W, Job]]:
        """Hand out waiting jobs, to the worker with the fewest first. Each yielded pair must be sent."""
        depth = self.depth
        while self._waiting:
            chosen, fewest = None, depth
            for item in self._hands.items():
                if len(item[1].jobs) < fewest and not item[1].retired:
                    chosen, fewest = item, len(item[1].jobs)
            if chosen is None:
                return
            worker, hands = chosen
            job = self._waiting.popleft()
            hands.jobs.append(job)
            yield worker, job

    def done(self, worker: W, index: int, seconds: float) -> Job | None:
        """A worker answered. Returns the job, or None when it does not hold that one (a late answer).

        Args:
            seconds: that the job took, as the worker says.
        """
        job = _take(self._hands.get(worker), index)
        if job is not None:
            self._mean += 0.2 * (seconds - self._mean)
            if not self._fixed:
                self.depth = self._suitable_depth()
        return job

    def refused(self, worker: W, index: int) -> None:
        """A worker gave a job back without beginning it, or never got it: it is going, and gets no more.

        The job moves on to another one. What the worker has begun is still its own.
        """
        hands = self._hands.get(worker)
        if hands is None:
            return
        hands.retired = True
        job = _take(hands, index)
        if job is not None:
            self._put_back(job)

    def _put_back(self, job: Job) -> None:
        """Jobs are added and handed out in the order of their indexes: so is what comes back."""
        at = 0
        while at < len(self._waiting) and self._waiting[at].index < job.index:
            at += 1
        self._waiting.insert(at, job)

    def cancel(self, index: int) -> tuple[W, Job] | None:
        """Forget a job. Returns the worker that holds it, to be told, or None when it was only waiting."""
        for job in self._waiting:
            if job.index == index:
                self._waiting.remove(job)
                return None
        for worker, hands in self._hands.items():
            held = _take(hands, index)
            if held is not None:
                return worker, held
        return None

    def leave(self, worker: W, *, dismissed: bool = False) -> Lost | None:
        """A worker is gone. Its jobs move on, but for the one it was at: see the module's docstring.

        Args:
            dismissed: it took its leave, which it does only when nothing that it began is unanswered:
                then all of its jobs move on.
        """
        hands = self._hands.pop(worker, None)
        if hands is None or not hands.jobs:
            return None
        if dismissed:
            for job in hands.jobs:
                self._put_back(job)
            return None
        hit = hands.jobs.popleft()
        for job in hands.jobs:
            self._put_back(job)
        hit.deaths += 1
        if self.idempotent and hit.deaths <= self.max_reruns:
            self._put_back(hit)
            self.reruns += 1
            return None
        return Lost(hit, poison=self.idempotent)

    def workers(self) -> tuple[W, ...]:
        """All that have joined and not left."""
        return tuple(self._hands)

    def drop_waiting(self) -> list[Job]:
        """Take back every job that no worker holds."""
        dropped = list(self._waiting)
        self._waiting.clear()
        return dropped


def _take(hands: _Hands | None, index: int) -> Job | None:
    if hands is not None:
        for job in hands.jobs:  # nearly always the first one
            if job.index == index:
                hands.jobs.remove(job)
                return job
    return None
