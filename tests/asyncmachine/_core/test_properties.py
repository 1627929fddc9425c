"""What holds for every schema and every script of mutations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncmachine._core.engine import Engine
from asyncmachine._core.mutation import ADD, REMOVE, SET, Kind
from asyncmachine._core.plans import PlanCache
from asyncmachine._core.waits import ACTIVE, INACTIVE, QUERY, TICK, Wait
from asyncmachine.api import Result, Tracer
from asyncmachine.schema import Schema, State, iter_bits
from asyncmachine.testing.strategies import Step, definitions, scripts

RUNS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


SCRIPTS = scripts()
KINDS: dict[str, Kind] = {"add": ADD, "remove": REMOVE, "set": SET}
Answers = Mapping[tuple[str, str], str]
ANSWERS = st.dictionaries(
    st.tuples(
        st.sampled_from([f"S{i}" for i in range(7)] + ["Exception"]),
        st.sampled_from(["enter", "exit", "state", "end"]),
    ),
    st.sampled_from(["accept", "veto", "raise", "nest"]),
    max_size=6,
)


def make(states: Mapping[str, State], max_edges: int | None = None) -> Engine:
    engine = Engine(Schema("Test", states), "test", None, lambda: 0.0, lambda *_: None)
    if max_edges is not None:
        engine.cache = PlanCache(engine.schema, max_edges)
        engine.node = engine.cache.node(())
    return engine


def attach(engine: Engine, answers: Answers, ran: list[str]) -> None:
    """Bind handlers that answer, raise or mutate as *answers* say, and note that they ran in *ran*."""

    def handler(name: str, phase: str, answer: str) -> Callable[[Any], object]:
        def call(event: Any) -> object:
            ran.append(event.name)
            if answer == "raise":
                raise ValueError(event.name)
            if answer == "nest" and len(ran) < 40:  # or two handlers might keep each other going for ever
                engine.mutate(REMOVE if phase in ("state", "exit") else ADD, (engine.schema.names[0],))
            return answer != "veto"

        return call

    bound = {
        f"{name.lower()}_{phase}": handler(name, phase, answer)
        for (name, phase), answer in answers.items()
        if name in engine.schema.index
    }
    engine.bind(SimpleNamespace(**bound))


def mutate(engine: Engine, step: Step) -> Result:
    return engine.mutate(KINDS[step.kind], step.called(engine.schema))


def play(engine: Engine, script: list[Step]) -> list[tuple[Result, tuple[int, ...]]]:
    """The result and the clock after each step."""
    return [(mutate(engine, step), tuple(engine.ticks)) for step in script]


def check_invariants(engine: Engine) -> None:
    masks, active = engine.schema.masks, engine.node.mask
    assert active == sum(1 << i for i, tick in enumerate(engine.ticks) if tick & 1)
    for i in iter_bits(active):
        name = engine.schema.names[i]
        assert not masks.remove[i] & active, f"{name} and what it removes are active"
        assert not masks.require[i] & ~active, f"{name} is active without what it requires"


@RUNS
@given(definitions(), SCRIPTS, ANSWERS)
def test_relations_hold_and_ticks_grow_after_every_transition(
    states: dict[str, State], script: list[Step], answers: Answers
) -> None:
    class Watch(Tracer):
        last = ()

        def transition_end(self, machine: Any, transition: Any) -> None:
            check_invariants(engine)
            assert all(
                old <= new for old, new in zip(transition.time_before, transition.time_after, strict=True)
            )
            if not transition.accepted and transition.error is None:
                assert transition.time_before == transition.time_after

    engine = make(states)
    attach(engine, answers, [])
    watch = Watch()
    engine.trace(watch)
    play(engine, script)
    assert engine.tracers.items == (watch,), "the tracer failed, see the log"


@RUNS
@given(definitions(), SCRIPTS)
def test_an_accepted_mutation_did_what_it_says(states: dict[str, State], script: list[Step]) -> None:
    class Watch(Tracer):
        def transition_end(self, machine: Any, transition: Any) -> None:
            active = {n for n, t in zip(engine.schema.names, transition.time_after, strict=True) if t & 1}
            if transition.accepted and not transition.mutation.auto:
                called = set(transition.called)
                assert called <= active if transition.kind != "remove" else not called & active
            if transition.kind == "remove":
                assert transition.accepted, "relations never refuse a remove"

    engine, watch = make(states), Watch()
    engine.trace(watch)
    play(engine, script)
    assert engine.tracers.items == (watch,), "the tracer failed, see the log"


@RUNS
@given(definitions(), SCRIPTS, ANSWERS)
def test_the_plan_cache_changes_nothing(
    states: dict[str, State], script: list[Step], answers: Answers
) -> None:
    warm_ran: list[str] = []
    cold_ran: list[str] = []
    warm, cold = make(states), make(states, max_edges=1)
    attach(warm, answers, warm_ran)
    attach(cold, answers, cold_ran)
    assert play(warm, script) == play(cold, script)
    assert warm_ran == cold_ran
    assert warm.queue.tick == cold.queue.tick
    assert warm.cache.flushes == 0


class Recording(Tracer):
    """Wants to see transitions, so that all of them go through the queue."""

    def transition_end(self, machine: Any, transition: Any) -> None: ...


@RUNS
@given(definitions(), SCRIPTS, ANSWERS)
def test_the_fast_path_is_the_slow_path(
    states: dict[str, State], script: list[Step], answers: Answers
) -> None:
    fast_ran: list[str] = []
    slow_ran: list[str] = []
    fast, slow = make(states), make(states)
    slow.trace(Recording())
    attach(fast, answers, fast_ran)
    attach(slow, answers, slow_ran)
    assert play(fast, script) == play(slow, script)
    assert fast_ran == slow_ran
    assert fast.node.active == slow.node.active
    assert fast.queue.tick == slow.queue.tick


@RUNS
@given(definitions(), SCRIPTS, st.integers(1, 6))
def test_unrelated_states_may_be_declared_anywhere(
    states: dict[str, State], script: list[Step], place: int
) -> None:
    items = list(states.items())
    spread = dict([*items[:place], ("Loner", State()), *items[place:]])
    plain, mixed = make(states), make(spread)
    names = plain.schema.names
    for step in script:
        called = tuple(names[i % len(names)] for i in step.places)
        kind = KINDS[step.kind]
        assert plain.mutate(kind, called) == mixed.mutate(kind, called)
        for name in names:
            tick = mixed.ticks[mixed.schema.position(name)]
            assert tick == plain.ticks[plain.schema.position(name)]


@RUNS
@given(st.permutations([f"S{i}" for i in range(6)]), SCRIPTS)
def test_without_relations_the_order_of_declaration_does_not_matter(
    order: list[str], script: list[Step]
) -> None:
    engines = [make({n: State(multi=n == "S1") for n in names}) for names in (sorted(order), order)]
    for step in script:
        called = tuple(f"S{i % 6}" for i in step.places)
        results = [engine.mutate(KINDS[step.kind], called) for engine in engines]
        clocks = [dict(zip(e.schema.names, e.ticks, strict=True)) for e in engines]
        assert results[0] == results[1]
        assert clocks[0] == clocks[1]


@RUNS
@given(definitions(), SCRIPTS)
def test_the_same_script_gives_the_same_trace(states: dict[str, State], script: list[Step]) -> None:
    assert play(make(states), script) == play(make(states), script)


WAITS = st.lists(st.tuples(st.sampled_from([ACTIVE, INACTIVE, TICK, QUERY]), st.integers(0, 7)), max_size=8)


@RUNS
@given(definitions(), SCRIPTS, ANSWERS, WAITS)
def test_waits_fire_exactly_when_they_hold_and_none_outlives_the_machine(
    states: dict[str, State], script: list[Step], answers: Answers, kinds: list[tuple[int, int]]
) -> None:
    engine = make(states)
    attach(engine, answers, [])
    waits: list[Wait] = []
    for kind, place in kinds:
        state = place % len(engine.schema)
        wait = Wait(kind, (state,) if kind != QUERY else ())
        wait.tick = 3
        wait.query = (lambda time, i=state: time.ticks[i] >= 2) if kind == QUERY else None
        engine.add_wait(wait)
        waits.append(wait)
    held = [wait.done for wait in waits]

    class Expect(Tracer):
        def transition_end(self, machine: Any, transition: Any) -> None:
            for n, (kind, place) in enumerate(kinds):
                tick = transition.time_after[place % len(engine.schema)]
                moved = transition.time_after != transition.time_before
                held[n] |= {
                    ACTIVE: tick & 1 == 1,
                    INACTIVE: tick & 1 == 0,
                    TICK: tick >= 3,
                    QUERY: moved and tick >= 2,
                }[kind]
            assert [wait.done for wait in waits] == held

    expect = Expect()
    engine.trace(expect)
    play(engine, script)
    assert engine.tracers.items == (expect,), "the tracer failed, see the log"
    engine.dispose()
    assert all(wait.done for wait in waits)
    assert [wait.error is None for wait in waits] == held
    assert not engine.waits.queries
    assert engine.waits.mask == 0


@RUNS
@given(definitions(), SCRIPTS, st.integers(0, 7))
def test_a_token_expires_exactly_when_the_tick_of_its_state_moves(
    states: dict[str, State], script: list[Step], place: int
) -> None:
    engine = make(states)
    state = place % len(engine.schema)
    for step in script:
        token, before = engine.token(state), engine.ticks[state]
        mutate(engine, step)
        assert token.expired == (engine.ticks[state] != before)
    engine.dispose()
    assert engine.token(state).expired
