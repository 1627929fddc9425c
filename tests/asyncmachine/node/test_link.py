from __future__ import annotations

from typing import Any

import anyio
import pytest

from asyncmachine.errors import RpcError
from asyncmachine.node.args import OK, Answer
from asyncmachine.node.dispatch import Job
from asyncmachine.node.link import MAX_INPUT, WorkerLink

pytestmark = pytest.mark.anyio


async def test_the_longest_input_arrives(worker: Any) -> None:
    async with worker(len) as living, living.linked() as talk:
        assert talk.link.send(
            Job(1 << 40, b"\x5a" + (MAX_INPUT - 5).to_bytes(4, "big") + bytes(MAX_INPUT - 5)), 1e9
        )
        (result,) = await talk.wait_for(1)
        assert (result.id, result.status) == (1 << 40, OK)


async def test_nothing_is_sent_after_the_end(worker: Any) -> None:
    async with worker(str) as living:
        async with living.linked() as talk:
            assert talk.send(1, "x")
            await talk.wait_for(1)
        assert not talk.send(2, "x")
        talk.link.cancel(Job(2, b""))


async def test_a_worker_that_is_not_there() -> None:
    answer = Answer(request=1, status="granted", worker="w", host="127.0.0.1", port=1, ticket=bytes(32))
    link = WorkerLink(answer, "me", "test", lambda link, result: None)
    with anyio.fail_after(5), pytest.raises(ExceptionGroup) as failure:
        async with anyio.create_task_group() as tasks:
            await tasks.start(link.run)
    assert failure.group_contains(RpcError)
