"""Reports on the ends of workers, and the one reason in each."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from asyncmachine._wire.cbor import dump
from asyncmachine.errors import ArgsError, StaleDecision
from asyncmachine.node.exits import ExitBook, ExitReason, ExitReport, Orders, check_clock, ordered, reason_of
from asyncmachine.node.launchers.base import Exit, Reason
from asyncmachine.node.pool import Action, Drain, Kill, Phase, Stop, WorkerRecord

REPORT = ExitReport(
    worker="w1",
    kind="test",
    reason=ExitReason.SIGNALLED,
    detail="ended by SIGKILL",
    signal=9,
    pid=77,
    phase="busy",
    age=1.5,
    user=0.5,
    max_rss=1 << 20,
    jobs=3,
    client="ann",
    lease=4,
    request=5,
    clock={"Ready": 1, "Working": 7, "Idle": 6},
    output=b"last \xff words",
)

CLEAN = Exit(reason=Reason.EXITED, code=0)
FAILED = Exit(reason=Reason.EXITED, code=1)
KILLED = Exit(reason=Reason.SIGNALLED, signal=9)
TERMINATED = Exit(reason=Reason.SIGNALLED, signal=15)
OUT_OF_MEMORY = Exit(reason=Reason.SIGNALLED, signal=9, oom=True)
LOST = Exit(reason=Reason.UNKNOWN)


def test_it_survives_cbor_and_goes_into_json() -> None:
    assert ExitReport.decode(REPORT.encode()) == REPORT
    assert ExitReport.decode(REPORT.encode()).reason is ExitReason.SIGNALLED
    plain = json.loads(json.dumps(REPORT.as_json()))
    assert (plain["reason"], plain["output"]) == ("signalled", "last \\xff words")
    assert plain["clock"] == dict(REPORT.clock)
    assert REPORT.states == ("Ready", "Working")


@pytest.mark.parametrize("change", [{"reason": "bored"}, {"code": "0"}, {"clock": {"Idle": ""}}, {"x": 1}])
def test_a_report_that_is_none_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ArgsError):
        ExitReport.decode(dump({**REPORT._plain(), **change}))
    with pytest.raises(ArgsError):
        ExitReport.decode(b"\xff")


def record(phase: Phase) -> WorkerRecord:
    return WorkerRecord(id="w1", phase=phase, since=0, launched=0, seen=0)


@pytest.mark.parametrize(
    ("action", "phase", "draining", "end", "reason"),
    [
        (None, "idle", False, FAILED, "exited"),
        (None, "idle", False, CLEAN, "exited"),
        (None, "busy", False, KILLED, "signalled"),
        (None, "busy", False, OUT_OF_MEMORY, "oom"),
        (None, "idle", False, LOST, "unknown"),
        (None, "draining", False, CLEAN, "drained"),
        (None, "draining", False, KILLED, "signalled"),
        (None, "busy", False, None, "launch_failed"),
        (Stop("w1", "recycled: 3 jobs done"), "idle", False, CLEAN, "recycled"),
        (Stop("w1", "recycled: 3 jobs done"), "idle", False, TERMINATED, "recycled"),
        (Stop("w1", "recycled: 3 jobs done"), "idle", False, KILLED, "signalled"),
        (Stop("w1", "idle for 300 s"), "idle", False, CLEAN, "surplus"),
        (Stop("w1", "the pool ends"), "idle", True, CLEAN, "drained"),
        (Drain("w1", "recycled: reload", patient=True), "leased", False, CLEAN, "recycled"),
        (Drain("w1", "4 errors in 600 s"), "busy", False, CLEAN, "drained"),
        (Kill("w1", "silent for 6 s"), "busy", False, KILLED, "heartbeat_lost"),
        (Kill("w1", "silent for 6 s"), "draining", False, KILLED, "heartbeat_lost"),
        (Kill("w1", "still there"), "stopping", False, KILLED, "killed_by_supervisor"),
        (Kill("w1", "too late"), "stopping", False, FAILED, "exited"),
    ],
)
def test_there_is_one_reason(
    action: Action | None, phase: Phase, draining: bool, end: Exit | None, reason: str
) -> None:
    orders = Orders()
    if action is not None:
        ordered(orders, action, record(phase), draining)
    assert reason_of(end, orders, phase, booted=True) == reason


def test_what_does_not_move_is_not_what_is_not_heard_of() -> None:
    orders = Orders()
    stuck = replace(record("busy"), stuck=True)
    ordered(orders, Kill("w1", "stalled: nothing moved for 30 s"), stuck, draining=False)
    assert reason_of(KILLED, orders, "killed", booted=True) is ExitReason.STALLED


@pytest.mark.parametrize("end", [CLEAN, FAILED, KILLED, OUT_OF_MEMORY])
def test_what_never_was_ready_has_failed_to_boot(end: Exit) -> None:
    assert reason_of(end, Orders(), "booting", booted=False) is ExitReason.BOOT_FAILED
    orders = Orders()
    ordered(orders, Kill("w1", "not ready 15 s after its launch"), record("booting"), draining=False)
    assert reason_of(KILLED, orders, "killed", booted=False) is ExitReason.BOOT_FAILED


def test_the_first_request_counts_and_a_kill_more() -> None:
    orders = Orders()
    ordered(orders, Stop("w1", "recycled: old"), record("idle"), draining=False)
    ordered(orders, Stop("w1", "the pool ends"), record("stopping"), draining=True)
    assert reason_of(CLEAN, orders, "stopping", booted=True) is ExitReason.RECYCLED
    ordered(orders, Kill("w1", "still there"), record("stopping"), draining=True)
    assert reason_of(KILLED, orders, "killed", booted=True) is ExitReason.KILLED_BY_SUPERVISOR


def test_the_book_keeps_the_last_and_not_too_much_of_each() -> None:
    book = ExitBook(keep=2)
    for number in range(3):
        book.add(ExitReport(worker=f"w{number}", kind="k", reason=ExitReason.EXITED, output=b"x" * 100_000))
    assert [report.worker for report in book] == ["w1", "w2"]
    assert len(book) == 2
    assert {len(report.output) for report in book} == {65536}
    assert book.of("w0") is None
    found = book.of("w2")
    assert found is not None
    request, reports = ExitBook.read(book.answer(7, "", "ann"))
    assert (request, [len(r.output) for r in reports]) == (7, [2048, 2048])
    assert ExitBook.read(book.answer(7, "w2", "ann"))[1] == (found,)
    assert ExitBook.read(book.answer(7, "w9", "ann"))[1] == ()


def test_output_is_for_those_whom_it_concerns() -> None:
    book = ExitBook()
    book.add(REPORT)
    assert ExitBook.read(book.answer(1, "w1", "ann"))[1] == (REPORT,)
    (foreign,) = ExitBook.read(book.answer(1, "w1", "bob"))[1]
    assert (foreign.output, foreign.reason) == (b"", REPORT.reason)


@pytest.mark.parametrize("data", [b"\xff", dump(3), dump([1]), dump([1, [{}]]), dump(["1", []])])
def test_an_answer_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(ArgsError):
        ExitBook.read(data)


def test_a_stale_decision_says_what_has_changed() -> None:
    check_clock("w1", 5, None)
    check_clock("w1", 5, 5)
    with pytest.raises(StaleDecision, match="w1 has moved from clock 4 to 5") as caught:
        check_clock("w1", 5, 4)
    assert (caught.value.worker, caught.value.expected, caught.value.clock) == ("w1", 4, 5)
