"""Blocked event loops are seen from another thread, which ends when nobody needs it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from math import inf
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from asyncmachine.api import Tracer
from asyncmachine.machine import Machine
from asyncmachine.schema import Schema, State
from asyncmachine.watchdog import SHARED, Guard, SlowHandlers, Watchdog

SCHEMA = Schema("Test", {"A": State()})
DEADLINE = 0.02


class Heard(logging.Handler):
    """Sets an event with the first record about a transition; a busy computer may cause others."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.event = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        if " in <m1/1 " in self.lines[-1]:
            self.event.set()


@pytest.fixture
def heard() -> Any:
    handler = Heard()
    logger = logging.getLogger("asyncmachine.watchdog")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


class Loop:
    """An event loop that answers when it is told to."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []
        self.recovered: list[float] = []
        self.guard = Guard(
            "m1", 10.0, self.calls.append, describe=lambda: "<m1/5>", recovered=self.recovered.append
        )

    def answer(self) -> None:
        self.calls.pop(0)()


def test_a_loop_that_answers_is_asked_again(heard: Heard) -> None:
    loop = Loop()
    for now in (0.0, 5.0, 11.0):
        assert loop.guard.check(now) == now + 5.0
        assert len(loop.calls) == 1
        loop.answer()
    assert (heard.lines, loop.recovered) == ([], [])


def test_an_overdue_answer_is_told_once_with_the_stack(heard: Heard) -> None:
    loop = Loop()
    loop.guard.check(100.0)
    assert loop.guard.check(105.0) == 110.0
    assert heard.lines == []
    for now in (110.0, 115.0, 130.0):
        assert loop.guard.check(now) == now + 5.0
    (line,) = heard.lines
    assert line.startswith("machine m1: its event loop has not answered for 10.0 s, in <m1/5>;")
    assert "test_an_overdue_answer_is_told_once_with_the_stack" in line
    loop.answer()
    assert len(loop.recovered) == 1
    loop.guard.check(135.0)
    loop.guard.check(146.0)
    assert len(heard.lines) == 2


def test_a_loop_that_has_ended_is_never_asked_again() -> None:
    def ended(call: Callable[[], object]) -> None:
        raise RuntimeError("closed")

    guard = Guard("m1", 10.0, ended, describe=str, recovered=lambda seconds: None)
    assert guard.check(0.0) == inf


def test_the_thread_lives_while_somebody_is_watched() -> None:
    watchdog = Watchdog()
    assert watchdog._thread is None
    one, two = Loop(), Loop()
    watchdog.watch(one.guard)
    thread = watchdog._thread
    assert thread is not None
    assert thread.daemon
    watchdog.watch(two.guard)
    assert watchdog._thread is thread
    watchdog.unwatch(one.guard)
    watchdog.unwatch(two.guard)
    thread.join(10)
    assert not thread.is_alive()
    watchdog.unwatch(two.guard)
    watchdog.watch(one.guard)
    again = watchdog._thread
    assert again is not None
    watchdog.unwatch(one.guard)
    again.join(10)
    assert not again.is_alive()


@pytest.mark.anyio
async def test_a_handler_that_blocks_the_loop_is_found(heard: Heard) -> None:
    reports: list[tuple[str, Mapping[str, Any]]] = []
    told = anyio.Event()

    class Reports(Tracer):
        def report(self, machine: Any, kind: str, details: Mapping[str, Any]) -> None:
            reports.append((kind, details))
            if kind == "blocked":
                told.set()

    def a_state(event: Any) -> None:
        assert heard.event.wait(10), "the watchdog saw nothing"

    slow = SlowHandlers(timeout=inf, deadline=DEADLINE)
    async with Machine(SCHEMA, SimpleNamespace(a_state=a_state), id="m1", slow=slow) as m:
        m.trace(Reports())
        m.add("A")
        await told.wait()
    (line,) = [line for line in heard.lines if "in <m1/1 [add] A>;" in line]
    assert "assert heard.event.wait(10)" in line
    for kind, details in reports:
        assert kind == "blocked"
        assert details["limit"] == DEADLINE
        assert details["seconds"] >= DEADLINE


@pytest.mark.anyio
async def test_no_thread_is_started_unless_asked_for() -> None:
    async with Machine(SCHEMA), Machine(SCHEMA, slow=SlowHandlers()):
        assert SHARED._guards == {}


@pytest.mark.anyio
async def test_a_machine_that_ends_is_watched_no_more() -> None:
    async with Machine(SCHEMA, slow=SlowHandlers(deadline=600.0)):
        assert len(SHARED._guards) == 1
        thread = SHARED._thread
    assert SHARED._guards == {}
    assert thread is not None
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    "values",
    [
        {"timeout": 0.0},
        {"timeout": -1.0},
        {"timeout": float("nan")},
        {"deadline": 0.0},
        {"deadline": inf},
        {"policy": "abort"},
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        SlowHandlers(**values)
