from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asyncmachine.testing.sim import mirrors
from asyncmachine.testing.sim.replay import load, main

MINE = """
async def scenario(world):
    await world.sleep(world.seed)
    world.trace.note("slept", str(world.seed))
    assert world.seed != 7, "seven is wrong"

ANSWER = 42
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MINE, "utf-8")
    return path


def test_scenarios_are_found(mine: Path) -> None:
    assert load("asyncmachine.testing.sim.mirrors:scenario") is mirrors.scenario
    assert load(f"{mine}:scenario").__name__ == "scenario"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("place", "error", "text"),
    [
        ("scenario", ValueError, "'scenario' is not module:name"),
        (":scenario", ValueError, "':scenario' is not module:name"),
        ("asyncmachine.testing.sim.mirrors:nothing", ValueError, "has no 'nothing'"),
        ("asyncmachine.nowhere:scenario", ImportError, "asyncmachine.nowhere"),
        ("no/such/file.py:scenario", ValueError, "no/such/file.py is not a Python file"),
    ],
)
def test_others_are_not(place: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        load(place)


def test_not_a_function(mine: Path) -> None:
    with pytest.raises(TypeError, match="is int, not an async function"):
        load(f"{mine}:ANSWER")


def test_one_seed_is_shown(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"{mine}:scenario", "--seed", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["   0.000000 seed 3", "   3.000000 slept 3"]
    assert lines[2].startswith("digest ")
    assert lines[3:] == ["1 of 1 runs went well, 3 virtual seconds", "seed=1 slept=1"]


def test_many_seeds_are_counted(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"{mine}:scenario", "--seeds", "5", "--backend", "trio"]) == 0
    assert capsys.readouterr().out == "5 of 5 runs went well, 10 virtual seconds\nseed=5 slept=5\n"


def test_the_command_of_a_failure_fails_the_same_way(mine: Path) -> None:
    command = [sys.executable, "-m", "asyncmachine.testing.sim", "mine.py:scenario"]
    env = {key: value for key, value in os.environ.items() if key != "PYTHONHASHSEED"}
    for options in (["--seeds", "20"], ["--seed", "7"]):
        done = subprocess.run(
            [*command, *options],
            cwd=mine.parent,
            env=env,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert done.returncode == 1
        assert "AssertionError: seven is wrong" in done.stderr
        assert "python -m asyncmachine.testing.sim mine:scenario --seed 7 --backend asyncio" in done.stderr
    assert done.stdout == "   0.000000 seed 7\n   7.000000 slept 7\n"


def test_another_process_has_the_same_trace() -> None:
    """Neither memory addresses nor the seeds of hashes matter."""
    place = "asyncmachine.testing.sim.mirrors:scenario"
    command = [sys.executable, "-m", "asyncmachine.testing.sim", place, "--seed", "4"]
    digests = set()
    for hash_seed in ("0", "1"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=50, check=True)
        digests |= {line for line in done.stdout.splitlines() if line.startswith("digest ")}
    assert len(digests) == 1
