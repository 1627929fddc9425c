"""The queue and its loop, driven without an event loop."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from asyncmachine._core.effects import CancelScope
from asyncmachine._core.engine import Engine
from asyncmachine._core.mutation import ADD, CURRENT, REMOVE, SET, Mutation, Source
from asyncmachine._core.waits import ACTIVE, QUERY, Wait
from asyncmachine.api import CANCELED, EXECUTED, Result, Tracer
from asyncmachine.errors import MachineDisposed, UnknownState
from asyncmachine.schema import Schema, State

STATES = {"A": State(), "B": State(), "C": State(), "M": State(multi=True)}


def engine(states: dict[str, State] | None = None, **handlers: Callable[[Any], object]) -> Engine:
    made = Engine(Schema("Test", states or STATES), "test", None, lambda: 0.0, lambda *_: None)
    made.bind(SimpleNamespace(**handlers))
    return made


def active(machine: Engine) -> str:
    return " ".join(n for n, t in zip(machine.schema.names, machine.ticks, strict=True) if t & 1)


class Calls(Tracer):
    """Records the called states of all transitions, with their queue ticks."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def transition_end(self, machine: Any, transition: Any) -> None:
        self.seen.append((f"{transition.kind} {' '.join(transition.called)}", transition.mutation.tick))


# -- results and order --------------------------------------------------------------------------


def test_an_idle_machine_answers_at_once() -> None:
    machine = engine()
    assert machine.mutate(ADD, ("A", "B")) == EXECUTED
    assert machine.mutate(REMOVE, ("A",)) == EXECUTED
    assert machine.mutate(SET, ("C",)) == EXECUTED
    assert active(machine) == "C"
    assert machine.ticks == [2, 2, 1, 0, 0]


def test_mutations_inside_handlers_are_queued_in_order() -> None:
    results: list[Result] = []

    def nested(event: Any) -> None:
        results.extend(
            [machine.mutate(ADD, ("B",)), machine.mutate(REMOVE, ("A",)), machine.mutate(ADD, ("C",))]
        )
        assert active(machine) == "A"

    machine, calls = engine(a_state=nested), Calls()
    machine.trace(calls)
    assert machine.mutate(ADD, ("A",)) == EXECUTED
    assert [r.tick for r in results] == [3, 4, 5]
    assert calls.seen == [("add A", 2), ("add B", 3), ("remove A", 4), ("add C", 5)]
    assert (active(machine), machine.queue.tick) == ("B C", 5)


def test_auto_mutations_run_before_what_is_queued() -> None:
    machine = engine(
        {"A": State(), "B": State(), "Auto": State(auto=True, require=("A",))},
        a_state=lambda event: machine.mutate(ADD, ("B",)),
    )
    calls = Calls()
    machine.trace(calls)
    machine.mutate(ADD, ("A",))
    assert calls.seen == [("add A", 2), ("add Auto", 0), ("add B", 3)]


def test_exception_runs_before_auto_and_queued_ones() -> None:
    def fail(event: Any) -> None:
        machine.mutate(ADD, ("B",))
        raise ValueError

    machine, calls = engine(a_state=fail), Calls()
    machine.trace(calls)
    machine.mutate(ADD, ("A",))
    assert calls.seen == [("add A", 2), ("add Exception", 0), ("add B", 3)]


def test_the_queue_tick_counts_appended_mutations_on_every_path() -> None:
    machine = engine(b_state=lambda event: None)
    machine.mutate(ADD, ("A",))  # the fast path
    machine.mutate(ADD, ("B",))  # through the queue
    machine.mutate(ADD, ("A",))  # no change
    assert machine.queue.tick == 4


@pytest.mark.parametrize("names", [("Nope",), ("A", "Nope"), (["Nope"],)])
def test_unknown_names_raise_and_change_nothing(names: tuple[Any, ...]) -> None:
    machine = engine()
    with pytest.raises(UnknownState, match="Nope"):
        machine.mutate(ADD, names)
    assert (machine.ticks, machine.queue.tick, machine.draining) == ([0] * 5, 1, False)


# -- repetitions and limits ---------------------------------------------------------------------


def test_repetitions_are_dropped_while_queued() -> None:
    def nested(event: Any) -> None:
        results.extend(machine.mutate(ADD, ("B",)) for _ in range(3))
        lengths.append(len(machine.queue))

    results: list[Result] = []
    lengths: list[int] = []
    machine = engine(a_state=nested)
    machine.mutate(ADD, ("A",))
    assert [repr(r) for r in results] == ["Queued(3)", "EXECUTED", "EXECUTED"]
    assert lengths == [1]


def test_multi_states_and_args_are_never_dropped() -> None:
    def nested(event: Any) -> None:
        for _ in range(2):
            machine.mutate(ADD, ("M",))
            machine.mutate(ADD, ("B",), {"x": 1})

    machine, calls = engine(a_state=nested), Calls()
    machine.trace(calls)
    machine.mutate(ADD, ("A",))
    assert [name for name, _ in calls.seen] == ["add A", "add M", "add B", "add M", "add B"]
    assert machine.ticks[3] == 3


