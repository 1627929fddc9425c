"""Who gets which worker, and when."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from asyncmachine.node.config import PoolConfig
from asyncmachine.node.leases import Busy, Denied, Granted, LeaseTable, Queued, Request


class Free:
    """Free workers, taken in order."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)

    def __call__(self, tried: Collection[str]) -> str | None:
        for name in self.names:
            if name not in tried:
                self.names.remove(name)
                return name
        return None


def request(client: str, number: int = 1, deadline: float = 100.0) -> Request:
    return Request(client=client, number=number, deadline=deadline)


def table(**fields: int) -> LeaseTable:
    return LeaseTable(PoolConfig(**fields))  # type: ignore[arg-type]


def test_free_worker_is_granted_at_once() -> None:
    t = table()
    answer = t.ask(request("a"), 0.0, Free("w1"))
    assert isinstance(answer, Granted)
    assert (answer.lease.id, answer.lease.worker, answer.lease.client, answer.lease.expires) == (
        1,
        "w1",
        "a",
        10.0,
    )
    assert t.of_worker("w1") == t.lease(1) == answer.lease
    assert t.held("a") == 1


def test_asking_again_never_takes_a_second_worker() -> None:
    t, free = table(), Free("w1", "w2")
    assert t.ask(request("a"), 0.0, free) == t.ask(request("a"), 1.0, free)
    assert free.names == ["w2"]
    t.ask(request("b"), 1.0, Free())
    assert t.ask(request("b"), 2.0, Free()) == Queued(1)
    assert t.waiting == 1


def test_a_worker_can_be_given_to_one_who_waits() -> None:
    t = table()
    t.ask(request("a"), 0.0, Free())
    t.ask(request("b", 1), 0.0, Free())
    t.ask(request("b", 2), 0.0, Free())
    lease = t.give("b", "w1", 1.0)
    assert lease is not None
    assert (lease.worker, lease.request.number) == ("w1", 1)
    assert t.waiting == 2
    assert t.give("c", "w2", 1.0) is None
    assert t.give("a", "w2", 100.0) is None, "its time is over"
    with pytest.raises(ValueError, match="leased already"):
        t.give("b", "w1", 1.0)
    assert t.waiting == 2


def test_who_waits_is_told_the_place() -> None:
    t = table()
    assert [t.ask(request(c), 0.0, Free()) for c in "abc"] == [Queued(1), Queued(2), Queued(3)]


def test_turns_are_fair_between_clients() -> None:
    t = table()
    for number in range(3):
        t.ask(request("greedy", number), 0.0, Free())
    assert t.ask(request("modest"), 0.0, Free()) == Queued(2)
    order = [lease.client for lease in t.serve(1.0, Free("w1", "w2", "w3", "w4"))]
    assert order == ["greedy", "modest", "greedy", "greedy"]


def test_nobody_who_came_later_passes_for_ever() -> None:
    t = table(max_client_workers=1000, queue_limit=1000)
    for number in range(5):
        t.ask(request("patient", number), 0.0, Free())
    served: list[str] = []
    for step in range(20):  # a new client each time a worker becomes free
        t.ask(request(f"new{step}"), 0.0, Free())
        served += [lease.client for lease in t.serve(0.0, Free(f"w{step}"))]
    assert served.count("patient") == 5


def test_a_later_request_does_not_take_the_worker_of_one_who_waits() -> None:
    t = table()
    t.ask(request("first"), 0.0, Free())
    assert t.ask(request("second"), 0.0, Free("w1")) == Queued(2)
    assert [x.client for x in t.serve(0.0, Free("w1"))] == ["first"]


def test_full_queue_is_said_with_an_estimate() -> None:
    t = table(queue_limit=1)
    t.ask(request("a", deadline=7.0), 0.0, Free())
    assert t.ask(request("b"), 2.0, Free()) == Busy(5.0)
    assert t.ask(request("b"), 6.9, Free()) == Busy(1.0)


def test_quota_counts_held_and_waiting() -> None:
    t = table(max_client_workers=2)
    t.ask(request("a", 1), 0.0, Free("w1"))
    t.ask(request("a", 2), 0.0, Free())
    answer = t.ask(request("a", 3), 0.0, Free("w2"))
    assert answer == Denied("client 'a' holds or waits for 2 workers, at most 2 are allowed")
    t.release(1)
    assert isinstance(t.ask(request("a", 3), 0.0, Free()), Queued)


def test_draining_and_late_requests_are_denied() -> None:
    t = table()
    assert t.ask(request("a"), 0.0, Free("w1"), draining=True) == Denied("the pool is draining")
    assert t.ask(request("a", deadline=5.0), 5.0, Free("w1")) == Denied(
        "the deadline of the request has passed"
    )


def test_refusal_goes_on_with_another_worker_then_is_denied() -> None:
    t = table(lease_tries=2)
    t.ask(request("a"), 0.0, Free("w1"))
    t.ask(request("b"), 0.0, Free())
    again = t.refused(1)
    assert isinstance(again, Request)
    assert again.tried == ("w1",)
    assert t.of_worker("w1") is None
    (lease,) = t.serve(0.0, Free("w1", "w2"))[:1]
    assert (lease.client, lease.worker, lease.id) == ("a", "w2", 2), "first in line, and not the same worker"
    assert t.refused(2) == Denied("2 workers refused: w1, w2")


def test_a_request_that_cannot_use_the_free_worker_does_not_hold_up_the_next() -> None:
    t = table()
    t.ask(request("a"), 0.0, Free("w1"))
    t.refused(1)
    t.ask(request("b"), 0.0, Free())
    assert [x.client for x in t.serve(0.0, Free("w1"))] == ["b"]


