"""Whatever breaks, mirrors are never wrong, and are right again soon after: see the scenario."""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncmachine.testing.sim.faults import KINDS, Fault
from asyncmachine.testing.sim.mirrors import Mirrors, Plan, draw_plan, scenario
from asyncmachine.testing.sim.world import World, explore, simulate

FRESH = int(os.environ.get("ASYNCMACHINE_SEED", "1000"))
"""Where the long run begins."""

HAPPENS = {
    "executed", "canceled", "refused", "unknown", "unsent", "given up", "not awaited", "run",
    "parcel", "delivered", "undelivered", "unacknowledged", "broken", "reset", "truncate", "fault",
}  # fmt: skip
"""What a few runs must have seen, or they test less than they seem to."""


@pytest.mark.parametrize(("backend", "count"), [("asyncio", 20), ("trio", 6)])
def test_mirrors_are_right(backend: str, count: int) -> None:
    runs = explore(scenario, range(count), backend=backend)
    counts: Counter[str] = Counter()
    for run in runs:
        counts += run.trace.counts
    wanted = HAPPENS | {"freeze", "thaw"} if backend == "asyncio" else {"executed", "unknown", "delivered"}
    assert wanted - set(counts) == set()
    assert counts["violation"] == 0


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_seed_has_one_trace(backend: str) -> None:
    for seed in (1, 7):
        first, again = (simulate(scenario, seed=seed, backend=backend) for _ in range(2))
        assert first.trace.digest == again.trace.digest
        assert first.seconds == again.seconds


def test_plans_are_various() -> None:
    plans = [draw_plan(random.Random(seed)) for seed in range(60)]
    assert {plan.clients for plan in plans} == {1, 2, 3, 4}
    assert {fault.kind for plan in plans for fault in plan.faults} == set(KINDS)
    assert len({plan.schema.digest for plan in plans}) > 50
    assert draw_plan(random.Random(3)).faults == plans[3].faults


@pytest.mark.timeout(300)
def test_what_is_planted_is_found(planted: str) -> None:
    with pytest.raises(Exception, match=r".") as caught:  # which one, depends on what is planted
        explore(scenario, range(60))
    assert "simulation with seed" in caught.value.__notes__[-1], planted


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """A short plan with one client, whose faults Hypothesis can shrink."""
    base = draw_plan(random.Random(draw(st.integers(0, 50))))
    faults = st.builds(
        Fault,
        st.sampled_from(KINDS),
        st.floats(0, 5).map(lambda at: round(at, 2)),
        st.floats(0, 3).map(lambda seconds: round(seconds, 2)),
        st.just("server"),
        st.just("client1"),
    )
    return replace(base, clients=1, seconds=5.0, faults=tuple(draw(st.lists(faults, max_size=5))))


@settings(max_examples=10)
@given(plans(), st.integers(0, 2**16))
def test_any_faults(plan: Plan, seed: int) -> None:
    async def play(world: World) -> None:
        await Mirrors(world, plan).run()

    simulate(play, seed=seed)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("backend", "count"), [("asyncio", 2000), ("trio", 500)])
def test_mirrors_are_right_for_long(backend: str, count: int) -> None:
    explore(scenario, range(FRESH, FRESH + count), backend=backend)
