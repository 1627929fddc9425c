from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from asyncmachine._core.effects import CancelScope, Effect, StartTask
from asyncmachine._core.engine import Engine
from asyncmachine._core.mutation import ADD, REMOVE
from asyncmachine._core.waits import ACTIVE, Wait
from asyncmachine.schema import Schema, State


class Item:
    def cancel(self) -> None: ...


async def work(event: Any) -> None: ...


def test_a_drain_leaves_its_effects_in_the_order_of_their_causes() -> None:
    performed: list[list[Effect]] = []
    engine = Engine(Schema("Test", {"A": State(), "B": State()}), "test", None, lambda: 0.0, lambda *_: None)
    engine.perform = performed.append
    engine.bind(SimpleNamespace(b_state=work))
    engine.mutate(ADD, ("A",))
    assert performed == []  # nobody watches
    token = engine.token(0)
    token.attach(Item())
    wait, idle = Wait(ACTIVE, (1,)), Wait(ACTIVE, (1,))
    wait.sleepers = [None]
    for each in (wait, idle):
        engine.add_wait(each)
    engine.bind(SimpleNamespace(a_end=lambda event: engine.mutate(ADD, ("B",))))
    engine.mutate(REMOVE, ("A",))
    [[cancel, start, fire]] = performed
    assert cancel == CancelScope(token)
    assert isinstance(start, StartTask)
    assert (start.handler, start.event.name) == (work, "b_state")
    assert fire is wait
    assert idle.done  # nobody waits for it, so there is nothing to do


class Woken(Wait):
    """Counts."""

    times = 0

    def wake(self) -> None:
        Woken.times += 1


def test_a_wait_that_no_effect_precedes_is_woken_at_once() -> None:
    engine = Engine(Schema("Test", {"A": State(), "B": State()}), "test", None, lambda: 0.0, lambda *_: None)
    performed: list[Effect] = []
    engine.perform = performed.extend
    wait, after = Woken(ACTIVE, (0,)), Woken(ACTIVE, (1,))
    for each in (wait, after):
        each.sleepers = [None]
        engine.add_wait(each)
    engine.mutate(ADD, ("A",))
    assert (Woken.times, wait.done, after.done, performed) == (1, True, False, [])
    token = engine.token(1)
    token.attach(Item())
    engine.mutate(ADD, ("B",))
    assert performed == [CancelScope(token), after]  # a task in the scope must end, not go on
    assert Woken.times == 1


def test_nothing_is_performed_inside_a_drain() -> None:
    engine = Engine(Schema("Test", {"A": State(), "B": State()}), "test", None, lambda: 0.0, lambda *_: None)
    draining: list[bool] = []
    engine.perform = lambda effects: draining.append(engine.draining)
    engine.bind(SimpleNamespace(a_state=work, b_state=lambda event: engine.mutate(ADD, ("A",))))
    engine.mutate(ADD, ("B",))
    assert draining == [False]