def test_removing_what_is_inactive_is_done_at_once_when_nothing_waits() -> None:
    results: list[Result] = []
    machine = engine(a_state=lambda event: results.append(machine.mutate(REMOVE, ("B",))))
    machine.mutate(ADD, ("A",))
    assert results == [EXECUTED]
    assert machine.queue.tick == 2


def test_a_full_queue_cancels() -> None:
    results: list[Result] = []

    def nested(event: Any) -> None:
        results.extend(machine.mutate(ADD, (name,)) for name in ("B", "C", "M"))

    machine = engine(a_state=nested)
    machine.queue.limit = 2
    machine.mutate(ADD, ("A",))
    assert [repr(r) for r in results] == ["Queued(3)", "Queued(4)", "CANCELED"]
    assert active(machine) == "A B C"


def test_a_full_queue_still_takes_exception_in_and_out() -> None:
    results: list[Result] = []

    def nested(event: Any) -> None:
        wanted = ((ADD, "B"), (ADD, "Exception"), (REMOVE, "Exception"), (ADD, "C"))
        results.extend(machine.mutate(kind, (name,)) for kind, name in wanted)

    machine = engine(a_state=nested, a_end=nested)
    machine.queue.limit = 1
    machine.mutate(ADD, ("A",))
    assert [repr(r) for r in results] == ["Queued(3)", "Queued(4)", "CANCELED", "CANCELED"]
    assert active(machine) == "A B Exception"
    results.clear()
    machine.mutate(REMOVE, ("A",))
    assert [repr(r) for r in results] == ["Queued(6)", "CANCELED", "Queued(7)", "CANCELED"]
    assert active(machine) == "B"


# -- sources ------------------------------------------------------------------------------------


def test_the_source_of_a_mutation_is_the_transition_it_was_made_in_also_of_another_machine() -> None:
    sources: list[Source | None] = []
    target = engine(b_state=lambda event: sources.append(event.source))
    origin = Engine(Schema("Origin", STATES), "origin", None, lambda: 0.0, lambda *_: None)
    origin.bind(SimpleNamespace(a_state=lambda event: target.mutate(ADD, ("B",))))
    target.mutate(ADD, ("B",))
    target.mutate(REMOVE, ("B",))
    origin.mutate(ADD, ("C",))
    origin.mutate(ADD, ("A",))
    assert sources == [None, Source("origin", "origin/1", 3)]
    assert CURRENT.get() is None


def test_a_given_source_wins() -> None:
    sources: list[Source | None] = []
    machine = engine(a_state=lambda event: sources.append(event.source))
    given = Source("remote", "remote/9", 4)
    machine.mutate(ADD, ("A",), {}, given)
    assert sources == [given]


# -- checks -------------------------------------------------------------------------------------


def test_a_check_asks_relations_and_negotiation_and_leaves_no_trace() -> None:
    states = {"A": State(), "B": State(require=("A",)), "Auto": State(auto=True)}
    ran: list[str] = []
    machine = engine(
        states,
        a_enter=lambda event: ran.append(f"enter {event.check}"),
        a_exit=lambda event: False,
        any_state=lambda event: ran.append("any_state"),
    )
    assert machine.check(ADD, ("A",), {}) == EXECUTED
    assert machine.check(ADD, ("B",), {}) == CANCELED
    assert machine.check(REMOVE, ("A",), {}) == EXECUTED
    assert (machine.ticks, machine.queue.tick, ran) == ([0] * 4, 1, ["enter True"])
    machine.mutate(ADD, ("A",))
    assert machine.check(REMOVE, ("A",), {}) == CANCELED


def test_a_check_inside_a_handler_answers_at_once_on_the_present_states() -> None:
    states = {"A": State(), "B": State(require=("A",))}
    answers: list[Result] = []
    machine = engine(
        states,
        a_enter=lambda event: answers.append(machine.check(ADD, ("B",), {})),
        a_state=lambda event: answers.append(machine.check(ADD, ("B",), {})),
    )
    machine.mutate(ADD, ("A",))
    assert answers == [CANCELED, EXECUTED]
    assert active(machine) == "A"


def test_what_a_handler_mutates_during_a_check_waits_until_the_check_is_over() -> None:
    order: list[str] = []

    def enter(event: Any) -> None:
        order.append(repr(machine.mutate(ADD, ("B",))))
        order.append("enter ends")

    machine = engine(a_enter=enter, b_state=lambda event: order.append("b_state"))
    assert machine.check(ADD, ("A",), {}) == EXECUTED
    assert order == ["Queued(2)", "enter ends", "b_state"]
    assert active(machine) == "B"


def test_a_failure_in_a_check_cancels_it_and_becomes_exception() -> None:
    def fail(event: Any) -> None:
        raise ValueError

    machine = engine(a_enter=fail)
    assert machine.check(ADD, ("A",), {}) == CANCELED
    assert active(machine) == "Exception"


