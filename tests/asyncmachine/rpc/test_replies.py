from __future__ import annotations

import anyio
import pytest

from asyncmachine.rpc.replies import Reply

pytestmark = pytest.mark.anyio


async def test_awaited_before_and_after() -> None:
    reply: Reply[int] = Reply()
    found = []

    async def wait() -> None:
        found.append(await reply)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert found == []
        reply.resolve(7)
    assert found == [7, 7]
    assert await reply == 7


async def test_the_first_answer_counts() -> None:
    reply: Reply[int] = Reply()
    reply.fail(ValueError("first"))
    reply.resolve(1)
    reply.fail(ValueError("last"))
    for _ in range(2):
        with pytest.raises(ValueError, match="first"):
            await reply
    done: Reply[None] = Reply()
    done.resolve(None)
    done.fail(ValueError("too late"))
    assert await done is None


async def test_giving_up_waiting_leaves_it_to_others() -> None:
    reply: Reply[int] = Reply()
    with anyio.move_on_after(0):
        await reply
    assert not reply.done
    reply.resolve(3)
    assert await reply == 3
