"""The phases of one transition: order, vetoes, failures, tracer hooks. Driven without an event loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from asyncmachine._core.effects import StartTask
from asyncmachine._core.engine import Engine
from asyncmachine._core.mutation import ADD, REMOVE, SET
from asyncmachine._core.waits import ACTIVE, ARGS, TICK, Wait
from asyncmachine.api import CANCELED, EXECUTED, Tracer
from asyncmachine.schema import Schema, State


class Rig:
    """An engine, the names of the handlers that ran, and what was logged."""

    def __init__(self, states: Mapping[str, State], **behave: Callable[[Any], object]) -> None:
        self.ran: list[str] = []
        self.log: list[tuple[str, Mapping[str, Any]]] = []
        self.now = 0.0
        self.effects: list[Any] = []
        schema = Schema("Test", states)
        self.engine = Engine(
            schema, "test", self, lambda: self.now, lambda kind, details: self.log.append((kind, details))
        )
        self.engine.perform = self.effects.extend
        self.engine.bind(
            SimpleNamespace(**{name: self._recording(name, call) for name, call in behave.items()})
        )

    def _recording(self, name: str, call: Callable[[Any], object]) -> Callable[[Any], object]:
        def handler(event: Any) -> object:
            self.ran.append(name)
            return call(event)

        return handler

    @property
    def active(self) -> str:
        return " ".join(n for n, t in zip(self.engine.schema.names, self.engine.ticks, strict=True) if t & 1)

    def tick(self, name: str) -> int:
        return self.engine.ticks[self.engine.schema.position(name)]


def accept(event: Any) -> None: ...


def veto(event: Any) -> bool:
    return False


def fail(event: Any) -> None:
    raise ValueError(event.name)


AB = {"A": State(), "B": State(), "C": State(require=("B",))}
EVERY = ("a_exit", "b_enter", "a_to_b", "any_enter", "a_end", "b_state", "any_state")


def test_all_phases_in_order() -> None:
    rig = Rig(AB, **dict.fromkeys(EVERY, accept), a_state=accept)
    rig.engine.mutate(ADD, ("A",))
    rig.ran.clear()
    assert rig.engine.mutate(SET, ("B",)) == EXECUTED
    assert rig.ran == [*EVERY]


@pytest.mark.parametrize("stopper", EVERY[:4])
def test_the_first_veto_stops_everything(stopper: str) -> None:
    rig = Rig(AB, **{**dict.fromkeys(EVERY, accept), stopper: lambda event: not event.args})
    rig.engine.mutate(ADD, ("A",))
    before = list(rig.engine.ticks)
    rig.ran.clear()
    assert rig.engine.mutate(SET, ("B",), {"x": 1}) == CANCELED
    assert rig.engine.ticks == before
    assert rig.ran == [*EVERY[: EVERY.index(stopper) + 1]]


@pytest.mark.parametrize("answer", [None, True, 1, "yes"])
def test_any_true_answer_and_none_accept(answer: object) -> None:
    assert Rig(AB, a_enter=lambda event: answer).engine.mutate(ADD, ("A",)) == EXECUTED


@pytest.mark.parametrize("answer", [False, 0, "", []])
def test_any_other_false_answer_vetoes(answer: object) -> None:
    assert Rig(AB, a_enter=lambda event: answer).engine.mutate(ADD, ("A",)) == CANCELED


def test_the_answer_of_a_final_handler_does_not_matter() -> None:
    rig = Rig(AB, a_state=veto, b_state=accept)
    assert rig.engine.mutate(ADD, ("A", "B")) == EXECUTED
    assert rig.ran == ["a_state", "b_state"]


def test_negotiation_sees_the_old_states_and_finals_the_new_ones() -> None:
    seen: list[tuple[str, str]] = []
    rig = Rig(
        AB,
        **{
            n: lambda event: seen.append((event.name, rig.active))
            for n in ("a_exit", "b_enter", "a_end", "b_state")
        },
    )
    rig.engine.mutate(ADD, ("A",))
    rig.engine.mutate(SET, ("B",))
    assert seen == [("a_exit", "A"), ("b_enter", "A"), ("a_end", "B"), ("b_state", "B")]


def test_args_are_shared_by_all_handlers_of_the_transition() -> None:
    seen: list[object] = []
    rig = Rig(
        AB, a_enter=lambda event: seen.append(event.args), a_state=lambda event: seen.append(event.args)
    )
    args = {"x": 1}
    rig.engine.mutate(ADD, ("A",), args)
    assert [a is args for a in seen] == [True, True]


def test_a_failure_in_negotiation_changes_nothing_but_brings_exception() -> None:
    rig = Rig(AB, a_enter=fail, any_state=accept, exception_state=lambda event: errors.append(event.args))
    errors: list[Mapping[str, Any]] = []
    assert rig.engine.mutate(ADD, ("A",)) == CANCELED
    assert (rig.active, rig.tick("A")) == ("Exception", 0)
    assert rig.ran == ["a_enter", "exception_state", "any_state"]
    assert (str(errors[0]["error"]), errors[0]["handler"]) == ("a_enter", "a_enter")
    assert errors[0]["error"].__traceback__ is not None


def test_a_failure_in_a_state_handler_rolls_back_what_has_not_completed_and_its_dependents() -> None:
    rig = Rig(AB, a_state=accept, b_state=fail, c_state=accept, any_state=accept)
    assert rig.engine.mutate(ADD, ("A", "B", "C")) == CANCELED
    assert rig.active == "A Exception"
    assert [rig.tick(n) for n in "ABC"] == [1, 2, 2]
    assert rig.ran == ["a_state", "b_state", "any_state"]  # the last one is of Exception's transition


def test_dependents_that_completed_go_with_a_rolled_back_requirement() -> None:
    states = {"A": State(), "B": State(require=("A",)), "C": State(after=("B",))}
    rig = Rig(states, c_state=accept, a_state=fail, b_state=accept)
    rig.engine.mutate(ADD, ("C", "B", "A"))
    assert rig.active == "Exception"


def test_a_reentering_multi_state_whose_handler_fails_is_deactivated() -> None:
    rig = Rig({"M": State(multi=True)}, m_state=lambda event: fail(event) if event.args else None)
    rig.engine.mutate(ADD, ("M",))
    rig.engine.mutate(ADD, ("M",), {"x": 1})
    assert (rig.active, rig.tick("M")) == ("Exception", 4)


def test_a_failure_in_any_state_rolls_nothing_back() -> None:
    rig = Rig(
        AB, a_state=accept, any_state=lambda event: fail(event) if "A" in event.transition.called else None
    )
    assert rig.engine.mutate(ADD, ("A",)) == CANCELED
    assert rig.active == "A Exception"


def test_after_a_failure_there_is_no_auto_mutation_until_exceptions_own() -> None:
    calls: list[tuple[str, ...]] = []
    rig = Rig(
        {"A": State(), "Auto": State(auto=True, require=("A",))},
        a_state=lambda event: fail(event) if event.args else None,
        auto_enter=lambda event: calls.append(rig.engine.current.before) if rig.engine.current else None,
    )
    rig.engine.mutate(ADD, ("A",), {"x": 1})
    assert (rig.active, calls) == ("Exception", [])
    rig.engine.mutate(ADD, ("A",))
    assert "Auto" in rig.active


@pytest.mark.parametrize("handler", ["auto_enter", "auto_state"])
def test_an_auto_state_that_always_fails_is_tried_twice_and_then_at_the_next_mutation(handler: str) -> None:
    rig = Rig({"A": State(), "B": State(), "Auto": State(auto=True)}, **{handler: fail})
    assert rig.engine.mutate(ADD, ("A",)) == EXECUTED
    assert (rig.active, rig.ran) == ("A Exception", [handler] * 2)
    rig.engine.mutate(ADD, ("B",))
    assert (rig.active, rig.ran) == ("A B Exception", [handler] * 4)


def test_waits_see_the_outcome_of_a_rollback_only() -> None:
    rig = Rig(AB, a_state=fail)
    active, moved = Wait(ACTIVE, (0,)), Wait(TICK, (0,))
    args = Wait(ARGS, (0,))
    moved.tick = 2
    for wait in (active, moved, args):
        rig.engine.add_wait(wait)
    rig.engine.mutate(ADD, ("A",))
    assert (active.done, moved.done, args.done) == (False, True, False)


def test_async_handlers_become_tasks_on_the_token_of_their_state() -> None:
    async def work(event: Any) -> None: ...

    rig = Rig(AB)
    rig.engine.bind(SimpleNamespace(a_state=work, a_end=work))
    rig.engine.mutate(ADD, ("A",))
    [task] = rig.effects
    assert isinstance(task, StartTask)
    assert (task.handler, task.state, task.token.tick, task.token.expired) == (work, 0, 1, False)
    rig.engine.mutate(REMOVE, ("A",))
    assert task.token.expired
    assert rig.effects[-1].token.tick == 2


def test_async_handlers_of_multi_states_live_as_long_as_the_machine_or_their_scope() -> None:
    async def work(event: Any) -> None: ...

    rig = Rig({"M": State(multi=True), "N": State(multi=True, scope="On"), "On": State()})
    rig.engine.bind(SimpleNamespace(m_state=work, n_state=work))
    rig.engine.mutate(ADD, ("On",))
    rig.engine.mutate(ADD, ("M",))
    rig.engine.mutate(ADD, ("N",))
    free, scoped = rig.effects
    assert free.token is None
    rig.engine.mutate(ADD, ("N",))
    assert not scoped.token.expired
    rig.engine.mutate(REMOVE, ("On",))
    assert scoped.token.expired


def test_a_rolled_back_state_starts_no_task() -> None:
    async def work(event: Any) -> None: ...

    rig = Rig({"A": State(), "B": State(require=("A",)), "C": State()}, a_state=fail)
    rig.engine.bind(SimpleNamespace(c_state=work, a_state=work))
    rig.engine.mutate(ADD, ("C", "A"))
    assert rig.active == "C Exception"
    assert [e.event.name for e in rig.effects if isinstance(e, StartTask)] == ["c_state"]


def test_a_plain_function_may_return_a_coroutine() -> None:
    async def work(event: Any) -> None: ...

    rig = Rig(AB, a_state=work, b_state=fail)
    rig.engine.mutate(ADD, ("A",))
    [task] = rig.effects
    coroutine = task.handler(task.event)
    assert coroutine.cr_code is work.__code__
    coroutine.close()


def test_a_coroutine_that_is_never_started_is_closed() -> None:
    async def work(event: Any) -> None: ...

    rig = Rig(AB, a_state=work)
    rig.engine.mutate(ADD, ("A",))
    rig.effects.clear()  # "never awaited" would be a warning, and so an error
    assert rig.active == "A"


class Listener(Tracer):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def mutation_queued(self, machine: Any, mutation: Any) -> None:
        self.seen.append(f"queued{' auto' if mutation.auto else ''}")

    def transition_start(self, machine: Any, transition: Any) -> None:
        self.seen.append(f"start {transition.kind} {transition.accepted}")
        assert transition.time_before == transition.time_after == tuple(machine.engine.ticks)

    def handler_start(self, machine: Any, transition: Any, name: str) -> None:
        self.seen.append(f"> {name}")

    def handler_end(self, machine: Any, transition: Any, name: str, seconds: float) -> None:
        self.seen.append(f"< {name}")

    def transition_finals(self, machine: Any, transition: Any) -> None:
        self.seen.append("finals")
        assert transition.time_after == tuple(machine.engine.ticks) != transition.time_before

    def transition_end(self, machine: Any, transition: Any) -> None:
        self.seen.append(f"end {transition.accepted}")
        assert transition.time_after == tuple(machine.engine.ticks)

    def queue_end(self, machine: Any) -> None:
        self.seen.append("queue end")

    def machine_dispose(self, machine: Any) -> None:
        self.seen.append("dispose")

    def report(self, machine: Any, kind: str, details: Mapping[str, Any]) -> None:
        self.seen.append(f"report {kind}")


def test_tracer_hooks_in_order() -> None:
    rig = Rig({"A": State(), "Auto": State(auto=True, require=("A",))}, a_enter=accept, a_state=accept)
    listener = Listener()
    rig.engine.trace(listener)
    rig.engine.mutate(ADD, ("A",))
    assert listener.seen == [
        "queued", "start add True", "> a_enter", "< a_enter", "finals", "> a_state", "< a_state", "end True",
        "queued auto", "start add True", "finals", "end True", "queue end",
    ]  # fmt: skip


def test_tracers_hear_of_rejections_vetoes_failures_checks_and_disposal() -> None:
    rig = Rig(
        {"A": State(), "B": State(require=("A",))}, a_enter=lambda event: bool(event.args), a_state=fail
    )
    listener = Listener()
    rig.engine.trace(listener)
    rig.engine.mutate(ADD, ("B",))
    rig.engine.mutate(ADD, ("A",))
    assert listener.seen == [
        "queued", "start add False", "end False", "queue end",
        "queued", "start add True", "> a_enter", "< a_enter", "end False", "queue end",
    ]  # fmt: skip
    listener.seen.clear()
    rig.engine.check(ADD, ("A",), {"x": 1})
    assert listener.seen == ["start add True", "> a_enter", "< a_enter", "end True", "queue end"]
    listener.seen.clear()
    rig.engine.mutate(ADD, ("A",), {"x": 1})
    assert listener.seen == [
        "queued", "start add True", "> a_enter", "< a_enter", "finals", "> a_state", "report unhandled-error",
        "< a_state", "end False",
        "queued", "start add True", "finals", "end True", "queue end",
    ]  # fmt: skip
    rig.engine.dispose()
    assert listener.seen[-1] == "dispose"


def test_tracers_see_why_a_transition_was_stopped() -> None:
    stopped: list[tuple[str, str]] = []

    class Reason(Tracer):
        def transition_end(self, machine: Any, transition: Any) -> None:
            stopped.append((transition.stopped_by, str(transition.error or "")))

    rig = Rig({"A": State(), "B": State(require=("X",)), "X": State()}, a_enter=veto, x_state=fail)
    rig.engine.trace(Reason())
    for name in "ABX":
        rig.engine.mutate(ADD, (name,))
    assert stopped == [("a_enter", ""), ("", ""), ("x_state", "x_state"), ("", "")]


def test_what_a_tracer_mutates_is_queued() -> None:
    class Meddler(Tracer):
        def transition_end(self, machine: Any, transition: Any) -> None:
            if transition.called == ("A",):
                results.append(machine.engine.mutate(ADD, ("B",)))

    results: list[Any] = []
    rig = Rig(AB)
    rig.engine.trace(Meddler())
    rig.engine.mutate(ADD, ("A",))
    assert results[0].queued
    assert rig.active == "A B"


SLOW = {
    "seconds": 0.25,
    "limit": 0.1,
    "transition": "test/1",
    "canceled": False,
}


def slow_rig(*slow: str, cancel: bool = False, **behave: Callable[[Any], object]) -> Rig:
    """Handlers named in *slow* accept, after a quarter of a second."""

    def sleepy(event: Any) -> None:
        rig.now += 0.25

    rig = Rig({**AB, "Auto": State(auto=True)}, **dict.fromkeys(slow, sleepy), **behave)
    rig.engine.cancel_slow = cancel
    return rig


def test_slow_handlers_are_reported_with_what_is_known() -> None:
    rig = slow_rig("a_state", b_state=accept)
    assert rig.engine.mutate(ADD, ("A", "B")) == EXECUTED
    ((kind, details),) = rig.log
    where = details["where"]
    assert (kind, details) == ("slow-handler", {"handler": "a_state", "where": where, **SLOW})
    file, _, line = where.rpartition(":")
    assert file == __file__
    assert Path(file).read_text("utf-8").splitlines()[int(line) - 1].strip().startswith("def handler(")


def test_a_slow_negotiation_handler_can_be_a_veto() -> None:
    rig = slow_rig("a_enter", cancel=True, a_state=accept)
    assert rig.engine.mutate(ADD, ("A", "B")) == CANCELED
    assert (rig.ran, rig.active) == (["a_enter"], "")
    assert [details["canceled"] for _, details in rig.log] == [True]


def test_a_slow_guard_leaves_its_auto_state_out() -> None:
    rig = slow_rig("auto_enter", cancel=True)
    assert rig.engine.mutate(ADD, ("A",)) == EXECUTED
    assert rig.active == "A"


def test_a_slow_final_handler_can_be_rolled_back_without_exception() -> None:
    rig = slow_rig("b_state", cancel=True, a_state=accept, c_state=accept)
    assert rig.engine.mutate(ADD, ("A", "B", "C")) == CANCELED
    assert (rig.ran, rig.active) == (["a_state", "b_state"], "A")
    assert (rig.tick("B"), rig.tick("C"), rig.tick("Exception")) == (2, 2, 0)


def test_a_slow_handler_that_fails_is_a_failure() -> None:
    def both(event: Any) -> None:
        rig.now += 1
        raise ValueError("late")

    rig = slow_rig(cancel=True, a_state=both)
    assert rig.engine.mutate(ADD, ("A",)) == CANCELED
    assert rig.active.split()[-1] == "Exception"
    assert ("slow-handler", False) in [(kind, details.get("canceled")) for kind, details in rig.log]


def test_the_coroutine_of_a_slow_handler_is_closed() -> None:
    ran: list[str] = []

    async def work() -> None:
        ran.append("work")

    def late(event: Any) -> object:
        rig.now += 1
        return work()

    rig = slow_rig(cancel=True, a_state=late)
    assert rig.engine.mutate(ADD, ("A",)) == CANCELED
    assert (rig.effects, ran) == ([], [])


def test_a_handler_without_source_is_reported_by_its_looks() -> None:
    rig = slow_rig()

    def late(event: Any, seconds: float) -> None:
        rig.now += seconds

    rig.engine.bind(SimpleNamespace(a_state=partial(late, seconds=1)))
    rig.engine.mutate(ADD, ("A",))
    assert rig.log[0][1]["where"].startswith("functools.partial(")
