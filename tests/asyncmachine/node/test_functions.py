from __future__ import annotations

import sys
import threading
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asyncmachine.node.args import ERROR, OK, TIMEOUT, WorkResult, decode_value, encode_value
from asyncmachine.node.functions import FunctionRunner

pytestmark = pytest.mark.anyio


async def run(function: Any, value: Any, deadline: float | None = None) -> WorkResult:
    runner = FunctionRunner(function)
    async with anyio.create_task_group() as tasks:
        if not runner.interruptible:
            tasks.start_soon(runner.deliver)
        with anyio.fail_after(10):
            result = await runner.run(7, encode_value(value), deadline)
        tasks.cancel_scope.cancel()
    assert result.id == 7
    return result


async def double(value: int) -> int:
    await anyio.lowlevel.checkpoint()
    return value * 2


async def test_async_functions_run_in_the_loop() -> None:
    result = await run(double, 4)
    assert (result.status, decode_value(result.value)) == (OK, 8)


async def test_plain_functions_run_in_a_thread_of_their_own() -> None:
    result = await run(lambda _: threading.current_thread().name, None)
    assert decode_value(result.value) == "asyncmachine-work"
    assert result.seconds >= 0


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_what_a_function_raises_is_its_result(kind: str) -> None:
    def fails(value: int) -> None:
        raise ValueError(f"bad {value}")

    async def fails_later(value: int) -> None:
        fails(value)

    result = await run(fails if kind == "plain" else fails_later, 3)
    assert (result.status, result.kind, result.message) == (ERROR, "ValueError", "bad 3")
    assert 'raise ValueError(f"bad {value}")' in result.traceback
    assert "asyncmachine/node/functions.py" not in result.traceback, "our own frames say nothing to the user"


@pytest.mark.parametrize("function", [lambda _: sys.exit(3), lambda _: object()])
async def test_other_ways_to_fail(function: Any) -> None:
    result = await run(function, None)
    assert (result.status, result.kind) in [(ERROR, "SystemExit"), (ERROR, "ArgsError")]


async def test_bad_input_is_an_error_of_that_job() -> None:
    runner = FunctionRunner(double)
    result = await runner.run(1, b"\xff", None)
    assert (result.status, result.kind) == (ERROR, "ArgsError")


async def test_an_async_function_over_its_deadline_is_cancelled() -> None:
    cancelled = anyio.Event()

    async def forever(value: int) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    result = await run(forever, 0, deadline=0.01)
    assert (result.status, result.message) == (TIMEOUT, "no result within 0.01 s")
    assert cancelled.is_set()


async def test_a_plain_function_over_its_deadline_goes_on_alone() -> None:
    release = threading.Event()
    result = await run(lambda _: release.wait(10), 0, deadline=0.01)
    release.set()
    assert result.status == TIMEOUT


async def test_results_come_in_the_order_of_the_jobs() -> None:
    runner = FunctionRunner(lambda value: value)
    got: list[int] = []
    done = anyio.Event()

    def take(result: WorkResult) -> None:
        got.append(result.id)
        if len(got) == 50:
            done.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.deliver)
        for index in range(50):
            runner.start(index, encode_value(index), take)
        with anyio.fail_after(10):
            await done.wait()
        tasks.cancel_scope.cancel()
    assert got == list(range(50))
