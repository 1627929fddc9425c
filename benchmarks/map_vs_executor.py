"""2,000 trivial calls over four workers: ``am-node map`` against ``ProcessPoolExecutor(4)``, in one run.

Two figures: the calls alone, through warm pools, and the whole command as a user types it, against a script
that makes an executor, maps and ends. Each is the best of several rounds, taken in turn.
"""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import anyio

from asyncmachine import FleetConfig, NodeClient, PoolConfig, function_pool

WORK = Path(__file__).parent / "work"
sys.path.insert(0, str(WORK))
from trivial import square  # noqa: E402 - the workers import it from the same folder

CALLS = 2_000
WORKERS = 4
ROUNDS = 5
TARGET = "trivial:square"
LIMIT = 0.3
LIMIT_TEXT = f"(limit: at least {LIMIT})"

SCRIPT = f"""
from concurrent.futures import ProcessPoolExecutor
from trivial import square
if __name__ == "__main__":
    with ProcessPoolExecutor({WORKERS}) as pool:
        for value in pool.map(square, range({CALLS})):
            print(value)
"""


def executor_round(pool: ProcessPoolExecutor) -> float:
    """Calls per second."""
    began = time.perf_counter()
    assert sum(pool.map(square, range(CALLS))) == sum(n * n for n in range(CALLS))
    return CALLS / (time.perf_counter() - began)


async def fleet_round(client: NodeClient) -> float:
    """Calls per second."""
    async with client.fleet(FleetConfig(workers=WORKERS)) as fleet:
        async for _ in fleet.map(range(WORKERS * 8)):  # every worker is there before the clock runs
            pass
        while len(fleet.workers) < WORKERS:
            await fleet.call(0)
        total = 0
        began = time.perf_counter()
        async for outcome in fleet.map(range(CALLS)):
            total += outcome.result()
        seconds = time.perf_counter() - began
    assert total == sum(n * n for n in range(CALLS))
    return CALLS / seconds


async def warm() -> tuple[float, float]:
    """Best rates of the executor and of the fleet."""
    config = PoolConfig(min=WORKERS, max=WORKERS, warm=0)
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as executor:
        executor_round(executor)
        async with (
            function_pool(TARGET, config=config, folder=str(WORK)) as pool,
            NodeClient([pool.address], kind=TARGET) as client,
        ):
            rounds = [(executor_round(executor), await fleet_round(client)) for _ in range(ROUNDS)]
    return max(r[0] for r in rounds), max(r[1] for r in rounds)


def whole(command: list[str]) -> float:
    """Seconds of a command, its best of three."""
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run(command, cwd=WORK, check=True, capture_output=True)
        best = min(best, time.perf_counter() - began)
    return best


def main() -> None:
    """Print both figures."""
    executor, fleet = anyio.run(warm)
    print(f"calls alone, {CALLS:,} over {WORKERS} workers:")
    print(f"  ProcessPoolExecutor   {executor:>10,.0f} calls/s")
    print(f"  am-node map           {fleet:>10,.0f} calls/s   ratio {fleet / executor:.2f} {LIMIT_TEXT}")
    script = whole([sys.executable, "-c", SCRIPT])
    command = [
        sys.executable,
        "-m",
        "asyncmachine.cli.main",
        "map",
        TARGET,
        "--json",
        "--workers",
        str(WORKERS),
    ]
    ours = whole([*command, *map(str, range(CALLS))])
    print("the whole command, with the start and the end of the pool:")
    print(f"  ProcessPoolExecutor   {script:>10.2f} s")
    print(f"  am-node map           {ours:>10.2f} s         ratio {script / ours:.2f} (no limit)")


if __name__ == "__main__":
    main()
