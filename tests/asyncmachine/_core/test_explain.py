"""Why states are active or not. Each case is asked with and without handlers, tracers and waits watching."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given

from asyncmachine._core.engine import Engine
from asyncmachine._core.explain import Cause, Explanation, explain
from asyncmachine._core.mutation import ADD, REMOVE, SET, Kind, Source
from asyncmachine.api import CANCELED, EXECUTED, Tracer
from asyncmachine.schema import Schema, State
from asyncmachine.testing.strategies import Step, definitions, scripts


class Watching(Tracer):
    """Makes every transition leave a record."""

    def transition_end(self, machine: Any, transition: Any) -> None: ...


class Subject:
    """A machine, asked by names."""

    def __init__(self, states: Mapping[str, State], *handlers: object, watched: bool = False) -> None:
        self.schema = Schema("Test", states)
        self.engine = Engine(self.schema, "m1", self, lambda: 0.0, lambda kind, details: None)
        for item in handlers:
            self.engine.bind(item)
        if watched:
            self.engine.trace(Watching())

    def did(self, kind: Kind, *states: str) -> bool:
        return bool(self.engine.mutate(kind, states))

    def why(self, state: str) -> Explanation:
        return explain(self.engine, self.schema.position(state))


@pytest.fixture(params=[False, True], ids=["unwatched", "watched"])
def watched(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def number(watched: bool, n: int) -> str:
    """Transitions have ids only where somebody watches."""
    return f"m1/{n}" if watched else ""


STATES = {
    "Start": State(add=("Net",)),
    "Net": State(require=("Start",)),
    "Work": State(require=("Net",), remove=("Idle",)),
    "Idle": State(),
    "Busy": State(auto=True, require=("Work",)),
}


def test_a_state_that_never_moved(watched: bool) -> None:
    m = Subject(STATES, watched=watched)
    assert m.why("Idle") == Explanation(state="Idle", active=False, tick=0, cause=None, veto=None)
    assert str(m.why("Idle")).splitlines() == [
        "Idle is inactive, tick 0",
        "  it has never been active",
        "  relations allow to add it",
    ]


def test_called_implied_and_auto(watched: bool) -> None:
    m = Subject(STATES, watched=watched)
    m.did(ADD, "Start")
    m.did(ADD, "Work")
    assert m.why("Start").cause == Cause(how="called", mutation="[add] Start", transition=number(watched, 1))
    assert m.why("Net").cause == Cause(
        how="implied", by=("Start",), mutation="[add] Start", transition=number(watched, 1)
    )
    auto = m.why("Busy").cause
    assert auto == Cause(
        how="auto", mutation="[add:auto] Busy", transition=number(watched, 4)
    )  # 2 was rejected
    assert str(m.why("Net")).splitlines()[1].startswith("  last move: implied by Start, by [add] Start")


def test_what_a_missing_requirement_and_a_remover_do(watched: bool) -> None:
    m = Subject(STATES, watched=watched)
    why = m.why("Work")
    assert (why.missing, why.removed_by, why.addable) == (("Net",), (), False)
    m.did(ADD, "Start", "Work")
    why = m.why("Idle")
    assert (why.missing, why.removed_by, why.addable) == ((), ("Work",), False)
    assert str(why).splitlines()[-1] == "  Work is active and removes it"


def test_one_that_may_be_added_although_it_is_removed(watched: bool) -> None:
    m = Subject({"A": State(remove=("B",)), "B": State(remove=("A",))}, watched=watched)
    m.did(ADD, "A")
    why = m.why("B")
    assert (why.removed_by, why.addable) == (("A",), True)


def test_a_conflict_further_away(watched: bool) -> None:
    states = {
        "Foo": State(require=("Bar",), add=("Baz",)),
        "Bar": State(),
        "Baz": State(remove=("Bar",)),
    }
    m = Subject(states, watched=watched)
    m.did(ADD, "Bar")
    assert not m.did(ADD, "Foo")
    why = m.why("Foo")
    assert (why.missing, why.removed_by, why.addable) == ((), (), False)
    assert why.conflicts == ("Baz removes Bar", "Foo requires Bar")
    assert "  Baz removes Bar" in str(why).splitlines()


def test_how_states_ended(watched: bool) -> None:
    m = Subject(STATES, watched=watched)
    m.did(ADD, "Start", "Idle")
    m.did(ADD, "Work")
    assert m.why("Idle").cause == Cause(
        how="removed", by=("Work",), mutation="[add] Work", transition=number(watched, 3)
    )
    m.did(REMOVE, "Start")
    called, lost, further = (m.why(name).cause for name in ("Start", "Net", "Work"))
    assert called is not None
    assert lost is not None
    assert further is not None
    assert (called.how, called.by) == ("called", ())
    assert (lost.how, lost.by) == ("unmet", ("Start",))
    assert (further.how, further.by) == ("unmet", ("Net",))
    assert lost.mutation == "[remove] Start"


def test_left_out_of_a_set(watched: bool) -> None:
    m = Subject({"A": State(), "B": State()}, watched=watched)
    m.did(ADD, "A")
    m.did(SET, "B")
    cause = m.why("A").cause
    assert cause == Cause(how="left-out", mutation="[set] B", transition=number(watched, 2))
    assert str(m.why("A")).splitlines()[1].startswith("  last move: not among what was set, by [set] B")


def test_a_veto_is_remembered_until_the_state_moves() -> None:
    class Careful:
        willing = False

        def net_enter(self, event: Any) -> bool:
            return self.willing

    handlers = Careful()
    m = Subject(STATES, handlers)
    assert not m.did(ADD, "Start")
    for name in ("Start", "Net"):  # one stops all
        veto = m.why(name).veto
        assert veto is not None
        assert (veto.handler, veto.mutation, veto.transition) == ("net_enter", "[add] Start", "m1/1")
        assert (veto.source, veto.error) == (None, "")
    assert "  stopped by net_enter, when asked by [add] Start in m1/1" in str(m.why("Net")).splitlines()
    assert m.why("Idle").veto is None
    handlers.willing = True
    assert m.did(ADD, "Start")
    assert m.why("Net").veto is None


def test_the_veto_of_an_exit_explains_an_active_state() -> None:
    class Stay:
        def idle_exit(self, event: Any) -> bool:
            return False

    m = Subject(STATES, Stay())
    m.did(ADD, "Idle")
    assert not m.did(REMOVE, "Idle")
    why = m.why("Idle")
    assert why.active
    assert why.veto is not None
    assert why.veto.handler == "idle_exit"


def test_a_check_stops_nothing() -> None:
    class No:
        def idle_enter(self, event: Any) -> bool:
            return False

    m = Subject(STATES, No())
    assert m.engine.check(ADD, ("Idle",), {}) == CANCELED
    assert m.why("Idle").veto is None


def test_a_guard_of_an_auto_state() -> None:
    class Guarded:
        def busy_enter(self, event: Any) -> bool:
            return False

    m = Subject(STATES, Guarded())
    assert m.did(ADD, "Start", "Work")
    veto = m.why("Busy").veto
    assert veto is not None
    assert (veto.handler, veto.mutation) == ("busy_enter", "[add:auto] Busy")
    assert m.why("Work").veto is None


def test_a_failing_negotiation_tells_its_error() -> None:
    class Broken:
        def idle_enter(self, event: Any) -> None:
            raise LookupError("nothing there")

    m = Subject(STATES, Broken())
    m.did(ADD, "Idle")
    veto = m.why("Idle").veto
    assert veto is not None
    assert veto.error == "LookupError('nothing there')"
    assert str(veto).endswith("in m1/1: it raised LookupError('nothing there')")
    cause = m.why("Exception").cause
    assert cause is not None
    assert cause.source is not None
    assert cause.source.transition == "m1/1"


def test_a_rollback_names_who_failed() -> None:
    class Broken:
        def work_state(self, event: Any) -> None:
            raise LookupError("nothing there")

    m = Subject(STATES, Broken())
    m.did(ADD, "Start")
    m.did(ADD, "Work")
    why = m.why("Work")
    assert (why.active, why.tick) == (False, 2)
    assert why.cause == Cause(how="rolled-back", by=("work_state",), mutation="[add] Work", transition="m1/1")
    assert "rolled back, because work_state failed" in str(why)


def test_the_source_in_another_machine_is_told(watched: bool) -> None:
    m = Subject(STATES, watched=watched)
    source = Source("m2", "m2/7", 3)
    assert m.engine.mutate_from(source, ADD, ("Idle",), {}) == EXECUTED
    cause = m.why("Idle").cause
    assert cause == Cause(how="called", mutation="[add] Idle", transition="m1/1", source=source)
    assert str(cause) == "called, by [add] Idle in m1/1, made in m2/7 of m2"


def test_memory_is_one_entry_per_state() -> None:
    m = Subject(STATES)
    for _ in range(100):
        m.did(ADD, "Idle")
        m.did(REMOVE, "Idle")
    assert len(m.engine.moves) == len(m.schema)
    assert m.engine.vetoes == {}
    cause = m.why("Idle").cause
    assert cause == Cause(how="called", mutation="[remove] Idle")


KINDS: dict[str, Kind] = {"add": ADD, "remove": REMOVE, "set": SET}


@given(definitions(), scripts())
def test_every_state_of_every_schema_is_explained(states: dict[str, State], script: list[Step]) -> None:
    plain, recorded = Subject(states), Subject(states, watched=True)
    for step in script:
        for m in (plain, recorded):
            m.did(KINDS[step.kind], *step.called(m.schema))
    for name in plain.schema.names:
        why, seen = plain.why(name), recorded.why(name)
        assert why.veto is seen.veto is None
        assert (why.cause is None) == (why.tick == 0)
        if why.cause is not None and seen.cause is not None:
            assert (why.cause.how, why.cause.by) == (seen.cause.how, seen.cause.by)
            assert why.cause.mutation == seen.cause.mutation
            assert why.cause.how in (MADE if why.active else ENDED)
            assert bool(why.cause.by) == (why.cause.how in ("implied", "removed", "unmet"))
            if why.cause.how == "left-out":
                assert why.cause.mutation.startswith("[set]")
        if not why.active:
            assert why.addable == bool(plain.engine.check(ADD, (name,), {}))
            assert bool(why.missing or why.removed_by or why.conflicts) >= (not why.addable)
        assert str(why).startswith(f"{name} is {'active' if why.active else 'inactive'}, tick {why.tick}")


MADE = ("called", "auto", "implied")
ENDED = ("called", "removed", "unmet", "left-out")
