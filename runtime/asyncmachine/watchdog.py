"""What to do about handlers that take long, and the thread that looks after blocked event loops.

A plain handler cannot be interrupted. One that ends late is measured by the machine itself; one that
does not end at all can only be seen from another thread. That thread is started for the first machine
that asks for it, shared by all, and ends with the last. It has each event loop answer a call now and then;
when an answer is overdue it logs the stack of that loop's thread.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Literal

from asyncmachine._threads import Post

__all__ = ["SHARED", "Guard", "SlowHandlers", "Watchdog"]

_log = logging.getLogger("asyncmachine.watchdog")


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowHandlers:
    """What to do about plain handlers that take long.

    Attributes:
        timeout: seconds after which a handler, once it ends, is reported as ``slow-handler``.
        policy: ``warn`` reports only; ``cancel`` cancels the mutation too: what a negotiation handler has
            answered is a veto then, and a final handler is rolled back, without Exception.
        deadline: seconds after which a blocked event loop is reported, with its stack, by a thread of
            its own; None for no such thread. Needs ``async with machine:``.

    Raises:
        ValueError: a value is out of range.
    """

    timeout: float = 0.1
    policy: Literal["warn", "cancel"] = "warn"
    deadline: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.timeout <= inf:
            raise ValueError(f"timeout is {self.timeout}, it must be positive seconds")
        if self.deadline is not None and not 0 < self.deadline < inf:
            raise ValueError(f"deadline is {self.deadline}, it must be positive seconds, or None")
        if self.policy not in ("warn", "cancel"):
            raise ValueError(f"policy is {self.policy!r}, it must be 'warn' or 'cancel'")


class Guard:
    """One event loop under watch. Made in its thread.

    Args:
        name: of the machine that asked for it.
        deadline: seconds an answer may take.
        post: has the event loop call a function.
        describe: what the machine is doing, called in the thread of the watchdog.
        recovered: called in the guarded thread when it answers after all, with the seconds that took.
    """

    def __init__(
        self,
        name: str,
        deadline: float,
        post: Post,
        *,
        describe: Callable[[], str],
        recovered: Callable[[float], None],
    ) -> None:
        self._name = name
        self._deadline = deadline
        self._post = post
        self._describe = describe
        self._recovered = recovered
        self._thread = threading.get_ident()
        self._asked: float | None = None  # since when an answer is awaited
        self._told = False

    def check(self, now: float) -> float:
        """Ask, or see that an answer is overdue. Returns when to check again, infinity for never.

        Args:
            now: seconds of ``time.monotonic()``.
        """
        asked = self._asked
        if asked is None:
            self._asked, self._told = now, False
            try:
                self._post(self._answer)
            except RuntimeError:
                return inf  # the loop has ended
            return now + self._deadline / 2
        if now - asked < self._deadline:
            return asked + self._deadline
        if not self._told:
            self._told = True
            self._dump(now - asked)
        return now + self._deadline / 2

    def _answer(self) -> None:
        asked, self._asked = self._asked, None
        if self._told and asked is not None:
            self._recovered(time.monotonic() - asked)

    def _dump(self, seconds: float) -> None:
        frame = sys._current_frames().get(self._thread)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else "(no stack)\n"
        _log.error(
            "machine %s: its event loop has not answered for %.1f s, in %s; its thread is at\n%s",
            self._name,
            seconds,
            self._describe(),
            stack.rstrip(),
        )


class Watchdog:
    """The thread, and the guards it looks after. For any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._guards: dict[Guard, None] = {}
        self._thread: threading.Thread | None = None

    def watch(self, guard: Guard) -> None:
        """Look after *guard* from now on."""
        with self._changed:
            self._guards[guard] = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="asyncmachine watchdog", daemon=True)
                self._thread.start()
            self._changed.notify()

    def unwatch(self, guard: Guard) -> None:
        """Forget *guard*. The thread ends when there is none left."""
        with self._changed:
            self._guards.pop(guard, None)
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                guards = list(self._guards)
                if not guards:
                    self._thread = None
                    return
            # Without the lock: logging may take its time, and need the thread that wants to unwatch.
            due = min(guard.check(time.monotonic()) for guard in guards)
            with self._changed:
                if list(self._guards) == guards:
                    self._changed.wait(None if due == inf else max(0.0, due - time.monotonic()))


SHARED = Watchdog()
"""The one of this process."""
