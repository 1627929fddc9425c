from __future__ import annotations

from math import inf

import pytest

from asyncmachine.rpc.config import Limits
from asyncmachine.rpc.gate import REMEMBERED, Gate, Meter


def test_strangers_are_counted_in_all_and_by_address() -> None:
    gate = Gate(Limits())
    assert sum(gate.enter("a") for _ in range(20)) == 16
    assert sum(gate.enter("") for _ in range(20)) == 20
    assert sum(gate.enter(f"b{n}") for n in range(100)) == 64 - 36
    assert gate.full()
    assert gate.unauthenticated == 64
    gate.leave("a")
    assert not gate.full()
    assert gate.enter("a")
    assert not gate.enter("c")


def test_who_fails_too_often_waits_longer_each_time_and_is_forgiven_after_a_minute() -> None:
    gate = Gate(Limits())
    delays = []
    for n in range(12):
        delays.append(gate.delay("a", float(n)))
        gate.failed("a", float(n))
    assert delays == [0, 0, 0, 0, 0, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert gate.delay("b", 12.0) == 0
    assert gate.delay("a", 71.5) == 0
    assert gate.failures("a", 72.0) == 0


def test_the_memory_of_failures_is_bounded() -> None:
    gate = Gate(Limits())
    for n in range(REMEMBERED + 100):
        gate.failed(f"a{n}", 0.0)
        gate.begin(f"a{n}", 0.0)
    assert gate.failures("a0", 0.0) == 0
    assert gate.failures(f"a{REMEMBERED + 99}", 0.0) == 1
    assert len(gate._failures) == len(gate._begun) == REMEMBERED
    for _ in range(5000):
        gate.failed("a", 0.0)
    assert gate.failures("a", 0.0) == 1000


def test_sessions_of_one_identity_in_a_second() -> None:
    gate = Gate(Limits())
    assert sum(gate.begin("a", 0.0) for _ in range(50)) == 10
    assert gate.begin("b", 0.0)
    assert sum(gate.begin("a", 0.5) for _ in range(50)) == 5
    free = Gate(Limits(session_rate=inf))
    assert all(free.begin("a", 0.0) for _ in range(1000))


def test_requests_within_the_rate_are_never_held() -> None:
    meter = Meter(Limits(), 0.0)
    assert meter.charge(2000, 0.0) == 0.0
    assert all(meter.charge(99, n / 10) == n / 10 for n in range(1, 200))


def test_what_is_owed_is_paid_by_time() -> None:
    meter = Meter(Limits(), 0.0)
    assert meter.charge(2500, 0.0) == 0.5
    assert meter.charge(1, 0.5) == pytest.approx(0.501)


@pytest.mark.parametrize(("chunk", "flood"), [(64, False), (900, False), (3000, True)])
def test_only_who_owes_much_again_and_again_is_a_flood(chunk: int, flood: bool) -> None:
    """It reads as told: so who keeps a window of requests is slowed down, for ever, and no more."""
    meter = Meter(Limits(), 0.0)
    now, got = 0.0, 0
    for _ in range(100):
        on = meter.charge(chunk, now)
        if on == inf:
            break
        got += chunk
        now = on
    assert (on == inf) is flood
    assert got <= 2000 + chunk + now * 1000
    assert not flood or now < 40


def test_no_rate() -> None:
    assert Meter.wanted(Limits())
    assert not Meter.wanted(Limits(request_rate=inf))
