from __future__ import annotations

from asyncmachine._core.mutation import ADD, KIND_NAMES, REMOVE, SET, Mutation, Source
from asyncmachine._core.waits import ACTIVE, Wait
from asyncmachine.api import EXECUTED, Result


def test_a_new_mutation_is_not_done() -> None:
    mutation = Mutation(ADD, (0, 1), {"x": 1}, Source("other", "other/1", 5), auto=True)
    assert (mutation.done, mutation.result, mutation.tick) == (False, None, 0)
    assert (mutation.auto, mutation.check) == (True, False)
    assert mutation.source == Source("other", "other/1", 5)


def test_finish_sets_the_result_and_fires_whoever_waits_once() -> None:
    mutation, wait = Mutation(ADD, (0,)), Wait(ACTIVE, ())
    mutation.waiters = [wait]
    assert mutation.finish(EXECUTED) == [wait]
    assert (mutation.done, mutation.result, wait.done) == (True, EXECUTED, True)
    assert mutation.finish(EXECUTED) == []


def test_a_waiting_mutation_is_the_result_of_its_caller_and_equal_to_itself_only_among_mutations() -> None:
    one, two = Mutation(ADD, (0,)), Mutation(ADD, (0,))
    one.tick = two.tick = 5
    assert (repr(one), bool(one), one.queued, one.executed, one.canceled) == (
        "Queued(5)",
        True,
        True,
        False,
        False,
    )
    assert one == Result(5)
    assert Result(5) == one
    assert one != two
    assert len({one, two}) == 2


def test_kinds_have_names() -> None:
    assert [KIND_NAMES[k] for k in (ADD, REMOVE, SET)] == ["add", "remove", "set"]
