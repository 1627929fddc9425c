"""The performer alone: effects in, tasks out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from asyncmachine._core.effects import CancelScope, StartTask
from asyncmachine._core.scopes import Token
from asyncmachine._core.waits import ACTIVE, Wait
from asyncmachine._perform import Performer, TaskOwner
from asyncmachine.schema import Schema, State

pytestmark = pytest.mark.anyio

SCHEMA = Schema("Test", {"A": State(), "M": State(multi=True, limit=1, overflow="queue")})


class Rig:
    def __init__(self) -> None:
        self.failed: list[tuple[str, str]] = []
        self.performer = Performer(SCHEMA, self._fail)

    def _fail(self, error: Exception, state: str = "Exception", **args: Any) -> None:
        self.failed.append((state, str(error)))

    def task(self, handler: Any, state: int, token: Token | None) -> StartTask:
        event: Any = SimpleNamespace(name="a_state", machine=SimpleNamespace(id="test"), transition=None)
        return StartTask(handler, event, state, token)


async def test_effects_are_performed_in_order_and_expired_tasks_not_started() -> None:
    ran: list[str] = []

    class Noted(Wait):
        def wake(self) -> None:
            ran.append("woken")

    class Item:
        def cancel(self) -> None:
            ran.append("cancelled")

    async def never(event: Any) -> None:
        ran.append("started")

    rig, token = Rig(), Token(0, 1)
    token.attach(Item())
    token.expired = True
    async with anyio.create_task_group() as group:
        rig.performer.tasks = group
        rig.performer.perform([CancelScope(token), rig.task(never, 0, token), Noted(ACTIVE, (0,))])
    assert (ran, rig.failed) == (["cancelled", "woken"], [])


async def test_queued_overflow_skips_what_has_expired_meanwhile() -> None:
    ran: list[int] = []
    release = anyio.Event()

    def work(n: int) -> Any:
        async def handler(event: Any) -> None:
            ran.append(n)
            await release.wait()

        return handler

    rig = Rig()
    tokens = [Token(0, 1) for _ in range(3)]
    async with anyio.create_task_group() as group:
        rig.performer.tasks = group
        rig.performer.perform([rig.task(work(n), 1, token) for n, token in enumerate(tokens)])
        await anyio.wait_all_tasks_blocked()
        assert ran == [0]
        tokens[1].expired = True
        release.set()
    assert ran == [0, 2]


async def test_cancel_all_ends_running_and_forgets_waiting_tasks() -> None:
    ended: list[int] = []
    ran: list[int] = []

    async def work(event: Any) -> None:
        ran.append(1)
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(1)

    rig = Rig()
    async with anyio.create_task_group() as group:
        rig.performer.tasks = group
        rig.performer.perform([rig.task(work, 1, None) for _ in range(3)])
        await anyio.wait_all_tasks_blocked()
        rig.performer.cancel_all()
    assert (ran, ended, rig.failed) == ([1], [1], [])


async def test_without_a_running_machine_a_task_is_an_error() -> None:
    async def work(event: Any) -> None: ...

    rig = Rig()
    rig.performer.perform([rig.task(work, 0, None)])
    assert "async with" in rig.failed[0][1]


async def test_the_owner_lets_errors_of_the_block_out_alone_and_groups_with_those_of_tasks() -> None:
    block = LookupError("block")

    async def broken() -> None:
        raise ValueError("task")

    with pytest.raises(LookupError) as alone:
        async with TaskOwner():
            raise block
    assert alone.value is block
    with pytest.raises(BaseExceptionGroup) as grouped:
        async with TaskOwner() as group:
            group.start_soon(broken)
            await anyio.sleep_forever()
    assert "task" in str(grouped.value.exceptions)
