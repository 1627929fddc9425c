"""When may a pool launch again after workers have failed: pauses, and a breaker. Pure.

Two things are told apart. A *pause* follows every failure of a young pool member and doubles with
each further round of failures, so that a worker that cannot live costs little. The *breaker* opens
when it is plain that launching does not help: several starts in a row failed, or workers die faster
than :attr:`PoolConfig.intensity_window` allows. An open breaker lets one worker through from time
to time, the probe; the first one that becomes ready closes it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from asyncmachine.node.config import PoolConfig

__all__ = ["Failure", "Restarts"]

NEVER = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An exit that nobody asked for.

    Attributes:
        launched: when the worker was launched.
        booted: whether it had become ready.
        workers: how many workers the pool had, with this one.
        jitter: a random number in [0, 1]: the pause lies that far between half and all of its bound.
        text: for people: which worker, and how it ended.
    """

    launched: float
    booted: bool
    workers: int
    jitter: float
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarts:
    """The history that matters. Immutable: each event returns the next one.

    Attributes:
        exits: times of the abnormal exits of the last window, oldest first.
        rounds: failures in a row. Workers that were launched before the last failure belong to its
            round: ten workers killed at once are one failure, ten crashes one after the other ten.
        boots: failed starts in a row with no success between.
        last: time of the last failure.
        not_before: no launch earlier than this.
        broken: why the breaker is open, or an empty string; opened: since when.
        next_probe: with an open breaker, when one worker may be tried.
    """

    exits: tuple[float, ...] = ()
    rounds: int = 0
    boots: int = 0
    last: float = NEVER
    not_before: float = NEVER
    broken: str = ""
    opened: float = NEVER
    next_probe: float = NEVER

    def failed(self, failure: Failure, config: PoolConfig, now: float) -> Self:
        """After an abnormal exit, or a start that did not make it."""
        since = now - config.intensity_window
        exits = (*(t for t in self.exits if t > since), now)
        rounds, not_before = self.rounds, self.not_before
        if now - self.last > config.backoff_reset:
            rounds = 0
        if failure.launched >= self.last:
            settled = failure.booted and now - failure.launched > config.backoff_reset
            rounds = 1 if settled else rounds + 1
            pause = min(config.backoff_max, config.backoff_base * 2.0 ** min(rounds - 1, 60))
            not_before = max(not_before, now + pause * (1 + failure.jitter) / 2)
        boots = self.boots if failure.booted else self.boots + 1
        step = replace(self, exits=exits, rounds=rounds, boots=boots, last=now, not_before=not_before)
        return step._judge(failure, config, now)

    def _judge(self, failure: Failure, config: PoolConfig, now: float) -> Self:
        allowed = config.intensity_allowance + max(failure.workers, config.min)
        if self.boots >= config.boot_failures:
            why = f"{self.boots} workers in a row failed to start"
        elif len(self.exits) > allowed:
            why = f"{len(self.exits)} abnormal exits in {config.intensity_window:g} s, {allowed} are allowed"
        else:
            return self
        why = f"{why}; the last: {failure.text}" if failure.text else why
        if self.broken:
            return replace(self, broken=why)
        return replace(self, broken=why, opened=now, next_probe=now + config.probe_every)

    def launched(self, config: PoolConfig, now: float) -> Self:
        """After a launch; with an open breaker that was the probe."""
        return replace(self, next_probe=now + config.probe_every) if self.broken else self

    def succeeded(self, launched: float) -> Self:
        """After a worker became ready that was launched at that time.

        Only a worker launched since the breaker opened, so the probe, closes it. The window and the
        pauses stay.
        """
        if self.broken and launched <= self.opened:
            return replace(self, boots=0)
        return replace(self, boots=0, broken="", opened=NEVER, next_probe=NEVER)

    def ready_at(self) -> float:
        """Earliest time of the next launch."""
        return max(self.not_before, self.next_probe) if self.broken else self.not_before
