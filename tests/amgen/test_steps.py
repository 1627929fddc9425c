"""The step function is what a real machine does; its tables are what the step function does."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from amgen.explore import parts_of
from amgen.steps import ADD, REMOVE, SET, Kind, Move, Stepper
from asyncmachine.machine import Machine
from asyncmachine.schema import Schema, State, iter_bits
from asyncmachine.testing.strategies import Step, definitions, schemas, scripts

KINDS: dict[str, Kind] = {"add": ADD, "remove": REMOVE, "set": SET}
RUNS = settings(max_examples=150, deadline=None)


def mask(schema: Schema, step: Step) -> tuple[int, ...]:
    return tuple(dict.fromkeys(schema.index[name] for name in step.called(schema)))


@RUNS
@given(schemas(), scripts(max_size=20))
def test_a_step_is_what_a_machine_without_handlers_does(schema: Schema, script: list[Step]) -> None:
    machine, stepper, active = Machine(schema), Stepper(schema), 0
    for step in script:
        before = machine.time()
        result = step.play(machine)
        done = stepper.step(active, Move(KINDS[step.kind], mask(schema, step)))
        active = done.after
        assert schema.names_of(active) == tuple(n for n in schema.names if n in machine)
        assert done.accepted == result.executed
        if done.ticked:
            assert machine.time() != before


@RUNS
@given(schemas(max_states=5), st.data())
def test_the_order_in_which_states_became_active_decides_nothing(schema: Schema, data: st.DataObject) -> None:
    """This is why configurations are sets here, while the runtime keeps them in an order."""
    machine = Machine(schema)
    for step in data.draw(scripts(max_size=8)):
        step.play(machine)
    active = tuple(schema.index[n] for n in machine.active_states())
    resolver = Stepper(schema)._cache.resolver
    other = tuple(data.draw(st.permutations(active)))
    for kind in (ADD, REMOVE, SET):
        called = tuple(data.draw(st.lists(st.integers(0, len(schema) - 1), unique=True, max_size=3)))
        for auto in (False, True):
            one = resolver.resolve(active, called, kind, auto=auto)
            two = resolver.resolve(other, called, kind, auto=auto)
            assert set(one.states) == set(two.states)
            assert (one.accepted, set(one.rejected)) == (two.accepted, set(two.rejected))


@st.composite
def joined(draw: st.DrawFn) -> Schema:
    """Two schemas that know nothing of each other, in one machine."""
    first = draw(definitions(max_states=4))
    second = {f"T{name[1:]}": renamed(state) for name, state in draw(definitions(max_states=4)).items()}
    names = draw(st.permutations([*first, *second]))
    return Schema("Joined", {name: {**first, **second}[name] for name in names})


def renamed(state: State) -> State:
    def turn(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"T{name[1:]}" for name in names)

    return State(
        auto=state.auto,
        multi=state.multi,
        require=turn(state.require),
        add=turn(state.add),
        remove=turn(state.remove),
    )


@RUNS
@given(joined(), st.lists(st.tuples(st.sampled_from([ADD, REMOVE]), st.lists(st.integers(0, 8), max_size=2))))
def test_tables_answer_as_the_resolver_does(schema: Schema, script: list[tuple[Kind, list[int]]]) -> None:
    """Answers are kept by cone and part; each is played twice, so that known ones are used too."""
    stepper = Stepper(schema)
    parts = parts_of(schema)
    moves = [Move(kind, tuple(dict.fromkeys(i % len(schema) for i in called))) for kind, called in script]
    for part in parts:
        own = [m for m in moves if m.called and all(part >> i & 1 for i in m.called)]
        tables = {m: stepper.table(m, part) for m in own}
        auto = stepper.auto_table(part)
        active = 0
        for move in moves * 2:
            done = stepper.step(active, move)
            for mine, table in tables.items():
                here = active & part
                plain = stepper.step(active, mine)
                delta = table.known.get(here & table.cone)
                delta = table.ask(here) if delta is None else delta
                keep, put, follows = delta
                assert here & keep | put == plain.middle & part
                if follows:
                    middle = plain.middle & part
                    settled = auto.known.get(middle & auto.cone) or auto.ask(middle)
                    assert middle & settled[0] | settled[1] == plain.after & part
            active = done.after


def test_a_cone_holds_what_decides_and_what_moves() -> None:
    schema = Schema(
        "Cones",
        {
            "A": State(require=("B",), add=("C",), remove=("D",)),
            "B": State(),
            "C": State(),
            "D": State(),
            "E": State(require=("D",)),
            "F": State(remove=("C",)),
            "G": State(require=("A",)),
            "H": State(),
        },
    )
    stepper = Stepper(schema)
    assert schema.names_of(stepper.cone(Move(ADD, (0,)))) == ("A", "B", "C", "D", "E", "F")
    assert schema.names_of(stepper.cone(Move(REMOVE, (0,)))) == ("A", "G")
    assert len(list(iter_bits(stepper.cone(Move(SET, (0,)))))) == len(schema)


def test_what_a_step_tells() -> None:
    schema = Schema(
        "Lamp",
        {
            "Lit": State(multi=True, require=("Power",), remove=("Dark",)),
            "Dark": State(auto=True, remove=("Lit",)),
            "Power": State(),
        },
    )
    stepper = Stepper(schema)
    lit, dark, power = (1 << i for i in range(3))
    done = stepper.step(0, Move(ADD, (0,)))
    assert (done.accepted, done.ticked, done.after, done.rejected) == (False, False, 0, lit)
    assert [d.kind for d in stepper.why(0, Move(ADD, (0,)))] == ["unmet"]
    done = stepper.step(0, Move(ADD, (2,)))
    assert (done.accepted, done.ticked, done.middle, done.after) == (True, True, power, power | dark)
    again = stepper.step(lit | power, Move(ADD, (0,)))
    assert (again.ticked, again.middle) == (True, lit | power)
    assert stepper.ticks(power, Move(ADD, (2,))) is False
    assert Move(ADD, (0, 2)).words(schema) == "add Lit Power"
