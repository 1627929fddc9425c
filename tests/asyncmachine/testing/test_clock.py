from __future__ import annotations

import math
import time

import anyio
import pytest

from asyncmachine.machine import Machine
from asyncmachine.schema import Schema, State
from asyncmachine.testing.clock import Deadlock, run_virtual, virtual_backend

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@BACKENDS
def test_hours_pass_in_no_time(backend: str) -> None:
    async def main(hours: int) -> float:
        began = anyio.current_time()
        await anyio.sleep(hours * 3600)
        return anyio.current_time() - began

    began = time.perf_counter()
    assert run_virtual(main, 100_000, backend=backend) == pytest.approx(3.6e8)
    assert time.perf_counter() - began < 30, "11 years"


@BACKENDS
def test_timers_come_in_order_and_when_they_are_due(backend: str) -> None:
    async def main() -> list[tuple[int, float]]:
        seen: list[tuple[int, float]] = []
        began = anyio.current_time()

        async def sleeper(n: int) -> None:
            await anyio.sleep(n * 0.1)
            seen.append((n, round(anyio.current_time() - began, 9)))

        async with anyio.create_task_group() as tasks:
            for n in (5, 3, 9, 0, 7):
                tasks.start_soon(sleeper, n)
        return seen

    wanted = [(n, round(n * 0.1, 9)) for n in (0, 3, 5, 7, 9)]
    assert run_virtual(main, backend=backend) == wanted


@BACKENDS
def test_a_timeout_is_exact(backend: str) -> None:
    async def main() -> tuple[bool, float]:
        began = anyio.current_time()
        with anyio.move_on_after(86_400 * 30) as scope:
            await anyio.sleep_forever()
        return scope.cancelled_caught, anyio.current_time() - began

    caught, took = run_virtual(main, backend=backend)
    assert caught
    assert took == pytest.approx(86_400 * 30)


@BACKENDS
@pytest.mark.parametrize("apart", [1e-15, 1e-12, 5e-10])
def test_timers_that_are_nearly_equal_do_not_come_early(backend: str, apart: float) -> None:
    async def main() -> list[float]:
        late: list[float] = []

        async def wait(until: float) -> None:
            await anyio.sleep_until(until)
            late.append(anyio.current_time() - until)

        async with anyio.create_task_group() as tasks:
            for n in range(5):
                tasks.start_soon(wait, anyio.current_time() + 1 + n * apart)
        return late

    late = run_virtual(main, backend=backend)
    assert all(0 <= seconds < 1e-14 for seconds in late), late


@BACKENDS
@pytest.mark.parametrize("forever", ["event", "sleep"])
def test_a_deadlock_is_an_error_and_tasks_are_cleaned_up(backend: str, forever: str) -> None:
    left: list[str] = []

    async def main() -> None:
        try:
            if forever == "event":
                await anyio.Event().wait()
            await anyio.sleep(math.inf)
        finally:
            left.append("cleaned up")

    with pytest.raises(Deadlock, match="every task waits"):
        run_virtual(main, backend=backend)
    assert left == ["cleaned up"]


@BACKENDS
def test_errors_come_through(backend: str) -> None:
    async def main() -> None:
        await anyio.sleep(5)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        run_virtual(main, backend=backend)


@BACKENDS
def test_a_machine_in_virtual_time(backend: str) -> None:
    class Handlers:
        async def slow_state(self, event: object) -> None:
            await anyio.sleep(3600)
            raise AssertionError("the timeout comes first")

        def exception_state(self, event: object) -> None: ...

    async def main() -> float:
        schema = Schema("Slow", {"Slow": State(timeout=60)})
        began = anyio.current_time()
        async with Machine(schema, Handlers()) as machine:
            machine.add("Slow")
            await machine.when_error()
        return anyio.current_time() - began

    assert run_virtual(main, backend=backend) == pytest.approx(60)


@BACKENDS
def test_one_seed_gives_one_order(backend: str) -> None:
    async def main() -> list[int]:
        seen: list[int] = []

        async def step(n: int) -> None:
            for _ in range(5):
                await anyio.sleep(1)
                seen.append(n)

        async with anyio.create_task_group() as tasks:
            for n in range(6):
                tasks.start_soon(step, n)
        return seen

    first, again = (run_virtual(main, backend=backend, seed=3) for _ in range(2))
    assert first == again
    orders = {tuple(run_virtual(main, backend=backend, seed=seed)) for seed in range(8)}
    assert (len(orders) > 1) == (backend == "trio")


def test_unknown_backends_are_refused() -> None:
    with pytest.raises(ValueError, match="'curio': must be 'asyncio' or 'trio'"):
        virtual_backend("curio")


class TestBackend:
    """A fixture ``anyio_backend`` may give virtual time to all tests of a class."""

    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
        return virtual_backend(request.param)

    @pytest.mark.anyio
    async def test_it_does(self) -> None:
        began, real = anyio.current_time(), time.perf_counter()
        await anyio.sleep(5000)
        assert anyio.current_time() - began == pytest.approx(5000)
        assert time.perf_counter() - real < 30