def test_unclaimed_ticket_and_late_request_expire() -> None:
    t = table()
    t.ask(request("a"), 0.0, Free("w1"))
    t.ask(request("b"), 0.0, Free("w2"))
    t.ask(request("c", deadline=3.0), 0.0, Free())
    assert t.claimed(2)
    assert t.next_deadline() == 3.0
    assert t.expire(2.9) == ([], [])
    late, unclaimed = t.expire(10.0)
    assert [r.client for r in late] == ["c"]
    assert [x.client for x in unclaimed] == ["a"]
    assert t.next_deadline() is None
    assert not t.claimed(1)


def test_ends_of_leases() -> None:
    t = table()
    t.ask(request("a"), 0.0, Free("w1"))
    lease = t.release_worker("w1")
    assert lease is not None
    assert (t.release_worker("w1"), t.release(lease.id), t.of_worker("w1")) == (None, None, None)


def test_a_client_that_is_gone_waits_no_more_but_keeps_what_its_workers_say() -> None:
    t = table()
    t.ask(request("a", 1), 0.0, Free("w1"))
    t.ask(request("a", 2), 0.0, Free())
    t.ask(request("b"), 0.0, Free())
    assert [x.worker for x in t.forget_client("a")] == ["w1"]
    assert t.waiting == 1
    assert t.held("a") == 1


def test_withdraw_and_deny_all() -> None:
    t = table()
    t.ask(request("a"), 0.0, Free())
    t.ask(request("b"), 0.0, Free())
    assert (t.withdraw("a", 1), t.withdraw("a", 1)) == (True, False)
    assert [r.client for r in t.deny_all()] == ["b"]
    assert t.waiting == 0


def test_a_worker_is_never_granted_twice() -> None:
    t = table()
    t.ask(request("a"), 0.0, Free("w1"))
    with pytest.raises(ValueError, match="'w1' is leased already, to 'a'"):
        t.ask(request("b"), 0.0, Free("w1"))


@pytest.mark.parametrize("first", [0, -1, 1 << 64])
def test_first_id_is_64_bits(first: int) -> None:
    with pytest.raises(ValueError, match="between 1 and"):
        LeaseTable(PoolConfig(), first=first)


class Leasing(RuleBasedStateMachine):
    """Random clients and workers against what must always hold."""

    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.free = {f"w{i}" for i in range(3)}
        self.table = LeaseTable(PoolConfig(max_client_workers=4, queue_limit=5))
        self.last_id = 0
        self.open: set[tuple[str, int]] = set()

    def pick(self, tried: Collection[str]) -> str | None:
        fit = sorted(self.free - set(tried))
        if not fit:
            return None
        self.free.remove(fit[0])
        return fit[0]

    def granted(self, lease_id: int, key: tuple[str, int]) -> None:
        assert lease_id > self.last_id, "ids only rise"
        self.last_id = lease_id
        self.open.discard(key)

    def serve(self) -> None:
        for lease in self.table.serve(self.now, self.pick):
            self.granted(lease.id, lease.request.key)

    @rule(
        target=requests, client=st.sampled_from("abc"), number=st.integers(0, 9), patience=st.floats(0.1, 20)
    )
    def ask(self, client: str, number: int, patience: float) -> Request:
        wanted = Request(client=client, number=number, deadline=self.now + patience)
        known = any(x.request.key == wanted.key for x in self.table.leases) or wanted.key in self.open
        answer = self.table.ask(wanted, self.now, self.pick)
        if known:
            assert isinstance(answer, Granted | Queued)
        elif isinstance(answer, Granted):
            self.granted(answer.lease.id, wanted.key)
        elif isinstance(answer, Queued):
            self.open.add(wanted.key)
            self.serve()
        return wanted

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if self.table.leases:
            lease = data.draw(st.sampled_from(self.table.leases))
            assert self.table.release(lease.id) == lease
            self.free.add(lease.worker)
            self.serve()

    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        if self.table.leases:
            lease = data.draw(st.sampled_from(self.table.leases))
            self.free.add(lease.worker)
            if isinstance(self.table.refused(lease.id), Request):
                self.open.add(lease.request.key)
            self.serve()

    @rule(asked=requests)
    def withdraw(self, asked: Request) -> None:
        assert self.table.withdraw(*asked.key) == (asked.key in self.open)
        self.open.discard(asked.key)

    @rule(seconds=st.floats(0, 15))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        late, unclaimed = self.table.expire(self.now)
        self.open -= {r.key for r in late}
        self.free |= {x.worker for x in unclaimed}
        self.serve()
        deadline = self.table.next_deadline()
        assert deadline is None or deadline > self.now

    @invariant()
    def holds(self) -> None:
        workers = [x.worker for x in self.table.leases]
        assert len(workers) == len(set(workers)), "a worker has one client"
        assert not self.free & set(workers)
        assert self.table.waiting == len(self.open), "everyone who waits is known, and is answered in the end"
        for client in "abc":
            assert self.table.held(client) <= 4
        positions = sorted(self.table.position(k) for k in self.open)
        assert positions == list(range(1, len(positions) + 1))
        unused: list[set[str]] = []
        self.table.serve(self.now, lambda tried: unused.append(self.free - set(tried)))
        assert not any(unused), "no worker stays free while somebody waits who could have it"


TestLeasing = Leasing.TestCase
TestLeasing.settings = settings(settings(), stateful_step_count=30)


@pytest.mark.soak
@pytest.mark.timeout(1800)
class TestLeasingForLong(Leasing.TestCase):  # type: ignore[misc, name-defined]
    """The same, longer and with other seeds each time."""

    settings = settings(settings(), stateful_step_count=100, max_examples=3000, derandomize=False)
