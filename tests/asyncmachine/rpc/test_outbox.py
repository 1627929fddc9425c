from __future__ import annotations

import logging
from math import inf

import pytest

from asyncmachine.errors import DeliveryError
from asyncmachine.rpc.outbox import Outbox
from asyncmachine.rpc.protocol.messages import PayloadAck, PayloadStatus

pytestmark = pytest.mark.anyio


async def test_accepted_and_not() -> None:
    outbox = Outbox(10, 5.0)
    replies = [outbox.wait_for(outbox.number(), 0.0) for _ in range(6)]
    for status in PayloadStatus:
        outbox.acknowledge(PayloadAck(status + 1, status, "because"), "me")
    outbox.acknowledge(PayloadAck(6, 77, ""), "me")
    await replies[0]
    await replies[3]
    for index, text in ((1, "rejected: because"), (2, "no consumer"), (4, "too big"), (5, "status 77")):
        with pytest.raises(DeliveryError, match=text):
            await replies[index]


async def test_time() -> None:
    outbox = Outbox(10, 5.0)
    assert outbox.deadline() == inf
    first, second = outbox.wait_for(outbox.number(), 0.0), outbox.wait_for(outbox.number(), 1.0)
    assert outbox.deadline() == 5.0
    outbox.expire(5.0)
    assert outbox.deadline() == 6.0
    with pytest.raises(DeliveryError, match=r"payload 1 was not acknowledged in 5\.0 s"):
        await first
    outbox.acknowledge(PayloadAck(1, 0, ""), "me")
    outbox.fail_all("cable cut")
    with pytest.raises(DeliveryError, match="cable cut"):
        await second


def test_room() -> None:
    outbox = Outbox(1, 5.0)
    outbox.check_room()
    outbox.wait_for(outbox.number(), 0.0)
    with pytest.raises(DeliveryError, match="the limit"):
        outbox.check_room()


def test_a_rejection_that_nobody_waits_for_is_logged_and_escaped(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "asyncmachine.rpc"):
        Outbox(1, 5.0).acknowledge(PayloadAck(1, 1, "line\nbreak\x1b[31m"), "me")
    assert "payload 1: rejected" in caplog.text
    assert "\x1b" not in caplog.text
    assert "line\\nbreak" in caplog.text