# -- watching -----------------------------------------------------------------------------------


def test_the_fast_path_is_left_as_long_as_somebody_watches_the_states_that_move() -> None:
    machine = engine()
    wait = Wait(ACTIVE, (1,))
    machine.add_wait(wait)
    machine.mutate(ADD, ("A",))
    assert not wait.done
    machine.mutate(ADD, ("B",))
    assert wait.done
    assert (machine.watch, machine.fast) == (0, True)


def test_discarded_waits_leave_the_fast_path_free() -> None:
    machine = engine()
    query, wait = Wait(QUERY, ()), Wait(ACTIVE, (0,))
    query.query = lambda time: False
    machine.add_wait(query)
    machine.add_wait(wait)
    assert (machine.fast, machine.watch) == (False, 1)
    machine.discard_wait(query)
    machine.discard_wait(wait)
    assert (machine.fast, machine.watch) == (True, 0)


def test_binding_and_tracing_switch_the_fast_path() -> None:
    machine, handlers = engine(), SimpleNamespace(any_state=lambda event: None)
    machine.bind(handlers)
    assert not machine.fast
    machine.unbind(handlers)
    assert machine.fast
    silent = Tracer()
    machine.trace(silent)
    assert machine.fast  # it overrides nothing, so nothing is recorded for it
    machine.untrace(silent)
    recording = Calls()
    machine.trace(recording)
    assert not machine.fast
    machine.untrace(recording)
    assert machine.fast


def test_clock_tracers_hear_once_per_drain_and_keep_the_fast_path() -> None:
    class Clock(Tracer):
        def __init__(self) -> None:
            self.heard: list[tuple[int, ...]] = []

        def clock_moved(self, machine: object) -> None:
            self.heard.append(tuple(target.ticks))

    clock = Clock()
    target = engine(b_state=lambda event: target.mutate(ADD, ("C",)))
    target.trace(clock)
    assert target.fast
    target.mutate(ADD, ("A",))
    target.mutate(ADD, ("A",))  # nothing moves
    target.mutate(ADD, ("B",))  # two transitions, one drain
    assert [ticks[:3] for ticks in clock.heard] == [(1, 0, 0), (1, 1, 1)]


def test_handlers_bound_by_a_handler_take_part_from_the_next_transition() -> None:
    ran: list[str] = []
    late = SimpleNamespace(b_state=lambda event: ran.append("b_state"))
    machine = engine(a_state=lambda event: machine.bind(late))
    machine.mutate(ADD, ("A",))
    machine.mutate(ADD, ("B",))
    assert ran == ["b_state"]


# -- what flies through -------------------------------------------------------------------------


def test_an_interrupt_leaves_a_machine_that_works_and_no_mutation_unfinished() -> None:
    def interrupt(event: Any) -> None:
        machine.mutate(ADD, ("C",))
        if event.args:
            raise KeyboardInterrupt

    machine = engine(a_state=interrupt)

    class Finished(Tracer):
        def mutation_queued(self, machine: Any, mutation: Mutation) -> None:
            queued.append(mutation)

    queued: list[Mutation] = []
    machine.trace(Finished())
    with pytest.raises(KeyboardInterrupt):
        machine.mutate(ADD, ("A",), {"x": 1})
    assert (queued[0].done, queued[0].result, machine.draining) == (True, CANCELED, False)
    assert machine.mutate(ADD, ("B",)) == EXECUTED
    assert active(machine) == "A B C"
    assert CURRENT.get() is None


class Item:
    def cancel(self) -> None: ...


# -- disposal -----------------------------------------------------------------------------------


def test_disposal_cancels_fails_and_expires_everything() -> None:
    machine = engine()
    performed: list[Any] = []
    machine.perform = performed.extend
    wait = Wait(ACTIVE, (0,))
    wait.sleepers = [None]
    machine.add_wait(wait)
    token = machine.token(1)
    token.attach(Item())
    machine.dispose()
    machine.dispose()
    assert isinstance(wait.error, MachineDisposed)
    assert token.expired
    assert performed == [CancelScope(token), wait]
    assert machine.mutate(ADD, ("A",)) == CANCELED
    assert machine.check(ADD, ("A",), {}) == CANCELED
    late = Wait(ACTIVE, (0,))
    machine.add_wait(late)
    assert isinstance(late.error, MachineDisposed)
    assert machine.token(0).expired
    assert machine.ticks == [0] * 5


def test_disposal_inside_a_handler_cancels_what_is_queued() -> None:
    waiting: list[Mutation] = []
    wait = Wait(ACTIVE, ())

    def nested(event: Any) -> None:
        machine.mutate(ADD, ("B",))
        waiting.extend(machine.queue.items)
        waiting[0].waiters = [wait]
        machine.dispose()

    machine = engine(a_state=nested)
    assert machine.mutate(ADD, ("A",)) == EXECUTED
    assert (waiting[0].result, wait.done) == (CANCELED, True)
    assert active(machine) == "A"
    assert len(machine.queue) == 0
