"""Pauses and the breaker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmachine.node.config import PoolConfig
from asyncmachine.node.restarts import Failure, Restarts

CONFIG = PoolConfig()


def boot_failure(launched: float, *, jitter: float = 1.0, workers: int = 4) -> Failure:
    return Failure(
        launched=launched, booted=False, workers=workers, jitter=jitter, text="w1 exited with code 1"
    )


def crash(launched: float, *, jitter: float = 1.0, workers: int = 4) -> Failure:
    return Failure(launched=launched, booted=True, workers=workers, jitter=jitter)


def test_a_fresh_pool_launches_at_once() -> None:
    assert Restarts().ready_at() == float("-inf")


def test_pauses_double_with_each_round_up_to_the_most() -> None:
    state, now, pauses = Restarts(), 0.0, []
    config = PoolConfig(boot_failures=99, intensity_allowance=99)
    for _ in range(12):
        state = state.failed(boot_failure(launched=now), config, now)
        pauses.append(round(state.ready_at() - now, 6))
        now = state.ready_at()
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert pauses[-3:] == [30.0, 30.0, 30.0]


@pytest.mark.parametrize(("jitter", "pause"), [(0.0, 0.05), (0.5, 0.075), (1.0, 0.1)])
def test_jitter_moves_the_pause_between_half_and_all(jitter: float, pause: float) -> None:
    assert Restarts().failed(boot_failure(0, jitter=jitter), CONFIG, 0).ready_at() == pytest.approx(pause)


def test_many_deaths_at_once_are_one_round() -> None:
    state = Restarts()
    for _ in range(6):
        state = state.failed(crash(launched=1.0), CONFIG, 10.0)
    assert state.rounds == 1
    assert state.ready_at() == 10.1


def test_a_long_quiet_time_starts_the_pauses_over() -> None:
    state = Restarts()
    for now in (0.0, 1.0, 2.0):
        state = state.failed(crash(now), CONFIG, now)
    assert state.rounds == 3
    assert state.failed(crash(62.5), CONFIG, 63.0).rounds == 1


def test_the_death_of_a_settled_worker_is_not_a_bad_start() -> None:
    state = Restarts()
    for now in (100.0, 101.0):
        state = state.failed(crash(now), CONFIG, now)
    assert state.failed(crash(launched=101.0), CONFIG, 162.0).rounds == 1


def test_three_failed_starts_open_the_breaker_and_say_why() -> None:
    state = Restarts()
    for now in (0.0, 1.0):
        state = state.failed(boot_failure(now), CONFIG, now)
        assert not state.broken
    state = state.failed(boot_failure(2.0), CONFIG, 2.0)
    assert state.broken == "3 workers in a row failed to start; the last: w1 exited with code 1"
    assert state.ready_at() == 32.0


def test_success_between_failed_starts_keeps_it_closed() -> None:
    state = Restarts()
    for now in range(10):
        state = state.failed(boot_failure(now), PoolConfig(intensity_allowance=99), now).succeeded(now)
    assert not state.broken


def test_intensity_is_counted_per_worker_and_window() -> None:
    state = Restarts()
    for now in range(7):  # 4 workers + 3
        state = state.failed(crash(now), CONFIG, float(now))
    assert not state.broken
    broken = state.failed(crash(7), CONFIG, 7.0)
    assert broken.broken == "8 abnormal exits in 30 s, 7 are allowed"
    assert not state.failed(crash(31), CONFIG, 31.0).broken, "the first of them are out of the window"


def test_a_probe_each_interval_and_success_closes() -> None:
    state = Restarts()
    for now in (0.0, 1.0, 2.0):
        state = state.failed(boot_failure(now), CONFIG, now)
    state = state.launched(CONFIG, 32.0)
    assert state.ready_at() == 62.0
    state = state.failed(boot_failure(32.0), CONFIG, 33.0)
    assert state.broken.startswith("4 workers")
    assert state.ready_at() == 62.0
    state = state.launched(CONFIG, 62.0)
    assert state.succeeded(2.0).broken, "that one was launched before the breaker opened"
    state = state.succeeded(62.0)
    assert not state.broken
    assert state.ready_at() < 62.0


@given(st.lists(st.tuples(st.floats(0, 50), st.booleans(), st.floats(0, 1)), max_size=60))
def test_pauses_and_memory_are_bounded(events: list[tuple[float, bool, float]]) -> None:
    state, now = Restarts(), 0.0
    for gap, booted, jitter in events:
        now += gap
        failure = Failure(launched=now - min(gap, 1), booted=booted, workers=3, jitter=jitter)
        state = state.failed(failure, CONFIG, now)
        assert state.not_before <= now + CONFIG.backoff_max
        assert state.ready_at() <= now + max(CONFIG.backoff_max, CONFIG.probe_every)
        assert all(t > now - CONFIG.intensity_window for t in state.exits)
