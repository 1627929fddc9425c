from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

from asyncmachine.testing.clock import Deadlock
from asyncmachine.testing.sim import loop as module
from asyncmachine.testing.sim.loop import GATE, Gate, Livelock, SimLoop


def run(main: Any, seed: int = 0) -> Any:
    return anyio.run(main, backend_options={"loop_factory": lambda: SimLoop(seed)})


async def steps() -> list[int]:
    seen: list[int] = []

    async def step(n: int) -> None:
        for _ in range(3):
            await anyio.sleep(1)
            seen.append(n)

    async with anyio.create_task_group() as tasks:
        for n in range(6):
            tasks.start_soon(step, n)
    return seen


def test_one_seed_gives_one_order_and_others_give_others() -> None:
    orders = [tuple(run(steps, seed)) for seed in range(6)]
    assert orders == [tuple(run(steps, seed)) for seed in range(6)]
    assert len(set(orders)) == 6


async def cancelled_together() -> list[int]:
    seen: list[int] = []
    scopes: list[anyio.CancelScope] = []

    async def wait(n: int) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            seen.append(n)

    async with anyio.create_task_group() as tasks:
        scopes.append(tasks.cancel_scope)
        for n in range(40):
            tasks.start_soon(wait, n)
        await anyio.sleep(1)
        scopes[0].cancel()
    return seen


def test_tasks_that_are_cancelled_together_end_in_one_order_too() -> None:
    """anyio keeps them in a set, whose order depends on their addresses."""
    first = run(cancelled_together)
    keep: list[object] = []
    for _ in range(3):
        keep.append(bytearray(100_000))  # other addresses
        assert run(cancelled_together) == first
    assert sorted(first) == list(range(40)) != first


def test_behind_a_shut_gate_nothing_happens_and_then_all_at_once() -> None:
    async def main() -> list[float]:
        loop: Any = asyncio.get_running_loop()
        gate, ticks = Gate(), []

        async def clock() -> None:
            while True:
                await anyio.sleep(1)
                ticks.append(anyio.current_time())

        async def bounded() -> None:
            with anyio.move_on_after(5.5):
                await clock()
            ticks.append(-anyio.current_time())

        async with anyio.create_task_group() as tasks:
            before = GATE.set(gate)
            tasks.start_soon(bounded)
            GATE.reset(before)
            await anyio.sleep(2.2)
            gate.shut = True
            await anyio.sleep(60)
            assert ticks == [1, 2]
            loop.open(gate)
        return ticks

    ticks = run(main)
    assert ticks[-1] == -62.2
    assert set(ticks[2:-1]) <= {62.2}


def test_a_deadlock_opens_the_gates() -> None:
    gate, left = Gate(), []

    async def main() -> None:
        GATE.set(gate)
        gate.shut = True
        try:
            await anyio.sleep(1)
        finally:
            left.append("cleaned up")

    with pytest.raises(Deadlock):
        run(main)
    assert left == ["cleaned up"]


def test_tasks_that_keep_each_other_busy_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_ROUNDS", 1000)

    async def main() -> None:
        await anyio.sleep(3)
        while True:
            await anyio.lowlevel.checkpoint()

    with pytest.raises(Livelock, match=r"1000 rounds of the loop at 3\.0"):
        run(main)


def test_rounds_count_only_while_no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_ROUNDS", 50)

    async def main() -> float:
        for _ in range(500):
            await anyio.sleep(0.001)
        return anyio.current_time()

    assert run(main) == pytest.approx(0.5)
