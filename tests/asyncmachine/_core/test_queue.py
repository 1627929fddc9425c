from __future__ import annotations

from asyncmachine._core.mutation import ADD, NO_ARGS, REMOVE, Kind, Mutation
from asyncmachine._core.queue import MutationQueue
from asyncmachine.api import EXECUTED


def append(queue: MutationQueue, *called: int, kind: Kind = ADD, **args: int) -> Mutation:
    return queue.append(kind, called, args or NO_ARGS, None, None)


def repeats(queue: MutationQueue, *called: int, multi: int = 0) -> bool:
    """Whether what calls these states, like the last mutation that calls the first of them, repeats that."""
    return queue.repeats(queue.last[called[0]], called, multi)


def test_appended_mutations_wait_in_order_with_consecutive_ticks() -> None:
    queue = MutationQueue(10)
    first, second = append(queue, 0), append(queue, 1)
    assert (first.tick, second.tick, queue.tick, len(queue)) == (2, 3, 1, 2)
    assert list(queue.items) == [first, second]


def test_an_appended_mutation_is_like_any_other() -> None:
    queue = MutationQueue(10)
    mutation, other = append(queue, 0, 1, kind=REMOVE, x=1), Mutation(REMOVE, (0, 1), {"x": 1})
    other.tick = mutation.tick
    slots = [name for name in Mutation.__slots__ if name != "engine"]
    assert [getattr(mutation, s) for s in slots] == [getattr(other, s) for s in slots]
    assert mutation != other


def test_prepended_mutations_go_first_and_do_not_tick() -> None:
    queue = MutationQueue(10)
    late = append(queue, 0)
    early, earlier = Mutation(ADD, (1,)), Mutation(ADD, (2,))
    queue.prepend(early)
    queue.prepend(earlier)
    assert list(queue.items) == [earlier, early, late]
    assert (early.tick, late.tick, append(queue, 3).tick) == (0, 2, 3)


def test_a_repetition_of_the_last_mutation_on_the_same_states_is_found() -> None:
    queue = MutationQueue(10)
    append(queue, 0, 1)
    assert repeats(queue, 1, 0)
    assert not repeats(queue, 0)


def test_a_mutation_that_touches_one_of_several_states_in_between_counts_too() -> None:
    queue = MutationQueue(10)
    append(queue, 0, 1)
    append(queue, 1, kind=REMOVE)
    assert not repeats(queue, 0, 1)


def test_an_unrelated_mutation_in_between_does_not_matter() -> None:
    queue = MutationQueue(10)
    append(queue, 0)
    append(queue, 5)
    assert repeats(queue, 0)


def test_args_and_multi_states_never_repeat() -> None:
    queue = MutationQueue(10)
    append(queue, 0)
    assert not repeats(queue, 0, multi=0b1)
    append(queue, 1, x=1)
    assert not repeats(queue, 1)


def test_what_was_taken_out_is_not_repeated() -> None:
    queue = MutationQueue(10)
    taken = append(queue, 0)
    append(queue, 1)
    assert repeats(queue, 0)
    taken.finish(EXECUTED)
    assert not repeats(queue, 0)


def test_clear_returns_what_was_waiting_and_counts_it_as_processed() -> None:
    queue = MutationQueue(10)
    waiting = [append(queue, 0), append(queue, 1)]
    auto = Mutation(ADD, (2,))
    queue.prepend(auto)
    assert queue.clear() == [auto, *waiting]
    assert (queue.tick, len(queue), queue.last) == (3, 0, {})
    assert append(queue, 3).tick == 4


def test_queues_share_nothing_though_they_begin_with_the_same_empty_one() -> None:
    one, two = MutationQueue(10), MutationQueue(10)
    append(one, 0)
    assert (len(one), len(two), two.last) == (1, 0, {})
    two.prepend(Mutation(ADD, (1,)))
    assert [m.called for m in one.clear()] == [(0,)]
    assert [m.called for m in two.items] == [(1,)]
    assert not MutationQueue(10).items
    assert MutationQueue(10).clear() == []


def test_what_is_withdrawn_keeps_its_place() -> None:
    queue = MutationQueue(10)
    first, second, third = (append(queue, state) for state in range(3))
    assert queue.withdraw(second)
    assert not queue.withdraw(second)
    assert [m.called for m in queue.items] == [(0,), (), (2,)]
    assert [m.tick for m in queue.items] == [first.tick, second.tick, third.tick]
