from __future__ import annotations

import pytest

from asyncmachine._core.mutation import ADD, REMOVE, SET
from asyncmachine._core.plans import PlanCache, plan_cache
from asyncmachine.errors import UnknownState
from asyncmachine.schema import Schema, State


def schema() -> Schema:
    return Schema(
        "Test",
        {
            "A": State(),
            "B": State(require=("A",)),
            "M": State(multi=True),
            "Auto": State(auto=True, require=("A",)),
            "Heartbeat": State(multi=True),
        },
    )


A, B, M, AUTO, HEART, EXCEPTION = range(6)


def test_a_plan_lays_out_enters_exits_and_ticks() -> None:
    cache = PlanCache(schema())
    plan = cache.plan(cache.node((A, B, M)), SET, ("A", "M", "Heartbeat"))
    assert (plan.accepted, plan.changed, plan.may_auto) == (True, True, True)
    assert plan.exits == (B,)
    assert set(plan.enters) == {M, HEART}
    assert dict(plan.ticks) == {B: 1, M: 2, HEART: 1}
    assert plan.touched == 1 << B | 1 << M | 1 << HEART
    assert plan.moved == tuple(i for i, _ in plan.ticks)
    assert plan.involved == 1 << A | plan.touched | cache.every
    assert plan.node.mask == 1 << A | 1 << M | 1 << HEART


def test_a_multi_state_enters_again_only_when_called_and_not_by_remove() -> None:
    cache = PlanCache(schema())
    node = cache.node((M,))
    assert cache.plan(node, ADD, ("M",)).ticks == ((M, 2),)
    assert cache.plan(node, ADD, ("A",)).ticks == ((A, 1),)
    assert cache.plan(node, REMOVE, ("M",)).ticks == ((M, 1),)


def test_a_rejected_plan_goes_nowhere() -> None:
    cache = PlanCache(schema())
    node = cache.node(())
    plan = cache.plan(node, ADD, ("B",))
    assert (plan.accepted, plan.rejected, plan.node, plan.ticks, plan.may_auto) == (
        False,
        (B,),
        node,
        (),
        False,
    )


def test_a_plan_without_change_calls_for_no_auto_mutation() -> None:
    cache = PlanCache(schema())
    plan = cache.plan(cache.node((A,)), ADD, ("A",))
    assert (plan.accepted, plan.changed, plan.may_auto) == (True, False, False)


def test_health_states_never_call_for_auto_mutations() -> None:
    cache = PlanCache(schema())
    node = cache.node(())
    assert not cache.plan(node, ADD, ("Heartbeat",)).may_auto
    assert cache.plan(node, ADD, ("Heartbeat", "A")).may_auto
    assert cache.plan(cache.node((HEART,)), REMOVE, ("Heartbeat",)).may_auto


def test_the_auto_plan_holds_all_eligible_states_in_index_order() -> None:
    states = {
        "Z": State(auto=True),
        "On": State(remove=("Blocked",)),
        "Blocked": State(auto=True),
        "Y": State(auto=True, require=("Off",)),
        "Off": State(),
    }
    cache = PlanCache(Schema("Test", states))
    plan = cache.auto_plan(cache.node((1,)))
    assert plan is not None
    assert (plan.called, plan.accepted, plan.rejected, plan.may_auto) == ((0, 3), True, (3,), False)
    assert cache.auto_plan(cache.node((0, 1, 3))) is None


def test_a_partial_plan_leaves_out_the_banned() -> None:
    cache = PlanCache(Schema("Test", {"P": State(auto=True, add=("Q",)), "Q": State(auto=True)}))
    plan = cache.partial_plan(cache.node(()), (0, 1), 0b10)
    assert (plan.accepted, plan.target) == (True, (0,))
    assert cache.partial_plan(cache.node(()), (0, 1), 0b10) is plan
    assert not cache.partial_plan(cache.node(()), (0, 1), 0b11).accepted


def test_names_lists_and_duplicates_give_one_plan() -> None:
    cache = PlanCache(schema())
    node = cache.node(())
    plan = cache.plan(node, ADD, ("A", "M"))
    assert cache.plan(node, ADD, (["A", "M"],)) is plan
    assert cache.plan(node, ADD, ("A", ("M",), "A")) is plan
    assert cache.plan(node, ADD, ("A", "M", "A")) is plan
    assert node.edges[ADD]["A", "M", "A"] is plan
    assert cache.plan_called(node, ADD, (A, M)) is plan
    assert cache.plan(node, ADD, ("M", "A")) is not plan


@pytest.mark.parametrize("bad", ["Aa", 0, None, True, ["A", 1], {"A": 1}, b"A", (0,)])
def test_what_is_no_state_is_refused_whatever_is_cached(bad: object) -> None:
    cache = PlanCache(schema())
    node = cache.node(())
    cache.plan_called(node, ADD, (0,))
    with pytest.raises(UnknownState):
        cache.plan(node, ADD, (bad,))
    assert not any(node.edges)


def test_the_cache_is_bounded_and_counts_its_flushes() -> None:
    cache = PlanCache(schema(), max_edges=4)
    node = cache.node(())
    for n in range(1, 12):
        cache.plan(node, ADD, ("A",) * n)
        assert sum(map(len, node.edges)) + sum(map(len, node.inner)) <= 4
    assert cache.flushes >= 2
    assert cache.plan(node, ADD, ("A",)).target == (A,)


def test_a_node_that_outlived_a_flush_is_bounded_too() -> None:
    cache = PlanCache(schema(), max_edges=4)
    old = cache.node(())
    cache.plan(old, ADD, ("A",))
    other = cache.node((M,))
    for n in range(1, 6):
        cache.plan(other, ADD, ("A",) * n)
    assert cache.node(()) is not old
    for n in range(1, 20):
        cache.plan(old, ADD, ("A",) * n)
    assert sum(map(len, old.edges)) + sum(map(len, old.inner)) <= 4


def test_configurations_are_interned() -> None:
    cache = PlanCache(schema())
    assert cache.node((A, M)) is cache.node((A, M))
    assert cache.node((A, M)) is not cache.node((M, A))


def test_all_machines_of_a_schema_share_one_cache() -> None:
    one, two = schema(), schema()
    assert plan_cache(one) is plan_cache(one)
    assert plan_cache(one) is not plan_cache(two)


def test_describe() -> None:
    cache = PlanCache(schema())
    assert cache.describe(cache.plan(cache.node(()), SET, ("A", "M"))) == "[set] A M"
