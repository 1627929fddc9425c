"""Virtual time: sleeping takes no time, and a timeout comes exactly when it is due.

When all tasks wait, the clock jumps to the next timer. So a test of a backoff over hours is done in
milliseconds, and does not depend on the load of the machine it runs on::

    assert run_virtual(main) == 3600

Only tasks, timers and what is in memory: a task that waits for a thread, a process or a socket is taken for
one that waits for ever, or is overtaken by the timers. ``time.time`` and friends go on as always.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

import anyio

if TYPE_CHECKING:
    import trio

__all__ = ["Deadlock", "VirtualLoop", "run_virtual", "virtual_backend"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_STUCK = "every task waits, and no timer is set: a deadlock, or a task that waits for a thread or real I/O"
_IDLE_ROUNDS = 100
"""Rounds of trio's loop in which no task ran, after which nothing ever will. The clock needs one to jump."""


class Deadlock(RuntimeError):
    """Nothing will ever happen again."""


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: what a loop would have slept is added to its clock."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and (timeout is None or timeout > 0):
            self.loop.jump()
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop of asyncio with a clock of its own, which begins at 0 and jumps."""

    def __init__(self) -> None:
        self._now = 0.0
        selector = _JumpingSelector()
        super().__init__(selector)
        selector.loop = self
        self._clock_resolution = math.ulp(0.0)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def jump(self) -> None:
        """Let time pass until the next timer.

        Raises:
            Deadlock: there is none, or it is set for never.
        """
        timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]  # of the base
        due = timers[0].when() if timers else math.inf
        if due == math.inf:
            raise Deadlock(_STUCK)
        self._now = max(self._now, due)
        # The loop calls what is due before now + resolution: what is due now, and nothing that is due later.
        self._clock_resolution = math.ulp(self._now)


def virtual_backend(backend: str) -> tuple[str, dict[str, Any]]:
    """*backend*, ``asyncio`` or ``trio``, and the options that give it virtual time, for one run.

    It is what a fixture ``anyio_backend`` may return, so that all tests of a file run in virtual time.
    On trio a deadlock is not noticed then; set a timeout for the tests.

    Raises:
        ValueError: another name.
    """
    if backend == "asyncio":
        return backend, {"loop_factory": VirtualLoop}
    if backend == "trio":
        from trio.testing import MockClock  # noqa: PLC0415 - needed on trio only

        return backend, {"clock": MockClock(autojump_threshold=0)}
    raise ValueError(f"backend {backend!r}: must be 'asyncio' or 'trio'")


def run_virtual(
    main: Callable[[*Ts], Awaitable[T]], *args: *Ts, backend: str = "asyncio", seed: int = 0
) -> T:
    """``anyio.run`` in virtual time: the result of ``main(*args)``.

    Args:
        seed: of the order in which trio runs tasks that are ready at the same time; the same in every run
            with one seed. asyncio runs them in the order in which they became ready.

    Raises:
        Deadlock: every task waits for ever. Its tasks are cancelled.
        ValueError: *backend* is neither ``asyncio`` nor ``trio``.
    """
    name, options = virtual_backend(backend)
    if name == "asyncio":
        return anyio.run(main, *args, backend=name, backend_options=options)
    watch = _watch()

    async def guarded() -> T:
        with watch.scope:
            return await main(*args)
        raise Deadlock(_STUCK)

    with _seeded(seed):
        return anyio.run(guarded, backend=name, backend_options={**options, "instruments": [watch]})


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Make trio's choices repeatable; it has no public way to say so."""
    scheduler: Any = import_module("trio._core._run")
    allowed, state = scheduler._ALLOW_DETERMINISTIC_SCHEDULING, scheduler._r.getstate()
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True
    scheduler._r.seed(seed)
    try:
        yield
    finally:
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = allowed
        scheduler._r.setstate(state)


def _watch() -> Any:
    import trio  # noqa: PLC0415 - needed on trio only

    class Watch(trio.abc.Instrument):
        """Cancels the scope when the loop only goes round."""

        def __init__(self) -> None:
            self.scope: trio.CancelScope = trio.CancelScope()
            self._idle = 0

        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            self._idle = 0

        def before_io_wait(self, timeout: float) -> None:
            self._idle += 1
            if self._idle == _IDLE_ROUNDS:
                self.scope.cancel()

    return Watch()
