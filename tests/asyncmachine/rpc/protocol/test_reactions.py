from __future__ import annotations

from typing import Any

from asyncmachine.rpc.protocol.events import Closed, Installed, Moved
from asyncmachine.rpc.protocol.messages import Cancel, Code, Error, Mutate, Result, Resync, Snapshot, Update


def mutate(rid: int) -> Mutate:
    return Mutate(rid, 0, [1], None, 0, 3000)


def test_h74_request_ids_grow(talk: Any) -> None:
    pair = talk()
    assert pair.ask(mutate(2**63), mutate(2**64 - 1)) == [mutate(2**63), mutate(2**64 - 1)]
    (closed,) = pair.ask(mutate(2**64 - 1))
    assert (closed.code, closed.by_peer) == (Code.ORDER, False)
    for rid in (1, 2):
        other = talk()
        other.ask(mutate(2))
        (closed,) = other.ask(mutate(rid))
        assert closed.code == Code.ORDER


def test_results_wait_for_the_snapshot_that_shows_their_effect(talk: Any) -> None:
    pair = talk()
    lost, late = Result(1, 0, 1, Update(5, 6, 1, b"\x01\x01")), Result(2, 0, 1, None)
    assert pair.tell(lost, late) == []
    assert pair.tell(Snapshot(6, 1, b"\x01\x01\x00")) == [Installed([1, 1, 0]), lost, late]
    assert pair.tell(Update(6, 7, 1, b"\x02\x01")) == [Moved([(2, 0, 1)])]


def test_an_error_for_a_request_is_passed_on(talk: Any) -> None:
    pair = talk()
    assert pair.tell(Error(Code.DENIED, "no", 3)) == [Error(Code.DENIED, "no", 3)]
    assert pair.client.closed is None


def test_h78_h79_one_resync_in_five_seconds(talk: Any) -> None:
    pair = talk()
    assert pair.ask(Resync(1)) == [Resync(1)]
    pair.now = 5.0
    assert pair.ask(Resync(1)) == [Resync(1)]
    pair.now = 9.9
    (closed,) = pair.ask(Resync(1))
    assert isinstance(closed, Closed)
    assert closed.code == Code.RATE


def test_h71_a_request_is_canceled_once_and_not_before(talk: Any) -> None:
    pair = talk()
    pair.ask(mutate(1))
    assert pair.ask(Cancel(1)) == [Cancel(1)]
    for _ in range(100):
        assert pair.ask(Cancel(1)) == []
    (closed,) = pair.ask(Cancel(1))
    assert closed.code == Code.RATE
    (closed,) = talk().ask(Cancel(1))
    assert closed.code == Code.ORDER
