"""The plan of a pool: examples of each rule, and random histories against what must always hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from asyncmachine.node.config import PoolConfig
from asyncmachine.node.pool import (
    Action,
    Drain,
    Escalate,
    Kill,
    Launch,
    Phase,
    PoolView,
    Recover,
    Stop,
    WorkerRecord,
    applied,
    derive,
    desired,
    next_deadline,
    pick_idle,
    plan,
    retired,
)
from asyncmachine.node.restarts import Failure, Restarts

CONFIG = PoolConfig(min=2, max=6, warm=2, spawn_parallelism=4)


def worker(name: str, phase: Phase = "idle", **fields: Any) -> WorkerRecord:
    return WorkerRecord(**{"id": name, "phase": phase, "since": 0.0, "launched": 0.0, "seen": 0.0, **fields})


def view(*workers: WorkerRecord, **fields: Any) -> PoolView:
    return PoolView(workers={w.id: w for w in workers}, **fields)


def broken(why: str = "bad", next_probe: float = 30.0) -> Restarts:
    return Restarts(broken=why, next_probe=next_probe)


def only(actions: Iterable[Action], kind: type[Any]) -> list[Any]:
    return [a for a in actions if isinstance(a, kind)]


# -- size -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("leased", "waiting", "wanted"),
    [(0, 0, 2), (1, 0, 3), (3, 0, 5), (4, 0, 6), (6, 0, 6), (0, 5, 5), (2, 3, 5), (3, 99, 6)],
)
def test_wanted_is_leased_plus_spares_within_bounds(leased: int, waiting: int, wanted: int) -> None:
    v = view(*(worker(f"w{i}", "busy" if i % 2 else "leased") for i in range(leased)), waiting=waiting)
    assert desired(v, CONFIG) == wanted
    assert desired(replace(v, draining=True), CONFIG) == 0


def test_empty_pool_launches_what_is_wanted() -> None:
    assert plan(view(), CONFIG, 0.0) == [Launch(2)]


def test_launches_are_limited_in_parallel() -> None:
    config = PoolConfig(min=6, max=6, spawn_parallelism=4)
    assert plan(view(), config, 0.0) == [Launch(4)]
    assert plan(view(worker("a", "booting"), worker("b", "spawning"), worker("c", "idle")), config, 0.0) == [
        Launch(2)
    ]
    assert plan(view(cpus=3), PoolConfig(min=6, max=6), 0.0) == [Launch(3)]


def test_leaving_workers_count_towards_max_until_they_are_reaped() -> None:
    config = PoolConfig(min=3, max=3, warm=0)
    leaving = [worker("a", "stopping"), worker("b", "killed"), worker("c", "draining")]
    assert plan(view(*leaving), config, 0.0) == []
    assert plan(view(*leaving[:2]), config, 0.0) == [Launch(1)]


def test_no_launch_during_a_pause() -> None:
    v = view(restarts=Restarts(not_before=5.0))
    assert plan(v, CONFIG, 4.9) == []
    assert next_deadline(v, CONFIG, 4.9) == 5.0
    assert plan(v, CONFIG, 5.0) == [Launch(2)]


def test_spares_are_stopped_when_they_have_been_idle_for_long_oldest_first() -> None:
    idle = [worker(f"w{i}", since=float(i), seen=310.0) for i in range(4)]
    assert only(plan(view(*idle), CONFIG, 299.9), Stop) == []
    assert plan(view(*idle), CONFIG, 300.5) == [Stop("w0", "idle for 300 s")]
    assert plan(view(*idle), CONFIG, 310.0) == [Stop("w0", "idle for 300 s"), Stop("w1", "idle for 300 s")]


def test_a_smaller_max_takes_effect_at_once_on_idle_workers_only() -> None:
    workers = [worker("a", "busy"), worker("b", "busy"), worker("c"), worker("d")]
    assert plan(view(*workers), PoolConfig(min=1, max=3, warm=1), 0.0) == [Stop("c", "more than 3 workers")]
    assert plan(view(*workers), PoolConfig(min=1, max=1, warm=0), 0.0) == [
        Stop("c", "more than 1 workers"),
        Stop("d", "more than 1 workers"),
    ]


# -- deadlines --------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["spawning", "booting"])
def test_a_start_that_takes_too_long_is_killed(phase: Phase) -> None:
    v = view(worker("a", phase))
    assert only(plan(v, CONFIG, 14.9), Kill) == []
    assert next_deadline(v, CONFIG, 14.9) == 15.0
    assert plan(v, CONFIG, 15.0) == [Kill("a", "not ready 15 s after its launch"), Launch(2)]


@pytest.mark.parametrize("phase", ["idle", "leased", "busy", "draining"])
def test_a_silent_worker_is_killed(phase: Phase) -> None:
    v = view(worker("a", phase))
    assert only(plan(v, CONFIG, 5.9), Kill) == []
    assert only(plan(v, CONFIG, 6.0), Kill) == [Kill("a", "silent for 6 s")]


def test_draining_ends_and_stopping_ends() -> None:
    assert only(plan(view(worker("a", "draining", seen=29.0)), CONFIG, 30.0), Stop) == [
        Stop("a", "still at work after 30 s of draining")
    ]
    assert only(plan(view(worker("a", "stopping")), CONFIG, 4.9), Kill) == []
    assert only(plan(view(worker("a", "stopping")), CONFIG, 5.0), Kill) == [
        Kill("a", "still there 5 s after it was asked to stop")
    ]


def test_a_worker_with_too_many_errors_is_replaced() -> None:
    errors = (1.0, 2.0, 3.0, 4.0)
    workers = [worker("a", errors=errors, seen=10.0), worker("b", seen=10.0)]
    assert plan(view(*workers), CONFIG, 10.0) == [Stop("a", "recycled: 4 errors in 600 s"), Launch(1)]
    held = worker("a", "busy", errors=errors, seen=10.0)
    assert only(plan(view(held), CONFIG, 10.0), Drain) == [Drain("a", "4 errors in 600 s")]
    late = replace(held, seen=601.5)
    assert only(plan(view(late), CONFIG, 601.5), Drain) == [], "the first error is forgotten"


def test_errors_are_remembered_for_their_time_only() -> None:
    record = worker("a", errors=(0.0, 500.0)).failed(650.0, CONFIG)
    assert record.errors == (500.0, 650.0)


# -- recycling --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "fields", "reason"),
    [
        ({"max_jobs": 10}, {"jobs": 10}, "10 jobs done"),
        ({"max_rss": 1000}, {"rss": 1000}, "1000 bytes of memory"),
        ({"max_age": 50}, {}, "50 s old"),
        ({}, {"retire": "reload"}, "reload"),
    ],
)
def test_worn_workers_are_replaced_one_at_a_time(
    config: dict[str, Any], fields: dict[str, Any], reason: str
) -> None:
    c = replace(CONFIG, **config)
    workers = [worker("a", seen=50.0, **fields), worker("b", seen=50.0, **fields)]
    actions = plan(view(*workers), c, 50.0)
    assert actions == [Stop("a", f"recycled: {reason}"), Launch(1)]
    v = applied(view(*workers), actions, 50.0)
    assert plan(v.having(worker("new", "spawning", launched=50.0)), c, 50.0) == []
    gone = v.without("a").having(worker("new", since=51.0, launched=51.0, seen=51.0))
    assert only(plan(gone, c, 51.0), Stop) == [Stop("b", f"recycled: {reason}")]


def test_held_workers_are_not_recycled() -> None:
    workers = [worker("a", "busy", jobs=99), worker("b"), worker("c")]
    assert plan(view(*workers), replace(CONFIG, max_jobs=10), 0.0) == []


def test_nothing_is_recycled_while_launches_fail() -> None:
    workers = [worker("a", retire="reload"), worker("b")]
    assert plan(view(*workers, restarts=broken()), CONFIG, 0.0) == []


# -- breaker ----------------------------------------------------------------------------------


def test_broken_pool_escalates_once_probes_and_recovers() -> None:
    v = view(restarts=broken("3 workers in a row failed"))
    assert plan(v, CONFIG, 10.0) == [Escalate("3 workers in a row failed")]
    v = applied(v, plan(v, CONFIG, 10.0), 10.0)
    assert plan(v, CONFIG, 10.0) == []
    assert next_deadline(v, CONFIG, 10.0) == 30.0
    assert plan(v, CONFIG, 30.0) == [Launch(1)], "one probe, however many are missing"
    probing = replace(
        v.having(worker("p", "booting", launched=30.0)), restarts=v.restarts.launched(CONFIG, 30.0)
    )
    assert plan(probing, CONFIG, 30.0) == []
    alive = replace(probing.having(worker("p", seen=31.0)), restarts=probing.restarts.succeeded(30.0))
    assert plan(alive, CONFIG, 31.0) == [Recover(), Launch(1)]


def test_a_pool_that_has_what_it_wants_is_not_in_trouble() -> None:
    v = view(worker("a"), worker("b"), restarts=broken(), broken=True)
    assert plan(v, CONFIG, 0.0) == [Recover()]


# -- end --------------------------------------------------------------------------------------


def test_draining_pool_stops_in_reverse_order_and_launches_nothing() -> None:
    held = [worker("a", "busy"), worker("b"), worker("c", "leased")]
    v = view(*held, worker("d", "booting"), worker("e", "stopping"), draining=True)
    actions = plan(v, CONFIG, 0.0)
    assert [(type(a).__name__, a.worker) for a in actions if isinstance(a, Stop | Drain)] == [
        ("Stop", "d"),
        ("Drain", "c"),
        ("Stop", "b"),
        ("Drain", "a"),
    ]
    assert len(actions) == 4
    assert plan(applied(v, actions, 0.0), CONFIG, 0.0) == []


# -- derived states ---------------------------------------------------------------------------


def test_derived_states_of_a_whole_pool() -> None:
    d = derive(view(worker("a"), worker("b")), CONFIG, 1.0)
    assert (d.pool_ready, d.pool_warm, d.workers_available, d.normalized) == (True, True, True, True)
    assert (d.wanted, d.total, d.starting, d.idle, d.leased, d.leaving) == (2, 2, 0, 2, 0, 0)


def test_derived_states_while_workers_come_and_go() -> None:
    d = derive(
        view(worker("a"), worker("b", "booting"), worker("c", "killed"), worker("d", "busy")), CONFIG, 1.0
    )
    assert (d.pool_ready, d.pool_warm, d.workers_available, d.normalized) == (True, False, True, False)
    assert (d.wanted, d.total, d.starting, d.idle, d.leased, d.leaving) == (3, 4, 1, 1, 1, 1)


def test_a_silent_or_stalled_worker_is_not_offered() -> None:
    for record in (worker("a"), worker("a", seen=4.0, stalled=True)):
        v = view(record)
        assert not derive(v, CONFIG, 4.0).workers_available
        assert pick_idle(v, CONFIG, 4.0) is None
    assert pick_idle(view(worker("a")), CONFIG, 2.9) is not None


def test_a_draining_pool_offers_nothing() -> None:
    v = view(worker("a"), worker("b"), draining=True)
    d = derive(v, CONFIG, 0.0)
    assert (d.pool_ready, d.pool_warm, d.workers_available) == (False, False, False)
    assert pick_idle(v, CONFIG, 0.0) is None


# -- picking ----------------------------------------------------------------------------------


def test_pick_prefers_no_recent_errors_then_the_warmest() -> None:
    v = view(worker("a", since=1.0), worker("b", since=3.0, errors=(2.0,)), worker("c", since=2.0))
    names = []
    while (chosen := pick_idle(v, CONFIG, 2.5, tried=names)) is not None:
        names.append(chosen.id)
    assert names == ["c", "a", "b"]


def test_pick_avoids_workers_about_to_be_replaced_unless_there_is_no_other() -> None:
    v = view(worker("a"), worker("b", since=2.0, retire="reload"), worker("c", "leased"))
    assert [pick_idle(v, CONFIG, 2.0, tried=t).id for t in ((), ("a",))] == ["a", "b"]  # type: ignore[union-attr]


def test_only_an_idle_worker_can_be_held() -> None:
    held = worker("a").held_by("client", 7, 1.0)
    assert (held.phase, held.client, held.lease, held.since) == ("leased", "client", 7, 1.0)
    with pytest.raises(ValueError, match="worker a is leased, only an idle one can be leased to 'other'"):
        held.held_by("other", 8, 1.0)
    assert held.entered("busy", 2.0).client == "client"
    assert held.entered("draining", 2.0).lease == 7
    assert (held.entered("idle", 2.0).client, held.entered("stopping", 2.0).lease) == ("", 0)


def test_reload_takes_idle_ones_first_and_held_ones_without_a_limit() -> None:
    config = PoolConfig(min=2, max=3, warm=0, drain=1)
    old = retired(view(worker("a", "busy", client="c"), worker("b", "idle")), "reload")
    assert plan(old, config, 1) == [Stop("b", "recycled: reload"), Launch(1)]
    half = old.without("b").having(worker("n", "idle"))
    action, _ = plan(half, config, 1)
    assert action == Drain("a", "recycled: reload", patient=True)
    later = applied(half, [action], 1)
    for record in later.workers.values():
        later = later.having(replace(record, seen=1000.0))
    assert plan(later, config, 1000) == [Launch(1)]
    assert plan(replace(later, draining=True), config, 1000) == [
        Stop("n", "the pool ends"),
        Drain("a", "the pool ends"),
    ]


# -- random histories -------------------------------------------------------------------------


class Pool(RuleBasedStateMachine):
    """A pool that does what is planned, among workers that start, work, fail and die at random."""

    @initialize(
        least=st.integers(0, 3), more=st.integers(0, 4), warm=st.integers(0, 4), parallel=st.integers(1, 3)
    )
    def begin(self, least: int, more: int, warm: int, parallel: int) -> None:
        self.config = PoolConfig(
            min=least, max=max(1, least + more), warm=warm, spawn_parallelism=parallel, max_jobs=5
        )
        self.view = PoolView()
        self.now = 0.0
        self.serial = 0
        self.launches: list[float] = []
        self.failures: list[float] = []
        self.escalated = 0
        self.step()

    def step(self) -> None:
        """Perform the plan, as a supervisor does."""
        actions = plan(self.view, self.config, self.now)
        recycled = [a for a in actions if isinstance(a, Stop | Drain) and a.reason.startswith("recycled")]
        assert len(recycled) <= 1
        if recycled:
            assert not self.view.count({"spawning", "booting", "draining", "stopping", "killed"})
            assert self.view.count({"idle", "leased", "busy"}) >= desired(self.view, self.config)
        self.view = applied(self.view, actions, self.now)
        for action in actions:
            if isinstance(action, Launch):
                assert action.count > 0
                for _ in range(action.count):
                    self.serial += 1
                    record = worker(
                        f"w{self.serial}", "spawning", since=self.now, launched=self.now, seen=self.now
                    )
                    self.view = self.view.having(record)
                    self.launches.append(self.now)
                self.view = replace(self.view, restarts=self.view.restarts.launched(self.config, self.now))
        assert plan(self.view, self.config, self.now) == [], "performed once, nothing is left to do"

    def some(self, data: st.DataObject, *phases: Phase) -> WorkerRecord | None:
        fit = [w for w in self.view.workers.values() if w.phase in phases]
        return data.draw(st.sampled_from(fit)) if fit else None

    def put(self, record: WorkerRecord) -> None:
        self.view = self.view.having(replace(record, seen=self.now))
        self.step()

    def heartbeats(self) -> None:
        """All workers that can give a sign of life, do."""
        for w in list(self.view.workers.values()):
            if w.phase in ("idle", "leased", "busy", "draining"):
                self.view = self.view.having(replace(w, seen=self.now))

    @rule(data=st.data())
    def boots(self, data: st.DataObject) -> None:
        if record := self.some(data, "spawning", "booting"):
            ready = record.phase == "booting"
            self.put(record.entered("idle" if ready else "booting", self.now))
            if ready and record.id in self.view.workers:
                self.view = replace(self.view, restarts=self.view.restarts.succeeded(record.launched))
                self.step()

    @rule()
    def leases(self) -> None:
        if record := pick_idle(self.view, self.config, self.now):
            assert record.client == ""
            self.put(record.held_by("c", self.serial, self.now))

    @rule(data=st.data())
    def works(self, data: st.DataObject) -> None:
        if record := self.some(data, "leased"):
            self.put(replace(record.entered("busy", self.now), jobs=record.jobs + 1))

    @rule(data=st.data())
    def returns(self, data: st.DataObject) -> None:
        if record := self.some(data, "leased", "busy"):
            self.put(record.entered("idle", self.now))

    @rule(data=st.data())
    def errs(self, data: st.DataObject) -> None:
        if record := self.some(data, "idle", "leased", "busy"):
            self.put(record.failed(self.now, self.config))

    @rule(data=st.data())
    def leaves_as_asked(self, data: st.DataObject) -> None:
        if record := self.some(data, "stopping", "killed", "draining"):
            self.view = self.view.without(record.id)
            self.step()

    @rule(data=st.data(), jitter=st.floats(0, 1))
    def dies(self, data: st.DataObject, jitter: float) -> None:
        if record := self.some(data, "spawning", "booting", "idle", "leased", "busy"):
            failure = Failure(
                launched=record.launched,
                booted=record.phase not in ("spawning", "booting"),
                workers=len(self.view.workers),
                jitter=jitter,
            )
            self.failures.append(self.now)
            restarts = self.view.restarts.failed(failure, self.config, self.now)
            self.view = replace(self.view.without(record.id), restarts=restarts)
            self.step()

    @rule(seconds=st.floats(0.01, 40), alive=st.booleans())
    def waits(self, seconds: float, alive: bool) -> None:
        self.now += seconds
        if alive:
            self.heartbeats()
        self.step()

    @rule()
    def reloads(self) -> None:
        self.view = retired(self.view, "reload")
        self.step()

    @rule(data=st.data())
    def stalls(self, data: st.DataObject) -> None:
        if record := self.some(data, "busy"):
            self.put(replace(record, stuck=True))
            assert self.view.workers[record.id].phase == "killed"

    @rule(waiting=st.integers(0, 8))
    def requests_wait(self, waiting: int) -> None:
        self.view = replace(self.view, waiting=waiting)
        self.step()

    @invariant()
    def holds(self) -> None:
        d = derive(self.view, self.config, self.now)
        assert d.total <= self.config.max, "never more than max"
        assert d.starting + d.idle + d.leased + d.leaving == d.total
        assert d.starting <= 3
        assert d.wanted <= self.config.max
        for w in self.view.workers.values():
            assert w.client == "" or w.phase in ("leased", "busy", "draining"), (
                "only a held worker has a client"
            )
        deadline = next_deadline(self.view, self.config, self.now)
        assert deadline is None or deadline > self.now

    @invariant()
    def no_fork_storm(self) -> None:
        """With the breaker open, launches are probes, one per interval."""
        if self.view.restarts.broken:
            recent = [t for t in self.launches if t > max(self.failures, default=0.0)]
            assert len(recent) <= 1 or self.now - recent[0] >= self.config.probe_every

    def teardown(self) -> None:
        """Whatever has happened: once workers behave, the pool becomes whole, without being polled."""
        if not hasattr(self, "config"):
            return
        for _ in range(200):
            done = derive(self.view, self.config, self.now)
            if done.normalized and not self.view.broken and not self.view.restarts.broken:
                break
            for record in list(self.view.workers.values()):
                if record.phase in ("stopping", "killed", "draining"):
                    self.view = self.view.without(record.id)
                elif record.phase in ("spawning", "booting"):
                    self.view = replace(
                        self.view.having(record.entered("idle", self.now)),
                        restarts=self.view.restarts.succeeded(record.launched),
                    )
            self.heartbeats()
            before = self.view
            self.step()
            if self.view == before:
                deadline = next_deadline(self.view, self.config, self.now)
                if deadline is None:
                    break
                self.now = deadline
                self.heartbeats()
        final = derive(self.view, self.config, self.now)
        assert final.normalized, (self.view, self.config)
        assert final.pool_ready
        assert not self.view.broken


TestPool = Pool.TestCase
TestPool.settings = settings(settings(), stateful_step_count=40, max_examples=60)


@pytest.mark.soak
@pytest.mark.timeout(1800)
class TestPoolForLong(Pool.TestCase):  # type: ignore[misc, name-defined]
    """The same, longer and with other seeds each time."""

    settings = settings(settings(), stateful_step_count=100, max_examples=1500, derandomize=False)


def test_a_crash_loop_is_bounded() -> None:
    """Workers that die 200 ms after they became ready: ten minutes, no jitter in our favour."""
    config = PoolConfig(min=4, max=4, warm=0)
    state, now, launches = PoolView(cpus=2), 0.0, 0
    while now < 600:
        for action in plan(state, config, now):
            if isinstance(action, Launch):
                for _ in range(action.count):
                    launches += 1
                    record = worker(f"w{launches}", "booting", since=now, launched=now, seen=now)
                    state = state.having(record)
                state = replace(state, restarts=state.restarts.launched(config, now))
            state = applied(state, [action], now)
        for record in list(state.workers.values()):
            if record.phase == "booting" and now - record.launched >= 0.1:
                state = replace(
                    state.having(record.entered("idle", now)),
                    restarts=state.restarts.succeeded(record.launched),
                )
            elif record.phase == "idle" and now - record.since >= 0.2:
                failure = Failure(launched=record.launched, booted=True, workers=4, jitter=0.0)
                state = replace(
                    state.without(record.id), restarts=state.restarts.failed(failure, config, now)
                )
        now = round(now + 0.05, 6)
    assert 20 <= launches <= 21 * (3 + 4 + 1), f"{launches} launches in 20 windows"
