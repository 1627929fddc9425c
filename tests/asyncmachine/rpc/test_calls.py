from __future__ import annotations

import logging
from math import inf

import anyio
import pytest

from asyncmachine.errors import ArgsError, Denied, OutcomeUnknown, RemoteError
from asyncmachine.rpc.calls import Calls, printable
from asyncmachine.rpc.protocol.messages import Code, Error, Mutate, Result

pytestmark = pytest.mark.anyio


def ask(rid: int) -> Mutate:
    return Mutate(rid, 0, [0], None, 2, 3000)


async def test_every_status_ends_a_call() -> None:
    calls = Calls(10, 3.0)
    replies = {}
    for status in (0, 1, 2, 4, 6, 9):
        rid = calls.number()
        replies[status] = calls.wait_for(ask(rid), 0.0)[1]
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
    _, reply = calls.wait_for(ask(calls.number()), 0.0)
    calls.refuse(Error(code, "no\x1b[31m\n", 1))
    with pytest.raises(error) as caught:
        await reply
    assert str(caught.value) == "no\\x1b[31m\\n"


async def test_time_and_the_end_of_a_session() -> None:
    calls = Calls(10, 3.0)
    assert calls.deadline() == inf
    due, first = calls.wait_for(ask(calls.number()), 0.0)
    assert due == calls.deadline() == 3.0
    _, second = calls.wait_for(ask(calls.number()), 1.0)
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


async def test_what_was_lost_is_asked_again_with_the_time_that_is_left() -> None:
    calls = Calls(10, 3.0)
    replies = [calls.wait_for(ask(calls.number()), float(n))[1] for n in range(3)]
    calls.answer(Result(2, 0, 0, None))
    calls.lost()
    assert calls.again(True, 1, 2.5) == [ask(1)._replace(ttl=500), ask(3)._replace(ttl=2500)]
    assert calls.again(True, 1, 3.5) == [ask(1)._replace(ttl=0), ask(3)._replace(ttl=1500)]
    assert calls.again(True, 0, 3.5) == [ask(3)._replace(ttl=1500)]
    assert calls.deadline() == 3.0
    calls.answer(Result(1, 1, 0, None))
    calls.answer(Result(3, 0, 0, None))
    assert [(await reply).executed for reply in replies] == [False, True, True]


async def test_another_server_is_asked_nothing_again() -> None:
    calls = Calls(10, 3.0)
    _, reply = calls.wait_for(ask(calls.number()), 0.0)
    calls.lost()
    assert calls.again(False, 0, 1.0) == []
    with pytest.raises(OutcomeUnknown, match="the server that was asked is gone"):
        await reply


async def test_what_was_answered_waits_for_a_clock_that_shows_it() -> None:
    calls = Calls(10, 3.0)
    _, reply = calls.wait_for(ask(calls.number()), 0.0)
    calls.lost((Result(1, 0, 0, None),))
    assert not reply.done
    assert calls.again(True, 1, 1.0) == []
    calls.shown()
    assert (await reply).executed


async def test_a_cancelled_await_takes_its_request_back_once() -> None:
    calls = Calls(10, 3.0)
    taken: list[int] = []
    calls.cancel = taken.append
    _, reply = calls.wait_for(ask(calls.number()), 0.0)
    for _ in range(2):
        with anyio.move_on_after(0):
            await reply
    assert taken == [1]
    assert len(calls) == 1
    calls.answer(Result(1, 0, 0, None))
    assert (await reply).executed


async def test_one_that_was_taken_back_is_not_asked_again() -> None:
    calls = Calls(10, 3.0)
    _, reply = calls.wait_for(ask(calls.number()), 0.0)
    reply.abandon()
    calls.lost()
    assert calls.again(True, 1, 0.0) == []
    with pytest.raises(OutcomeUnknown, match="it was canceled"):
        await reply


def test_one_that_is_late_is_taken_back() -> None:
    calls = Calls(10, 3.0)
    taken: list[int] = []
    calls.cancel = taken.append
    calls.wait_for(ask(calls.number()), 0.0)
    calls.expire(3.0)
    assert taken == [1]
    assert len(calls) == 0


def test_h75_answers_to_nobody_are_told_from_late_ones() -> None:
    calls = Calls(10, 3.0)
    calls.wait_for(ask(calls.number()), 0.0)
    calls.expire(3.0)
    assert calls.answer(Result(1, 0, 0, None))
    assert not calls.answer(Result(1, 0, 0, None))
    assert not calls.answer(Result(7, 0, 0, None))
