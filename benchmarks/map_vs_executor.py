"""2,000 trivial calls over four workers, against ``ProcessPoolExecutor(4)``, in one run.

Three figures: the calls alone, through warm pools, by ``Fleet.map``, which is what ``am-node map`` runs; the
command ``am-node map --supervisor`` on a warm pool, with the start of its interpreter; and the command with a
pool of its own, against a script that makes an executor, maps and ends. Each is the best of several rounds.
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


MAP = [sys.executable, "-m", "asyncmachine.cli.main", "map", TARGET, "--json", "--workers", str(WORKERS)]
INPUTS = [str(n) for n in range(CALLS)]


async def command_round(address: str) -> float:
    """Calls per second of the command on a pool that stands, with the start of its interpreter."""
    began = time.perf_counter()
    await anyio.run_process([*MAP, "--supervisor", address, *INPUTS], cwd=WORK)
    return CALLS / (time.perf_counter() - began)


async def warm() -> tuple[float, float, float]:
    """Best rates of the executor, of the fleet, and of the command on the same pool."""
    config = PoolConfig(min=WORKERS, max=WORKERS, warm=0)
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as executor:
        executor_round(executor)
        async with function_pool(TARGET, config=config, folder=str(WORK)) as pool:
            async with NodeClient([pool.address], kind=TARGET) as client:
                rounds = [(executor_round(executor), await fleet_round(client)) for _ in range(ROUNDS)]
            commands = [await command_round(pool.address) for _ in range(3)]
    return max(r[0] for r in rounds), max(r[1] for r in rounds), max(commands)


def whole(command: list[str]) -> float:
    """Seconds of a command, its best of three."""
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run(command, cwd=WORK, check=True, capture_output=True)
        best = min(best, time.perf_counter() - began)
    return best


def main() -> None:
    """Print the figures."""
    executor, fleet, standing = anyio.run(warm)
    print(f"calls alone, {CALLS:,} over {WORKERS} workers:")
    print(f"  ProcessPoolExecutor   {executor:>10,.0f} calls/s")
    print(f"  Fleet.map             {fleet:>10,.0f} calls/s   ratio {fleet / executor:.2f} {LIMIT_TEXT}")
    ratio = standing / executor  # of unlike things: the start of the command against calls alone
    print(f"  am-node map, standing {standing:>10,.0f} calls/s   ratio {ratio:.2f} (no limit)")
    script = whole([sys.executable, "-c", SCRIPT])
    ours = whole([*MAP, *INPUTS])
    print("the whole command, with the start and the end of the pool:")
    print(f"  ProcessPoolExecutor   {script:>10.2f} s")
    print(f"  am-node map           {ours:>10.2f} s         ratio {script / ours:.2f} {LIMIT_TEXT}")


if __name__ == "__main__":
    main()
