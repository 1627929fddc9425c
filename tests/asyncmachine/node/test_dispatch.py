"""Every job gets exactly one outcome, and none that may have begun is handed out again unasked."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from asyncmachine.node.dispatch import MAX_RERUNS, Dispatcher, Job, Lost


def filled(count: int, workers: str = "ab", **options: object) -> Dispatcher[str]:
    made: Dispatcher[str] = Dispatcher(**options)  # type: ignore[arg-type]
    for worker in workers:
        made.join(worker)
    for index in range(count):
        made.add(Job(index, b""))
    return made


def handed(dispatcher: Dispatcher[str]) -> dict[str, list[int]]:
    given: dict[str, list[int]] = {}
    for worker, job in dispatcher.assign():
        given.setdefault(worker, []).append(job.index)
    return given


def test_jobs_go_to_the_worker_with_the_fewest() -> None:
    dispatcher = filled(6, depth=2)
    assert handed(dispatcher) == {"a": [0, 2], "b": [1, 3]}
    assert not dispatcher.has_room
    assert dispatcher.open == 6
    assert dispatcher.done("b", 1, 0.001) == Job(1, b"")
    assert handed(dispatcher) == {"b": [4]}


def test_without_workers_jobs_wait() -> None:
    dispatcher = filled(2, "")
    assert handed(dispatcher) == {}
    dispatcher.join("late")
    assert handed(dispatcher) == {"late": [0, 1]}


def test_only_the_oldest_job_of_a_dead_worker_is_lost() -> None:
    dispatcher = filled(4, "a", depth=4)
    handed(dispatcher)
    dispatcher.done("a", 0, 0.001)
    assert dispatcher.leave("a") == Lost(Job(1, b"", deaths=1), poison=False)
    dispatcher.join("b")
    assert handed(dispatcher) == {"b": [2, 3]}


def test_a_worker_that_took_its_leave_has_begun_nothing_more() -> None:
    dispatcher = filled(3, "a", depth=3)
    handed(dispatcher)
    assert dispatcher.leave("a", dismissed=True) is None
    dispatcher.join("b")
    assert handed(dispatcher) == {"b": [0, 1, 2]}


def test_idempotent_jobs_run_again_until_they_are_poison() -> None:
    dispatcher = filled(1, "", idempotent=True)
    for death in range(MAX_RERUNS):
        dispatcher.join(f"w{death}")
        assert handed(dispatcher) == {f"w{death}": [0]}
        assert dispatcher.leave(f"w{death}") is None
    assert dispatcher.reruns == MAX_RERUNS
    dispatcher.join("last")
    handed(dispatcher)
    lost = dispatcher.leave("last")
    assert lost is not None
    assert (lost.poison, lost.job.deaths) == (True, MAX_RERUNS + 1)
    assert dispatcher.open == 0


def test_a_refused_job_moves_on_and_its_worker_gets_no_more() -> None:
    dispatcher = filled(3, "ab", depth=1)
    assert handed(dispatcher) == {"a": [0], "b": [1]}
    dispatcher.refused("a", 0)
    assert handed(dispatcher) == {}
    dispatcher.done("b", 1, 0.001)
    assert handed(dispatcher) == {"b": [0]}, "in the order of the inputs"


def test_late_and_strange_answers_are_ignored() -> None:
    dispatcher = filled(1, "ab")
    handed(dispatcher)
    assert dispatcher.done("b", 0, 0.1) is None
    assert dispatcher.done("nobody", 0, 0.1) is None
    dispatcher.refused("nobody", 0)
    assert dispatcher.leave("nobody") is None
    assert dispatcher.open == 1


def test_cancelled_jobs_are_forgotten() -> None:
    dispatcher = filled(2, "a", depth=1)
    handed(dispatcher)
    assert dispatcher.cancel(0) == ("a", Job(0, b""))
    assert dispatcher.cancel(1) is None
    assert dispatcher.cancel(1) is None
    assert dispatcher.open == 0


@pytest.mark.parametrize(("seconds", "depth"), [(10.0, 1), (0.06, 1), (0.001, 2), (0.0001, 16), (0.0, 16)])
def test_the_depth_follows_the_time_a_job_takes(seconds: float, depth: int) -> None:
    dispatcher = filled(100, "a", depth=None)
    for index in range(60):
        handed(dispatcher)
        dispatcher.done("a", index, seconds)
    assert dispatcher.depth == depth


def test_a_depth_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="depth is 0"):
        Dispatcher(depth=0)


class Workers(RuleBasedStateMachine):
    """Workers come, answer, refuse, take their leave and die at random."""

    idempotent = False

    def __init__(self) -> None:
        super().__init__()
        self.dispatcher: Dispatcher[int] = Dispatcher(idempotent=self.idempotent, depth=3)
        self.jobs = self.workers = 0
        self.held: dict[int, list[int]] = {}
        self.outcomes: dict[int, str] = {}
        self.maybe_begun: set[int] = set()  # the oldest job of each worker

    def give(self) -> None:
        for worker, job in self.dispatcher.assign():
            if not self.idempotent:
                assert job.index not in self.maybe_begun, "handed out again, though it may have run"
            assert job.index not in self.outcomes
            self.held[worker].append(job.index)
            if len(self.held[worker]) == 1:
                self.maybe_begun.add(job.index)

    def finish(self, job: int, what: str) -> None:
        assert job not in self.outcomes, "a second outcome"
        self.outcomes[job] = what

    def next_begins(self, worker: int) -> None:
        if self.held[worker]:
            self.maybe_begun.add(self.held[worker][0])

    @rule()
    def input_arrives(self) -> None:
        self.dispatcher.add(Job(self.jobs, b""))
        self.jobs += 1
        self.give()

    @rule()
    def worker_joins(self) -> None:
        self.workers += 1
        self.held[self.workers] = []
        self.dispatcher.join(self.workers)
        self.give()

    @precondition(lambda self: any(self.held.values()))
    @rule(data=st.data())
    def worker_answers(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from([w for w, jobs in self.held.items() if jobs]))
        job = self.held[worker].pop(0)
        assert self.dispatcher.done(worker, job, 0.001) is not None
        self.finish(job, "done")
        self.next_begins(worker)
        self.give()

    @precondition(lambda self: any(len(jobs) > 1 for jobs in self.held.values()))
    @rule(data=st.data())
    def worker_refuses(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from([w for w, jobs in self.held.items() if len(jobs) > 1]))
        self.dispatcher.refused(worker, self.held[worker].pop())
        self.give()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def worker_dies(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(sorted(self.held)))
        jobs = self.held.pop(worker)
        lost = self.dispatcher.leave(worker)
        if lost is not None:
            assert lost.job.index == jobs[0]
            self.finish(lost.job.index, "lost")
        else:
            assert self.idempotent or not jobs
        self.give()

    @invariant()
    def every_job_is_somewhere(self) -> None:
        assert self.dispatcher.open + len(self.outcomes) == self.jobs

    def teardown(self) -> None:
        """A worker that lives ends all that is left."""
        self.worker_joins()
        while any(self.held.values()):
            for worker in [w for w, jobs in self.held.items() if jobs]:
                job = self.held[worker].pop(0)
                self.dispatcher.done(worker, job, 0.001)
                self.finish(job, "done")
                self.next_begins(worker)
                self.give()
        assert sorted(self.outcomes) == list(range(self.jobs))


class IdempotentWorkers(Workers):
    idempotent = True


TestWorkers = Workers.TestCase
TestWorkers.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestIdempotentWorkers = IdempotentWorkers.TestCase
TestIdempotentWorkers.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
