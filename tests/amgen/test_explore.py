"""Exploration finds what a machine that is tried out in every way can do, by the same shortest ways."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amgen.explore import Exploration, _Nudges, _Search, explore, leaves_of, parts_of
from amgen.steps import ADD, REMOVE, Move, Stepper
from asyncmachine.machine import Machine
from asyncmachine.schema import EXCEPTION, Invariant, Schema, State, iter_bits
from asyncmachine.testing.strategies import definitions

RUNS = settings(max_examples=60, deadline=None)
ERROR = State(multi=True, require=(EXCEPTION,), add=(EXCEPTION,))


def play(schema: Schema, script: tuple[Move, ...]) -> int:
    """Where a real machine is after a script."""
    machine = Machine(schema)
    for move in script:
        names = [schema.names[i] for i in move.called]
        (machine.add if move.kind == ADD else machine.remove)(*names)
    return schema.mask(machine.active_states())


def tried_out(schema: Schema, *, pairs: bool = False) -> dict[int, int]:
    """Configuration -> number of mutations of the shortest way to it, with a real machine for each way."""
    exception = schema.index[EXCEPTION]
    moves = [Move(kind, (i,)) for i in range(len(schema)) for kind in (ADD, REMOVE)]
    moves += [
        Move(ADD, (i, exception)) for i in range(len(schema)) if schema.masks.require[i] >> exception & 1
    ]
    if pairs:  # of states in different parts, too
        moves += [Move(kind, two) for two in permutations(range(len(schema)), 2) for kind in (ADD, REMOVE)]
    scripts: dict[int, tuple[Move, ...]] = {0: ()}
    pending = [0]
    for active in pending:
        for move in moves:
            after = play(schema, (*scripts[active], move))
            if after not in scripts:
                scripts[after] = (*scripts[active], move)
                pending.append(after)
    return {active: len(script) for active, script in scripts.items()}


def searched(schema: Schema, *, pairs: bool = False) -> Iterator[tuple[_Search, dict[int, int]]]:
    """Each part's search, and its configurations with the lengths of the ways to them."""
    stepper = Stepper(schema)
    for states in parts_of(schema):
        search = _Search(stepper, states, pairs=pairs)
        search.run(10**6, lambda explored, known: True)
        lengths = {0: 0}
        for active, (before, number) in search.came.items():
            if number >= 0:
                lengths[active] = lengths[before] + 1
        yield search, lengths


@st.composite
def small(draw: st.DrawFn) -> Schema:
    """A few states, some of them errors, in one part or more."""
    states = draw(definitions(max_states=4))
    states |= {f"Err{i}": ERROR for i in range(draw(st.integers(0, 2)))}
    if draw(st.booleans()):
        states["Alone"] = State(auto=draw(st.booleans()))
    return Schema("Small", states)


@pytest.mark.parametrize("pairs", [False, True])
@RUNS
@given(schema=small())
def test_each_part_is_what_a_machine_shows_of_it(schema: Schema, pairs: bool) -> None:
    every = tried_out(schema, pairs=pairs)
    for search, lengths in searched(schema, pairs=pairs):
        shown: dict[int, int] = {}
        for active, length in every.items():
            here = active & search.core
            shown[here] = min(length, shown.get(here, length))
        assert lengths == shown
        seen = 0
        for active in every:
            seen |= active
        assert search.reached == seen & search.states


@RUNS
@given(small(), st.data())
def test_findings_are_true_of_a_real_machine(schema: Schema, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(schema.names), min_size=2, max_size=3, unique=True))
    invariants = [Invariant("never", tuple(names)), Invariant("implies", (names[0],), (names[1],))]
    schema = Schema("Small", schema.states, invariants=invariants)
    every = tried_out(schema)
    result = explore(schema)
    assert result.complete
    for invariant in schema.invariants:
        broken = [n for active, n in every.items() if not invariant.holds(active)]
        found = [f for f in result.findings if f.invariant == invariant]
        assert [len(f.script) for f in found] == ([min(broken)] if broken else [])
        assert not any(invariant.holds(play(schema, f.script)) for f in found)
    seen = 0
    for active in every:
        seen |= active
    unreachable = sorted(f.states for f in result.findings if f.kind == "unreachable")
    assert unreachable == [1 << i for i in range(len(schema)) if not seen >> i & 1]
    for finding in result.findings:
        if finding.kind != "unreachable":
            assert play(schema, finding.script) == finding.active


@RUNS
@given(small())
def test_restless_auto_states_are_restless_in_a_real_machine(schema: Schema) -> None:
    stepper = Stepper(schema)
    for finding in explore(schema).findings:
        if finding.kind not in ("oscillation", "late"):
            continue
        chain = [finding.active]
        while stepper.settle(chain[-1]) not in chain:
            chain.append(stepper.settle(chain[-1]))
        assert (stepper.settle(chain[-1]) == chain[-1]) == (finding.kind == "late")


def errors(result: Exploration) -> list[tuple[str, tuple[str, ...], list[str]]]:
    schema = result.schema
    return [
        (f.kind, schema.names_of(f.states), [m.words(schema) for m in f.script])
        for f in result.findings
        if f.is_error
    ]


