from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from asyncmachine._core.effects import CancelScope, Effect, FireWait, StartTask
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
    wait = Wait(ACTIVE, 0b10)
    engine.add_wait(wait)
    engine.bind(SimpleNamespace(a_end=lambda event: engine.mutate(ADD, ("B",))))
    engine.mutate(REMOVE, ("A",))
    [[cancel, start, fire]] = performed
    assert cancel == CancelScope(token)
    assert isinstance(start, StartTask)
    assert (start.handler, start.event.name) == (work, "b_state")
    assert fire == FireWait(wait)


def test_nothing_is_performed_inside_a_drain() -> None:
    engine = Engine(Schema("Test", {"A": State(), "B": State()}), "test", None, lambda: 0.0, lambda *_: None)
    draining: list[bool] = []
    engine.perform = lambda effects: draining.append(engine.draining)
    engine.bind(SimpleNamespace(a_state=work, b_state=lambda event: engine.mutate(ADD, ("A",))))
    engine.mutate(ADD, ("B",))
    assert draining == [False]
