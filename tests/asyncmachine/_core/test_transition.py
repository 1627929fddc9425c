from __future__ import annotations

from asyncmachine._core.mutation import ADD, SET, Mutation, Source
from asyncmachine._core.plans import PlanCache
from asyncmachine._core.transition import Transition
from asyncmachine.schema import Schema, State

SCHEMA = Schema("Test", {"A": State(), "B": State(require=("A",)), "C": State()})


def transition(mutation: Mutation, *active: int) -> Transition:
    cache = PlanCache(SCHEMA)
    return Transition(
        7, "test", SCHEMA, mutation, cache.plan_called(cache.node(active), mutation.kind, mutation.called)
    )


def test_it_names_the_states_of_its_plan() -> None:
    mutation = Mutation(SET, (2, 0))
    mutation.tick = 5
    tx = transition(mutation, 0, 1)
    assert (tx.kind, tx.called, tx.before, tx.target) == ("set", ("C", "A"), ("A", "B"), ("C", "A"))
    assert (tx.enters, tx.exits, tx.accepted) == (("C",), ("B",), True)
    assert tx.source == Source("test", "test/7", 5)


def test_one_that_relations_reject_stays_where_it_is() -> None:
    tx = transition(Mutation(ADD, (1,)))
    assert (tx.accepted, tx.stopped_by, tx.target) == (False, "", ())
    assert repr(tx) == "<test/7 [add] B canceled>"


def test_repr_marks_auto_and_check() -> None:
    assert repr(transition(Mutation(ADD, (0,), auto=True))) == "<test/7 [add:auto] A>"
    assert repr(transition(Mutation(ADD, (0,), check=True))) == "<test/7 [add:check] A>"