def test_a_broken_invariant_with_the_shortest_way() -> None:
    schema = Schema(
        "Oven",
        {
            "Open": State(remove=("Shut",)),
            "Shut": State(remove=("Open",)),
            "Baking": State(require=("Power",)),
            "Power": State(),
        },
        invariants=[Invariant("never", ("Open", "Baking"))],
    )
    assert errors(explore(schema)) == [
        ("invariant", ("Open", "Baking"), ["add Open", "add Power", "add Baking"]),
    ]


def test_a_state_that_is_never_active() -> None:
    schema = Schema(
        "Never",
        {"A": State(auto=True, remove=("B",)), "B": State(require=("C",)), "C": State(remove=("A",))},
    )
    assert errors(explore(schema)) == []
    schema = Schema(
        "Never",
        {"A": State(require=("C", "D")), "C": State(remove=("D",)), "D": State(add=("C",))},
    )
    # What D adds removes it; so A lacks it for ever.
    assert errors(explore(schema)) == [("unreachable", ("A",), []), ("unreachable", ("D",), [])]


def test_auto_states_that_take_turns() -> None:
    schema = Schema(
        "Turns",
        {
            "Rock": State(auto=True, remove=("Scissors",)),
            "Paper": State(auto=True, remove=("Rock",)),
            "Scissors": State(auto=True, remove=("Paper",)),
            "Play": State(),
        },
    )
    (found,) = [f for f in explore(schema).findings if f.kind == "oscillation"]
    assert schema.names_of(found.states) == ("Rock", "Paper", "Scissors")
    assert len(found.script) == 1
    assert found.is_error


LATE = {
    "Cold": State(remove=("Warm",)),
    "Fire": State(auto=True, require=("Wood",), remove=("Cold",)),
    "Wood": State(),
    "Warm": State(auto=True, require=("Fire",)),
}
"""While Cold is active Warm is not called, and once it is gone nobody calls again."""


def test_an_auto_state_that_comes_late() -> None:
    schema = Schema("Late", LATE)
    (found,) = [f for f in explore(schema).findings if f.kind == "late"]
    assert not found.is_error
    assert schema.names_of(found.states) == ("Warm",)
    assert [m.words(schema) for m in found.script] == ["add Cold", "add Wood"]
    assert schema.names_of(found.active) == ("Fire", "Wood")


def test_what_only_a_remove_leaves_and_what_nothing_leaves() -> None:
    ends = Schema("Ends", {"Gone": State(remove=("A", "B")), "A": State(remove=("B",)), "B": State()})
    (found,) = explore(ends).findings
    assert (found.kind, found.is_error, found.count) == ("dead-end", False, 1)
    assert ends.names_of(found.active) == ("Gone",)
    trap = Schema("Traps", {"Trap": State(auto=True, remove=("A", "B")), "A": State(), "B": State()})
    # A and B are gone before the machine is at rest.
    assert sorted(f.kind for f in explore(trap).findings) == ["stuck", "unreachable", "unreachable"]
    (found,) = [f for f in explore(trap).findings if f.kind == "stuck"]
    assert found.is_error
    assert trap.names_of(found.active) == ("Trap",)


NUDGED = {
    "A": State(auto=True, require=("C",), remove=("B",)),
    "B": State(auto=True),
    "C": State(auto=True, remove=("A",)),
}
"""All three are called by the first auto transition, and A keeps B away before C takes it out. Whoever adds C
by itself gets B as well: so C alone is only there when something outside has moved."""


def test_a_nudge_from_outside_lets_auto_states_follow() -> None:
    schema = Schema("Nudged", NUDGED, invariants=[Invariant("implies", ("C",), ("B",))])
    (found,) = [f for f in explore(schema).findings if f.kind == "invariant"]
    assert [m.words(schema) for m in found.script] == ["add Exception"]
    assert found.nudges == (0,)
    assert schema.names_of(play(schema, found.script)) == ("C", EXCEPTION)
    every = tried_out(schema)
    for search, lengths in searched(schema):
        assert lengths == {
            here: min(n for active, n in every.items() if active & search.core == here) for here in lengths
        }


def test_a_nudge_is_no_error_if_another_state_can_do_it() -> None:
    schema = Schema("Nudged", {**NUDGED, "Other": State()}, invariants=[Invariant("implies", ("C",), ("B",))])
    (found,) = [f for f in explore(schema).findings if f.kind == "invariant"]
    assert [m.words(schema) for m in found.script] == ["add Other"]


def test_an_error_is_added_together_with_exception() -> None:
    """As add_error does. By itself, Exception would be put away before the error can come."""
    schema = Schema(
        "Calm",
        {
            "Calm": State(auto=True, remove=(EXCEPTION,)),
            "Err": State(require=(EXCEPTION,), remove=("Calm",)),
        },
    )
    assert errors(explore(schema)) == []
    err = 1 << schema.index["Err"]
    assert min(n for active, n in tried_out(schema).items() if active & err) == 1


