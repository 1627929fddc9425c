"""The checks see what they are for; that they hold for aRPC is tested with its scenario."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from asyncmachine.schema import Schema, State
from asyncmachine.testing.clock import run_virtual
from asyncmachine.testing.sim.ledger import Ledger, Violation
from asyncmachine.testing.sim.trace import Trace

SCHEMA = Schema(
    "Small",
    {"A": State(rpc={"client": ("read",)}), "Work": State(rpc={"client": ("read",)}), "Hidden": State()},
    roles=("client",),
)


class FakeProcess:
    def __init__(self, name: str, alive: bool) -> None:
        self.alive = alive
        self.host = SimpleNamespace(name=name)


def process(name: str = "c1", *, alive: bool = True) -> Any:
    return FakeProcess(name, alive)


def mirror(epoch: int = 1, work: int = 0, name: str = "c1", ticks: tuple[int, ...] = (0, 0, 0, 0)) -> Any:
    return SimpleNamespace(epoch=epoch, id=f"mirror-{name}", tick=lambda state: work, time=lambda: ticks)


def check(story: Callable[[Ledger], Any]) -> list[str]:
    """The violations that *story* leads to."""

    async def main() -> list[str]:
        ledger = Ledger(SCHEMA, "client", Trace())
        ledger.begin(1, (0, 0, 0, 0))
        result = story(ledger)
        if hasattr(result, "__await__"):
            await result
        return ledger.violations

    return cast("list[str]", run_virtual(main))


def test_only_what_may_be_read_is_compared() -> None:
    def story(ledger: Ledger) -> None:
        assert ledger.visible((1, 2, 3, 4)) == tuple(
            tick if name in ("A", "Work") else 0
            for name, tick in zip(SCHEMA.names, (1, 2, 3, 4), strict=True)
        )

    assert check(story) == []


def test_mirrors_show_what_was_and_never_go_back() -> None:
    def story(ledger: Ledger) -> None:
        for tick in (1, 2, 3):
            ledger.moved(1, (tick, 0, 0, 0))
        at = ledger.shown("c1", 1, (1, 0, 0, 0), 0)
        at = ledger.shown("c1", 1, (3, 0, 0, 0), at)
        assert at == 3
        assert ledger.violations == []
        assert ledger.shown("c1", 1, (2, 0, 0, 0), at) == at
        ledger.shown("c1", 1, (9, 0, 0, 0), 0)
        ledger.shown("c1", 2, (0, 0, 0, 0), 0)

    found = check(story)
    assert len(found) == 3
    assert "which the source showed before" in found[0]
    assert "which the source never showed; it is [(3, 0, 0, 0)]" in found[1]
    assert "never showed; it is []" in found[2]


@pytest.mark.parametrize(
    ("outcome", "runs", "work", "problem"),
    [
        ("executed", 1, 5, None),
        ("executed", 0, 5, "not executed once"),
        ("executed", 1, 4, "the mirror does not show it yet"),
        ("unknown", 0, 0, None),
        ("unknown", 1, 0, None),
        ("given up", 1, 0, None),
        ("refused", 0, 0, None),
        ("refused", 1, 0, "executed nevertheless"),
        ("canceled", 1, 0, "executed nevertheless"),
        ("unsent", 1, 0, "executed nevertheless"),
        ("unknown", 2, 0, "executed again"),
    ],
)
def test_outcomes(outcome: str, runs: int, work: int, problem: str | None) -> None:
    def story(ledger: Ledger) -> None:
        call = ledger.ask(process(), True)
        assert call.token is not None
        for _ in range(runs):
            ledger.executed(call.token, 1, 5)
        ledger.end(call, outcome, mirror(work=work))
        ledger.check_calls(1.0, set())

    found = check(story)
    assert bool(found) == bool(problem)
    if problem:
        assert problem in found[0]


def test_requests_of_one_process_are_executed_in_their_order() -> None:
    def story(ledger: Ledger) -> None:
        one, other = process(), process()
        calls = [ledger.ask(who, True) for who in (one, one, other, one)]
        for at in (1, 2, 0, 3):
            ledger.executed(calls[at].token or 0, 1, 1)

    (found,) = check(story)
    assert found.startswith("executed after request 2, which was made later: request 1 of ")


def test_a_call_ends_once_and_in_time() -> None:
    async def story(ledger: Ledger) -> None:
        slow, frozen, pending, dead, twice, late = (
            ledger.ask(process("c2" if n == 1 else "c1", alive=n != 3), True) for n in range(6)
        )
        await anyio.sleep(2)
        for call in (slow, frozen):
            ledger.end(call, "unknown", mirror())
        ledger.end(late, "refused", mirror())
        late.ended = late.begun
        assert late.token is not None
        ledger.executed(late.token, 1, 1)
        ledger.end(twice, "unknown", mirror())
        twice.ended = twice.begun
        assert ledger.violations == []
        ledger.end(twice, "executed", mirror())
        ledger.check_calls(1.5, {"c2"})
        assert pending.outcome == dead.outcome == ""

    found = check(story)
    assert [text.partition(":")[0] for text in found] == [
        "ended again, executed",
        "took 2.000 s, 1.500 s are allowed",
        "never ended",
        "executed afterwards",
    ]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, None),
        ({"data": b"other"}, "payload p1: 5 bytes, arrival 1 at mirror-c1"),
        ({"name": "c2"}, "arrival 1 at mirror-c2"),
        ({"epoch": 2}, "arrival 1 at mirror-c1"),
        ({"ticks": (0, 0, 0, 0)}, "payload p1 came before what the source did before it"),
    ],
)
def test_payloads(change: dict[str, Any], problem: str | None) -> None:
    def story(ledger: Ledger) -> None:
        ledger.moved(1, (1, 0, 0, 0))
        parcel = ledger.parcel(1, "c1", 3, acknowledged=True)
        data = change.pop("data", parcel.data)
        assert ledger.arrived(parcel.name, data, mirror(**{"ticks": (1, 0, 0, 0), **change}))
        ledger.dispatched(parcel, "delivered")
        ledger.check_payloads(1, 1)

    found = check(story)
    assert bool(found) == bool(problem)
    if problem:
        assert problem in found[0]


def test_payloads_that_are_lost_doubled_or_pending() -> None:
    async def story(ledger: Ledger) -> None:
        lost, doubled, pending, elsewhere = (ledger.parcel(e, "c1", 1, True) for e in (1, 1, 1, 1))
        elsewhere.epoch = 7
        ledger.dispatched(lost, "delivered")
        for _ in range(2):
            ledger.arrived(doubled.name, doubled.data, mirror())
        ledger.dispatched(doubled, "undelivered")
        await anyio.sleep(2)
        ledger.check_payloads(1, 1)
        assert pending.outcome == ""

    assert check(story) == [
        "payload p1 was acknowledged, and has not arrived",
        "payload p2: 1 bytes, arrival 2 at mirror-c1",
        "nobody knows what became of payload p3",
    ]


def test_the_first_violation_is_raised_where_it_is_waited_for() -> None:
    async def story(ledger: Ledger) -> None:
        with anyio.move_on_after(10) as scope:
            await ledger.watch()
        assert scope.cancelled_caught
        ledger.broken("this")
        ledger.broken("that")
        with pytest.raises(Violation, match="this"):
            await ledger.watch()

    assert check(story) == ["this", "that"]
