from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmachine._wire.cbor import dump
from asyncmachine.errors import ArgsError, WorkError, WorkTimeout
from asyncmachine.node.args import (
    ERROR,
    GRANTED,
    OK,
    REFUSED,
    TIMEOUT,
    Answer,
    LostNotice,
    PoolStatus,
    WorkerStatus,
    WorkResult,
    decode_value,
    encode_value,
)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)

WORKER = WorkerStatus(worker="w1", phase="idle", pid=1, age=0.5, jobs=2, client="", states=("Idle", "Ready"))
RECORDS = [
    Answer(request=1, status=GRANTED, lease=2, worker="w1", host="::1", port=9, ticket=b"\x01" * 32),
    Answer(request=2, status="busy", reason="full", retry_after=1.5),
    LostNotice(worker="w1", lease=2, reason="ended by SIGKILL"),
    PoolStatus(
        request=3,
        kind="k",
        states=("Start",),
        clients=("c",),
        started=2,
        lost=1,
        waiting=0,
        workers=(WORKER,),
    ),
]


@given(VALUES)
def test_plain_values_come_back_as_they_were(value: Any) -> None:
    assert decode_value(encode_value(value)) == value


@pytest.mark.parametrize("value", [object(), {1, 2}, {1: "a"}, 2**64, [object()], len])
def test_what_has_no_plain_form_is_refused_at_the_caller(value: Any) -> None:
    with pytest.raises(ArgsError, match=r"input cannot be sent: .*; use None, bool"):
        encode_value(value, "input")


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x01\x01", b"\xc0\x00", b"\x9f\xff"])
def test_what_is_no_value_is_refused(data: bytes) -> None:
    with pytest.raises(ArgsError, match="answer is not valid CBOR"):
        decode_value(data, "answer")


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: type(r).__name__)
def test_records_come_back_as_they_were(record: Any) -> None:
    assert type(record).decode(record.encode()) == record


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"port": "80"}, "Answer.port: expected int, got str"),
        ({"ticket": "x"}, "Answer.ticket: expected bytes"),
        ({"extra": 1}, "Answer has fields"),
    ],
)
def test_records_are_strict(change: dict[str, Any], message: str) -> None:
    fields = decode_value(RECORDS[0].encode()) | change
    with pytest.raises(ArgsError, match=message):
        Answer.decode(encode_value(fields))


def test_a_record_is_a_map() -> None:
    with pytest.raises(ArgsError, match="Answer: expected dict, got list"):
        Answer.decode(encode_value([1]))


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (WorkResult(1, OK, b"\x01", seconds=0.5), None),
        (WorkResult(2, ERROR, kind="ValueError", message="bad", traceback="tb"), WorkError),
        (WorkResult(3, TIMEOUT, message="too long"), WorkTimeout),
        (WorkResult(4, REFUSED, message="draining"), WorkError),
    ],
)
def test_results_come_back_as_they_were(result: WorkResult, error: type[Exception] | None) -> None:
    assert WorkResult.decode(result.encode()) == result
    found = result.error()
    assert found is None if error is None else type(found) is error


def test_an_error_keeps_the_remote_traceback() -> None:
    error = WorkResult(2, ERROR, kind="ValueError", message="bad", traceback="tb").error()
    assert isinstance(error, WorkError)
    assert (error.kind, error.message, error.traceback, str(error)) == (
        "ValueError",
        "bad",
        "tb",
        "ValueError: bad",
    )


@pytest.mark.parametrize(
    "row", [[], [1], [1, "ok", b""], ["1", "ok", b"", 0.1], [1, "ok", b"", 0.1, "", ""], {"a": 1}]
)
def test_results_are_strict(row: Any) -> None:
    with pytest.raises(ArgsError, match=r"^result"):
        WorkResult.decode(dump(row))
