from __future__ import annotations

from asyncmachine._core.mutation import ADD, KIND_NAMES, REMOVE, SET, Mutation, Source
from asyncmachine._core.waits import ACTIVE, Wait
from asyncmachine.api import CANCELED, EXECUTED


def test_a_new_mutation_is_not_done_and_would_count_as_canceled() -> None:
    mutation = Mutation(ADD, (0, 1), {"x": 1}, Source("other", "other/1", 5), auto=True)
    assert (mutation.done, mutation.result, mutation.tick) == (False, CANCELED, 0)
    assert (mutation.auto, mutation.check) == (True, False)
    assert mutation.source == ("other", "other/1", 5)


def test_finish_sets_the_result_and_fires_whoever_waits_once() -> None:
    mutation, wait = Mutation(ADD, (0,)), Wait(ACTIVE, ())
    mutation.waiters = [wait]
    assert mutation.finish(EXECUTED) == [wait]
    assert (mutation.done, mutation.result, wait.done, wait.result) == (True, EXECUTED, True, EXECUTED)
    assert mutation.finish(EXECUTED) == []


def test_kinds_have_names() -> None:
    assert [KIND_NAMES[k] for k in (ADD, REMOVE, SET)] == ["add", "remove", "set"]
