"""What all tests share: both event loops, fixed seeds, and a check that nothing is left behind."""

from __future__ import annotations

import gc
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

SEED = int(os.environ.get("ASYNCMACHINE_SEED", "20261124"))

# A run of the suite is the same everywhere; `make soak` explores with other seeds.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None, max_examples=50)
settings.register_profile(
    "explore", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("ASYNCMACHINE_PROFILE", "repeatable"))


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Every async test runs on both."""
    return str(request.param)


@pytest.fixture
def rng() -> random.Random:
    """Pseudo-random numbers, the same in every run."""
    return random.Random(SEED)


def pytest_report_header() -> str:
    return f"seed: {SEED} (ASYNCMACHINE_SEED), hypothesis profile: {settings.get_current_profile_name()}"


_OURS = ("socket:", "pipe:", "anon_inode:[pidfd]")
_POOLED = ("AnyIO worker thread", "Trio thread", "asyncio_")  # kept by the loops for later use


def _open_channels() -> set[str]:
    found: set[str] = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue  # the descriptor of the listing itself
        if target.startswith(_OURS):
            found.add(f"{entry.name} -> {target}")
    return found


def _children() -> set[str]:
    """Child processes, also those that have ended and were not reaped."""
    found: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found.update((task / "children").read_text().split())
        except OSError:
            continue  # the thread has just ended
    return found


def _threads() -> set[str]:
    return {
        f"{t.name} ({t.ident})"
        for t in threading.enumerate()
        if not t.name.startswith(_POOLED) and not t.daemon
    }


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """A test leaves no thread, no process and no open socket or pipe."""
    if not Path("/proc/self/fd").exists():
        yield
        return
    before = _open_channels(), _children(), _threads()
    yield
    after = _open_channels(), _children(), _threads()
    if after[0] - before[0]:
        gc.collect()  # a loop that was just closed may still be referred to by a cycle
        after = _open_channels(), after[1], after[2]
    left = [sorted(b - a) for a, b in zip(before, after, strict=True)]
    assert left == [[], [], []], f"left behind: channels {left[0]}, processes {left[1]}, threads {left[2]}"
