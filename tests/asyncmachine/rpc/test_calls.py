from __future__ import annotations

import logging
from math import inf

import pytest

from asyncmachine.errors import ArgsError, Denied, OutcomeUnknown, RemoteError
from asyncmachine.rpc.calls import Calls, printable
from asyncmachine.rpc.protocol.messages import Code, Error, Result

pytestmark = pytest.mark.anyio


async def test_every_status_ends_a_call() -> None:
    calls = Calls(10, 3.0)
    replies = {}
    for status in (0, 1, 2, 4, 6, 9):
        rid = calls.number()
        replies[status] = calls.wait_for(rid, 0.0)[1]
        calls.answer(Result(rid, status, 40, None))
    assert (await replies[0]).executed
    assert (await replies[1]).canceled
    assert (await replies[2]).tick == 40
    assert (await replies[6]).canceled
    with pytest.raises(RemoteError, match="too late"):
        await replies[4]
    with pytest.raises(OutcomeUnknown, match="status 9"):
        await replies[9]


@pytest.mark.parametrize(
    ("code", "error"),
    [(Code.DENIED, Denied), (Code.ARGS, ArgsError), (Code.STATE, RemoteError), (99, RemoteError)],
)
async def test_every_refusal_ends_a_call(code: int, error: type[Exception]) -> None:
    calls = Calls(10, 3.0)
    _, reply = calls.wait_for(calls.number(), 0.0)
    calls.refuse(Error(code, "no\x1b[31m\n", 1))
    with pytest.raises(error) as caught:
        await reply
    assert str(caught.value) == "no\\x1b[31m\\n"


async def test_time_and_the_end_of_a_session() -> None:
    calls = Calls(10, 3.0)
    assert calls.deadline() == inf
    due, first = calls.wait_for(calls.number(), 0.0)
    assert due == calls.deadline() == 3.0
    _, second = calls.wait_for(calls.number(), 1.0)
    calls.expire(3.0)
    assert calls.deadline() == 4.0
    with pytest.raises(OutcomeUnknown, match=r"no answer in 3\.0 s"):
        await first
    calls.answer(Result(1, 0, 0, None))
    calls.fail_all("cable cut")
    with pytest.raises(OutcomeUnknown, match="cable cut"):
        await second


def test_answers_to_nobody() -> None:
    calls = Calls(10, 3.0)
    calls.answer(Result(5, 0, 0, None))
    calls.refuse(Error(4, "x", 5))


def test_a_refusal_without_reply_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "asyncmachine.rpc"):
        Calls(1, 1.0).refuse(Error(4, "not for you\n", 5))
    assert "not for you\\n" in caplog.text


def test_printable() -> None:
    assert printable("naïve text") == "naïve text"
    assert printable("a\u202eb\x00") == "a\\u202eb\\x00"
