"""Ask again: a mutation that was canceled, or that could not be sent, may go through a moment later.

::

    await request(machine.add, "Foo", x=1)
    await request(mirror.add, "Foo", x=1, config=RetryConfig(tries=3, deadline=30))
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import anyio

from asyncmachine.api import Result
from asyncmachine.errors import AsyncMachineError, GaveUp, MachineDisposed, NotConnected

__all__ = ["DEFAULTS", "RetryConfig", "request"]


@dataclass(frozen=True, kw_only=True)
class RetryConfig:
    """How often, and for how long. Times are in seconds.

    Attributes:
        tries: most times to ask, from 1.
        delay: pause after the first try.
        backoff: each pause is this many times as long as the one before, from 1.
        max_delay: longest pause.
        deadline: for all tries and pauses together, answers included; None for no limit.
        jitter: part of each pause that is left to chance, 0 to 1: with 1 it is anything from 0 to the
            full pause. For many clients that fail at the same moment.
        again: errors after which to ask again. Add ``OutcomeUnknown`` where being executed
            twice does no harm.
        rng: gives numbers from 0 up to 1, for the jitter.

    Raises:
        ValueError: a value that makes no sense.
    """

    tries: int = 10
    delay: float = 0.1
    backoff: float = 2.0
    max_delay: float = 5.0
    deadline: float | None = 5.0
    jitter: float = 0.0
    again: tuple[type[AsyncMachineError], ...] = (NotConnected,)
    rng: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        limits = {"tries": 1, "delay": 0, "backoff": 1, "max_delay": 0, "jitter": 0}
        for name, least in limits.items():
            if not getattr(self, name) >= least:  # nan too
                raise ValueError(f"{name} is {getattr(self, name)!r}, must be at least {least}")
        if not self.jitter <= 1:
            raise ValueError(f"jitter is {self.jitter!r}, must be at most 1")
        if self.deadline is not None and not self.deadline > 0:
            raise ValueError(f"deadline is {self.deadline!r}, must be above 0, or None")

    def pauses(self) -> Iterator[float]:
        """The pause after each try, in seconds, without end."""
        full = min(self.delay, self.max_delay)
        while True:
            yield full * (1 - self.jitter * self.rng())
            full = min(full * self.backoff, self.max_delay)


DEFAULTS: Final = RetryConfig()


async def request(
    mutate: Callable[..., Awaitable[Result]], *states: Any, config: RetryConfig = DEFAULTS, **args: Any
) -> Result:
    """Call ``mutate(*states, **args)`` until its result is not canceled; that result, which is executed.

    Args:
        mutate: a method of a machine or mirror, such as ``machine.add``, or any function like it.
        states: names of states.
        config: how often. An argument of the mutation that is named so too needs a function of your own:
            ``request(lambda: machine.add("Foo", config=1))``.

    Raises:
        GaveUp: too many tries, or out of time. It says which, and what the last answer was.
        MachineDisposed: the machine of that method is gone: asking again is in vain.
        AsyncMachineError: any error that ``config.again`` does not name, at once.
    """
    began = anyio.current_time()
    end = began + config.deadline if config.deadline is not None else float("inf")
    what = f"{getattr(mutate, '__name__', mutate)}({', '.join(map(repr, states))})"
    owner = getattr(mutate, "__self__", None)
    last: Result | AsyncMachineError | None = None
    for tried, pause in zip(range(1, config.tries + 1), config.pauses(), strict=False):
        with anyio.CancelScope(deadline=end) as scope:
            try:
                last = await mutate(*states, **args)
            except config.again as error:
                last = error
        if scope.cancelled_caught:
            raise GaveUp(what, f"no answer within {config.deadline} s", tried, _since(began), last)
        if isinstance(last, Result) and not last.canceled:
            return last
        if getattr(owner, "disposed", False):
            raise MachineDisposed(getattr(owner, "id", repr(owner)))
        if tried == config.tries:
            break
        if anyio.current_time() + pause >= end:
            reason = f"the next try would be after {config.deadline} s"
            raise GaveUp(what, reason, tried, _since(began), last)
        await anyio.sleep(pause)
    raise GaveUp(what, "no try is left", config.tries, _since(began), last)


def _since(began: float) -> float:
    return anyio.current_time() - began
