from __future__ import annotations

import threading
from typing import Any

import anyio
import pytest

from asyncmachine.node.args import ERROR, OK, REFUSED, TIMEOUT, decode_value
from asyncmachine.node.dispatch import Job

pytestmark = pytest.mark.anyio


async def test_jobs_are_answered_in_their_order(worker: Any) -> None:
    async with worker(lambda x: 2 * x) as living, living.linked() as talk:
        for index in range(20):
            talk.send(index, index)
        results = await talk.wait_for(20)
        assert [(r.id, r.status, decode_value(r.value)) for r in results] == [
            (n, OK, 2 * n) for n in range(20)
        ]
        await living.mirror.when_not("Working", "WorkRequested")


async def test_never_two_at_a_time(worker: Any) -> None:
    running: list[int] = []
    most: list[int] = []

    async def work(x: int) -> None:
        running.append(x)
        most.append(len(running))
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        running.remove(x)

    async with worker(work) as living, living.linked() as talk:
        for index in range(10):
            talk.send(index, index)
        await talk.wait_for(10)
    assert max(most) == 1


async def test_a_result_that_is_too_long_is_an_error(worker: Any) -> None:
    async with worker(lambda n: "a" * n) as living, living.linked() as talk:
        talk.send(0, 2 << 20)
        talk.send(1, 1)
        first, second = await talk.wait_for(2)
        assert (first.status, first.kind) == (ERROR, "DeliveryError")
        assert "the limit is 1048576" in first.message
        assert second.status == OK


async def test_a_draining_worker_ends_its_job_and_gives_the_others_back(worker: Any) -> None:
    go = threading.Event()
    try:
        async with worker(lambda _: go.wait(5)) as living, living.linked() as talk:
            for index in range(3):
                talk.send(index, None)
            await living.mirror.when("Working")
            living.mirror.add_nowait("Draining")
            refused = list(await talk.wait_for(2))
            assert [(r.id, r.status) for r in refused] == [(1, REFUSED), (2, REFUSED)]
            go.set()
            result = (await talk.wait_for(3))[2]
            assert (result.id, result.status) == (0, OK)
            await living.ended.wait()
    finally:
        go.set()


async def test_a_worker_that_cannot_end_its_job_in_time_ends_without_it(worker: Any) -> None:
    go = threading.Event()
    try:
        async with worker(lambda _: go.wait(5), drain=0.05) as living, living.linked() as talk:
            talk.send(0, None)
            await living.mirror.when("Working")
            living.worker.orphaned()
            await living.ended.wait()
            assert talk.results == []
    finally:
        go.set()


async def test_a_plain_function_over_its_deadline_ends_the_worker(worker: Any) -> None:
    go = threading.Event()
    try:
        async with worker(lambda _: go.wait(5), drain=0.05) as living, living.linked() as talk:
            talk.send(0, None, 0.05)
            talk.send(1, None)
            results = await talk.wait_for(2)
            assert {(r.id, r.status) for r in results} == {(0, TIMEOUT), (1, REFUSED)}
            await living.ended.wait()
    finally:
        go.set()


async def test_cancelling(worker: Any) -> None:

    begun, cancelled = anyio.Event(), anyio.Event()

    async def work(x: str) -> str:
        if x == "wait":
            begun.set()
            try:
                await anyio.sleep_forever()
            finally:
                cancelled.set()
        return x

    async with worker(work) as living, living.linked() as talk:
        for index, what in enumerate(("wait", "dropped", "last")):
            talk.send(index, what)
        await begun.wait()
        talk.link.cancel(Job(1, b""))
        talk.link.cancel(Job(0, b""))
        (result,) = await talk.wait_for(1)
        assert cancelled.is_set()
        assert (result.id, decode_value(result.value)) == (2, "last")
        await living.mirror.when_not("Working")
