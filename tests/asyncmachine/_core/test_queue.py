from __future__ import annotations

from asyncmachine._core.mutation import ADD, REMOVE, Mutation
from asyncmachine._core.queue import MutationQueue
from asyncmachine.api import EXECUTED


def add(*called: int) -> Mutation:
    return Mutation(ADD, called)


def remove(*called: int) -> Mutation:
    return Mutation(REMOVE, called)


def test_appended_mutations_come_out_in_order_with_consecutive_ticks() -> None:
    queue = MutationQueue(10)
    first, second = add(0), add(1)
    queue.append(first)
    queue.append(second)
    assert (first.tick, second.tick, queue.tick) == (2, 3, 1)
    assert queue.pop() is first
    assert queue.tick == first.tick
    assert queue.pop() is second
    assert (queue.tick, len(queue)) == (3, 0)


def test_prepended_mutations_go_first_and_do_not_tick() -> None:
    queue = MutationQueue(10)
    queue.append(add(0))
    early, earlier = add(1), add(2)
    queue.prepend(early)
    queue.prepend(earlier)
    assert [queue.pop() for _ in range(2)] == [earlier, early]
    assert (early.tick, queue.tick) == (0, 1)


def test_a_repetition_of_the_last_mutation_on_the_same_states_is_found() -> None:
    queue = MutationQueue(10)
    queue.append(add(0, 1))
    assert queue.repeats_last(ADD, (1, 0), 0)
    assert not queue.repeats_last(ADD, (0,), 0)
    assert not queue.repeats_last(REMOVE, (0, 1), 0)


def test_a_counter_mutation_in_between_makes_a_repetition_count() -> None:
    queue = MutationQueue(10)
    queue.append(add(0))
    queue.append(remove(0))
    assert not queue.repeats_last(ADD, (0,), 0)
    assert queue.repeats_last(REMOVE, (0,), 0)


def test_a_mutation_that_touches_one_of_several_states_in_between_counts_too() -> None:
    queue = MutationQueue(10)
    queue.append(add(0, 1))
    queue.append(remove(1))
    assert not queue.repeats_last(ADD, (0, 1), 0)


def test_an_unrelated_mutation_in_between_does_not_matter() -> None:
    queue = MutationQueue(10)
    queue.append(add(0))
    queue.append(add(5))
    assert queue.repeats_last(ADD, (0,), 0)


def test_args_and_multi_states_never_repeat() -> None:
    queue = MutationQueue(10)
    queue.append(add(0))
    assert not queue.repeats_last(ADD, (0,), 0)
    assert not queue.repeats_last(ADD, (0,), 0b1)
    queue.append(Mutation(ADD, (1,), {"x": 1}))
    assert not queue.repeats_last(ADD, (1,), 0)


def test_what_was_taken_out_is_not_repeated() -> None:
    queue = MutationQueue(10)
    taken = add(0)
    queue.append(taken)
    queue.append(add(1))
    queue.pop().finish(EXECUTED)
    assert not queue.repeats_last(ADD, (0,), 0)


def test_clear_returns_what_was_waiting_and_counts_it_as_processed() -> None:
    queue = MutationQueue(10)
    waiting = [add(0), add(1)]
    for mutation in waiting:
        queue.append(mutation)
    queue.prepend(auto := add(2))
    assert queue.clear() == [auto, *waiting]
    assert (queue.tick, len(queue)) == (3, 0)
    late = add(3)
    queue.append(late)
    assert late.tick == 4


def test_queues_share_nothing_though_they_begin_with_the_same_empty_one() -> None:
    one, two = MutationQueue(10), MutationQueue(10)
    one.append(add(0))
    assert (len(one), len(two)) == (1, 0)
    two.prepend(add(1))
    assert one.clear()[0].called == (0,)
    assert two.pop().called == (1,)
    assert not MutationQueue(10).items
    assert MutationQueue(10).clear() == []
