"""An event loop in virtual time whose order of events is drawn from a seed, and whose tasks can be frozen."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from asyncmachine.testing.clock import Deadlock, VirtualLoop

__all__ = ["GATE", "Gate", "Livelock", "SimLoop"]

T = TypeVar("T")

_MAX_ROUNDS = 20_000
"""Rounds of the loop without any time passing, after which it never will."""


class Livelock(RuntimeError):
    """Tasks keep each other busy, and no time passes."""


class Gate:
    """Tasks that were started behind a gate run, and their timers fire, only while it is open."""

    __slots__ = ("shut",)

    def __init__(self) -> None:
        self.shut = False


GATE: ContextVar[Gate | None] = ContextVar("GATE", default=None)
"""Which gate the present task is behind; tasks that it starts are behind the same one."""


class SimLoop(VirtualLoop):
    """Callbacks that are ready at the same time run in an order drawn from *seed*: each run explores one.

    It is for tasks, futures and timers, and not for real transports, which rely on the order of callbacks.
    """

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)  # noqa: S311 - it must be repeatable
        self._born: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._births = 0
        self._rounds = 0
        self._ending = False
        self._parked: dict[Gate, list[asyncio.Handle]] = {}
        super().__init__()

    def create_task(
        self, coro: Generator[Any, None, T] | Coroutine[Any, Any, T], **options: Any
    ) -> asyncio.Task[T]:
        """See the base. Tasks are numbered, so that their order does not depend on memory addresses."""
        task: asyncio.Task[T] = super().create_task(coro, **options)
        self._births += 1
        self._born[task] = self._births
        return task

    def jump(self) -> None:
        """Let time pass until the next timer.

        Raises:
            Deadlock: there is none, or it is set for never.
        """
        try:
            super().jump()
        except Deadlock:
            self.open_all()  # nobody could clean up otherwise
            raise
        self._rounds = 0
        self._arrange()

    def open(self, gate: Gate) -> None:
        """Run what waited behind *gate*: all timers that were due meanwhile, at once."""
        gate.shut = False
        self._ready_queue.extend(self._parked.pop(gate, ()))

    def open_all(self) -> None:
        """Open every gate, for good: nothing else could end the tasks behind them."""
        self._ending = True
        for gate in list(self._parked):
            self.open(gate)

    @property
    def _ready_queue(self) -> deque[asyncio.Handle]:
        queue: deque[asyncio.Handle] = self._ready  # type: ignore[attr-defined]  # of the base
        return queue

    def _run_once(self) -> None:
        self._rounds += 1
        if self._rounds > _MAX_ROUNDS:
            self._rounds = 0
            self.open_all()
            raise Livelock(f"{_MAX_ROUNDS} rounds of the loop at {self.time():.6f} s, and no time passes")
        self._arrange()
        super()._run_once()  # type: ignore[misc]  # it is what run_forever calls

    def _arrange(self) -> None:
        """Take the timers that are due, which the base would run in their order, park, and shuffle."""
        timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]  # of the base
        ready = self._ready_queue
        end = self.time() + self._clock_resolution
        while timers and timers[0].when() < end:
            timer = heapq.heappop(timers)
            timer._scheduled = False  # type: ignore[attr-defined]  # as the base does
            if timer.cancelled():
                self._timer_cancelled_count -= 1  # type: ignore[attr-defined]
            else:
                ready.append(timer)
        handles = [handle for handle in ready if not handle.cancelled() and not self._park(handle)]
        ready.clear()
        if len(handles) > 1:
            handles.sort(key=self._age)
            self._rng.shuffle(handles)
        ready.extend(handles)

    def _park(self, handle: asyncio.Handle) -> bool:
        gate: Gate | None = handle._context.get(GATE)  # type: ignore[attr-defined]  # of the base
        if gate is None or not gate.shut or self._ending:
            return False
        self._parked.setdefault(gate, []).append(handle)
        return True

    def _age(self, handle: asyncio.Handle) -> int:
        """Number of the task that it continues: a set of tasks may have been woken in any order."""
        task = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]  # of the base
        return self._born.get(task, 0) if isinstance(task, asyncio.Task) else 0