def test_a_part_without_a_beginning_is_not_called_stuck() -> None:
    schema = Schema(
        "Egg", {"Egg": State(require=("Hen",)), "Hen": State(add=("Fox",)), "Fox": State(remove=("Hen",))}
    )
    assert errors(explore(schema)) == [("unreachable", ("Egg",), []), ("unreachable", ("Hen",), [])]


def test_health_states_let_no_auto_state_follow() -> None:
    schema = Schema("Health", {"Heartbeat": State(), "Alive": State(auto=True, require=("Heartbeat",))})
    every = tried_out(schema)
    assert schema.mask(["Heartbeat"]) in every
    for search, lengths in searched(schema):
        assert lengths == {
            here: min(n for active, n in every.items() if active & search.core == here) for here in lengths
        }


def test_health_states_nudge_by_their_end() -> None:
    """Their add lets no auto state follow. It matters where nothing else is outside of a part."""
    schema = Schema("Health", {"Healthcheck": State(), "Alive": State(auto=True)})
    check = 1 << schema.index["Healthcheck"]
    nudges = _Nudges(Stepper(schema), check)
    assert [m.words(schema) for m in nudges.first(0)] == ["add Healthcheck", "remove Healthcheck"]
    assert [m.words(schema) for m in nudges.first(check)] == ["remove Healthcheck"]
    assert _Nudges(Stepper(schema), 0).first(0) == ()


def test_a_leaf_that_is_active_already_nudges_by_its_end() -> None:
    """The search does not know whether it is; a script must."""
    schema = Schema("Late", {**LATE, "Mark": State(require=("Wood",))})
    (search,) = [s for s, _ in searched(schema) if s.leaves]
    assert schema.names_of(search.leaves) == ("Mark",)
    add, target = Move(ADD, (schema.index["Mark"],)), schema.mask(["Fire", "Wood", "Warm"])
    rest = schema.mask(["Fire", "Wood"])
    assert search._real(rest, add, target) == add
    assert search._real(rest | search.leaves, add, target).words(schema) == "remove Mark"


def test_parts_are_what_relations_and_invariants_join() -> None:
    states = {
        "A": State(require=("B",)),
        "B": State(),
        "C": State(after=("A",)),
        "D": State(remove=("E",)),
        "E": State(),
    }
    schema = Schema("Parts", states)
    assert [schema.names_of(p) for p in parts_of(schema)] == [("C",), (EXCEPTION,), ("A", "B"), ("D", "E")]
    joined = Schema("Parts", states, invariants=[Invariant("never", ("C", "D"))])
    assert [joined.names_of(p) for p in parts_of(joined)] == [(EXCEPTION,), ("A", "B"), ("C", "D", "E")]


def test_leaves_make_no_difference() -> None:
    states = {
        "Err": ERROR,
        "ErrRemoves": State(require=(EXCEPTION,), remove=("Work",)),
        "ErrAuto": State(auto=True, require=(EXCEPTION,)),
        "ErrAdds": State(require=(EXCEPTION,), add=("Work",)),
        "ErrNeeded": ERROR,
        "ErrNeeds": State(require=("ErrNeeded",), add=(EXCEPTION,)),
        "Work": State(),
        "ErrNamed": ERROR,
    }
    schema = Schema("Leaves", states, invariants=[Invariant("never", ("ErrNamed",))])
    (part,) = (p for p in parts_of(schema) if p >> schema.index["Work"] & 1)
    assert schema.names_of(leaves_of(schema, part)) == ("Err", "ErrNeeds", "Work")
    (errors_only,) = parts_of(Schema("Alone", {"A": State()}))[:1]
    assert leaves_of(Schema("Alone", {"A": State()}), errors_only) == 0


def test_a_bound_is_kept_and_told() -> None:
    schema = Schema(
        "Wide", {f"S{i}": State(remove=(f"S{i ^ 1}",)) for i in range(4)} | {"T": State(require=("S0", "S2"))}
    )
    result = explore(schema, max_configurations=4)
    assert (result.complete, result.explored) == (False, 4)
    assert result.known > 4
    assert [f for f in result.findings if f.kind == "unreachable"] == []
    assert explore(schema, progress=lambda explored, known: False).explored == 0
    assert explore(schema).complete


def test_pairs_find_what_single_mutations_do_not() -> None:
    states = {
        "A": State(),
        "Drop": State(auto=True, remove=("A",)),
        "Keep": State(remove=("Drop",), require=("A",)),
    }
    schema = Schema("Pairs", states)
    keep = ("unreachable", ("Keep",), [])
    assert keep in errors(explore(schema))
    assert keep not in errors(explore(schema, pairs=True))


def test_counts() -> None:
    schema = Schema("Two", {"A": State(remove=("B",)), "B": State(remove=("A",)), "C": State()})
    result = explore(schema)
    assert [(schema.names_of(p.states), p.explored) for p in result.parts] == [
        (("C",), 2),
        ((EXCEPTION,), 2),
        (("A", "B"), 3),
    ]
    assert (result.explored, result.known) == (7, 7)
    assert all(p.complete for p in result.parts)
    assert list(iter_bits(result.parts[2].reached)) == [0, 1]
