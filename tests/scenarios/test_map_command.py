"""``am-node map`` as a user sees it: results, errors, exit codes, Ctrl-C."""

from __future__ import annotations

import json
import signal
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.anyio


def rows(text: str) -> dict[int, dict[str, Any]]:
    """By the index of the input; there is never more than one of it."""
    found = [json.loads(line) for line in text.splitlines()]
    by_index = {row["index"]: row for row in found}
    assert len(by_index) == len(found)
    return by_index


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("jobs:doubel", "has no function 'doubel'; did you mean 'double'?"),
        ("broken:f", "cannot import 'broken': SyntaxError"),
    ],
)
async def test_a_wrong_target_starts_nothing(lab: Any, target: str, says: str) -> None:
    (lab.folder / "broken.py").write_text("def f(:\n")
    command = lab.command("map", target, "1")
    seen: set[int] = set()

    def children_or_end() -> bool:
        if command.process.poll() is not None:
            return True
        seen.update(child.pid for child in psutil.Process(command.pid).children())
        return False

    await lab.until(children_or_end)
    assert await command.exit() == 2
    assert seen == set()
    assert command.out == ""
    assert says in command.err
    assert "Traceback" not in command.err


async def test_a_raising_function_costs_its_own_input_only(lab: Any) -> None:
    command = lab.command("map", "jobs:positive", "1", "--json", "--workers", "2", "--", "-5", "3")
    assert await command.exit() == 1
    found = rows(command.out)
    assert found[0]["value"] == 1
    assert found[2]["value"] == 3
    assert found[1]["error"]["kind"] == "ValueError"
    assert found[1]["error"]["message"] == "-5 is negative"
    assert 'raise ValueError(f"{x} is negative")' in found[1]["error"]["traceback"]
    assert "input -5:" in command.err
    assert "jobs.py" in command.err
    assert "2 done, 1 failed; workers: 2 started, 0 lost" in command.err


async def test_a_killed_worker_costs_its_own_input_only(lab: Any) -> None:
    command = lab.command("map", "jobs:die", *"abcd", "die", *"efgh", "--workers", "2")
    assert await command.exit() == 1
    found = rows(command.out)
    assert len(found) == 9
    assert [i for i, row in found.items() if "error" in row] == [4]
    assert found[4]["error"]["kind"] == "WorkerLost"
    assert "ended by SIGKILL" in found[4]["error"]["message"]
    assert len((lab.folder / "deaths").read_text().splitlines()) == 1
    assert "1 lost" in command.err


async def test_an_idempotent_input_is_run_again(lab: Any) -> None:
    command = lab.command("map", "jobs:die", "a", "die once", "b", "--workers", "2", "--idempotent")
    assert await command.exit() == 0
    assert [rows(command.out)[i]["value"] for i in range(3)] == ["a", "die once", "b"]
    assert (lab.folder / "died").exists()
    assert "3 done, 0 failed" in command.err


async def test_a_poisonous_input_is_given_up(lab: Any) -> None:
    command = lab.command("map", "jobs:die", "a", "die", "b", "c", "--workers", "2", "--idempotent")
    assert await command.exit(25) == 1
    found = rows(command.out)
    assert [i for i, row in found.items() if "error" in row] == [1]
    assert "given up, 3 workers died with it" in found[1]["error"]["message"]
    assert len((lab.folder / "deaths").read_text().splitlines()) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_interrupted(lab: Any, number: int) -> None:
    results = lab.folder / "results.jsonl"
    command = lab.command("map", "jobs:gate", "a", "b", "gate", "--workers", "2", "--out", str(results))
    pid = await lab.started("gate")
    await lab.until(lambda: results.exists() and len(results.read_text().splitlines()) == 2)
    workers = [worker.pid for worker in command.workers()]
    assert pid in workers
    command.signal(number)
    assert await command.exit(6) == 130
    await lab.gone(*workers)
    assert {row["value"] for row in rows(results.read_text()).values()} == {"a", "b"}
    assert "Traceback" not in command.err
    assert "2 done, 0 failed, 1 not done" in command.err


async def test_a_map_on_a_pool_that_stays(lab: Any) -> None:
    server, address = await lab.supervisor("double", "--min", "1", "--warm", "0", "--max", "2")
    command = lab.command("map", "jobs:double", "4", "5", "--json", "--supervisor", address, "--workers", "2")
    assert await command.exit() == 0
    assert {row["value"] for row in rows(command.out).values()} == {8, 10}
    wrong = lab.command("map", "jobs:gate", "x", "--supervisor", address)
    assert await wrong.exit() == 1
    assert "of kind 'jobs:double', not 'jobs:gate'" in wrong.err
    assert "Traceback" not in wrong.err
    server.signal(signal.SIGTERM)
    assert await server.exit() == 0


async def test_results_and_inputs_that_cannot_travel_are_errors_of_their_own(lab: Any) -> None:
    command = lab.command("map", "jobs:long_text", "1", "3000000", "2", "--json", "--workers", "1")
    assert await command.exit() == 1
    found = rows(command.out)
    assert [found[0]["value"], found[2]["value"]] == ["a", "aa"]
    assert "bytes, the limit is 1048576" in found[1]["error"]["message"]


async def test_a_function_that_leaves_python_costs_its_own_input_only(lab: Any) -> None:
    command = lab.command("map", "jobs:leave", "a", "leave", "b", "--workers", "1")
    assert await command.exit() == 1
    found = rows(command.out)
    assert [found[0]["value"], found[2]["value"]] == ["a", "b"]
    assert found[1]["error"]["message"] == "had enough"
