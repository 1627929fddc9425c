"""Who wins. Each table row is one resolution: active states, the mutation, the outcome."""

from __future__ import annotations

import pytest

from asyncmachine._core.mutation import ADD, REMOVE, SET, Kind
from asyncmachine._core.relations import Resolver, Target, mask_of
from asyncmachine.schema import Schema, State

KINDS: dict[str, Kind] = {"add": ADD, "remove": REMOVE, "set": SET}


def resolve(states: dict[str, State], active: str, kind: str, called: str, **options: object) -> Target:
    schema = Schema("Test", states)
    indexes = [tuple(schema.position(n) for n in names.split()) for names in (active, called)]
    return Resolver(schema).resolve(indexes[0], indexes[1], KINDS[kind], **options)  # type: ignore[arg-type]


def outcome(states: dict[str, State], active: str, kind: str, called: str, **options: object) -> str:
    target = resolve(states, active, kind, called, **options)
    names = [*states]
    return " ".join(names[i] for i in sorted(target.states)) if target.accepted else "rejected"


S = State
PLAIN = {"A": S(), "B": S(), "C": S()}
ONE_WAY = {"A": S(remove=("B",)), "B": S()}
MUTUAL = {"A": S(remove=("B",)), "B": S(remove=("A",))}
NEEDS = {"A": S(require=("B",)), "B": S(), "C": S(require=("A",))}
IMPLIES = {"A": S(add=("B",)), "B": S(add=("C",)), "C": S(add=("D",)), "D": S()}


@pytest.mark.parametrize(
    ("states", "active", "kind", "called", "expected"),
    [
        (PLAIN, "B", "add", "A", "A B"),
        (PLAIN, "A B C", "remove", "B", "A C"),
        (PLAIN, "A B", "set", "C", "C"),
        (PLAIN, "A B", "set", "", ""),
        (ONE_WAY, "B", "add", "A", "A"),  # a called state beats an active one
        (ONE_WAY, "A", "add", "B", "rejected"),  # but what the active one removes cannot be added
        (ONE_WAY, "A", "set", "B", "B"),  # set: the old ones have no say
        (MUTUAL, "A", "add", "B", "B"),
        (MUTUAL, "B", "add", "A", "A"),
        (MUTUAL, "", "add", "A B", "rejected"),
        (NEEDS, "", "add", "A", "rejected"),
        (NEEDS, "B", "add", "A", "A B"),
        (NEEDS, "", "add", "A B", "A B"),
        (NEEDS, "A B C", "remove", "B", ""),  # dependents go along
        (NEEDS, "A B C", "remove", "A", "B"),
        (IMPLIES, "", "add", "A", "A B C D"),
        (IMPLIES, "A", "add", "C", "A C D"),  # an active state implies nothing any more
        (IMPLIES, "A B C D", "remove", "D", "A B C"),
    ],
)
def test_outcomes(states: dict[str, State], active: str, kind: str, called: str, expected: str) -> None:
    assert outcome(states, active, kind, called) == expected


def test_an_active_state_beats_an_implied_one_when_they_remove_each_other() -> None:
    states = {"A": S(add=("B",)), "B": S(remove=("C",)), "C": S(remove=("B",))}
    assert outcome(states, "C", "add", "A") == "A C"


def test_an_implied_state_beats_an_active_one_that_does_not_mind() -> None:
    states = {"A": S(add=("B",)), "B": S(remove=("C",)), "C": S()}
    assert outcome(states, "C", "add", "A") == "A B"


def test_an_implied_state_that_is_blocked_does_not_stop_the_mutation() -> None:
    states = {"A": S(add=("B",)), "B": S(require=("C",)), "C": S()}
    assert outcome(states, "", "add", "A") == "A"


def test_a_state_without_its_requirements_blocks_nobody() -> None:
    states = {"A": S(add=("B",)), "B": S(require=("D",), remove=("C",)), "C": S(), "D": S()}
    assert outcome(states, "C", "add", "A") == "A C"


def test_a_requirement_may_be_implied() -> None:
    states = {"A": S(add=("B",), require=("B",)), "B": S()}
    assert outcome(states, "", "add", "A") == "A B"


def test_what_was_implied_only_by_a_dropped_state_is_not_set() -> None:
    states = {"A": S(add=("B",)), "B": S(add=("C",), remove=("D",)), "C": S(), "D": S(remove=("B",))}
    assert outcome(states, "D", "add", "A") == "A D"


def test_implication_in_a_circle_does_not_support_itself() -> None:
    states = {
        "A": S(add=("B",)),
        "B": S(add=("C",)),
        "C": S(add=("B",), remove=("X",)),
        "X": S(remove=("B", "C")),
    }
    assert outcome(states, "X", "add", "A") == "A X"


def test_an_auto_mutation_is_accepted_in_part_and_the_rest_leaves_no_trace() -> None:
    states = {"A": S(require=("X",), add=("D",)), "B": S(), "D": S(), "X": S()}
    target = resolve(states, "", "add", "A B", auto=True)
    assert (target.states, target.rejected, target.accepted) == ((1,), (0,), True)
    assert not resolve(states, "", "add", "A", auto=True).accepted


def test_banned_states_stay_out_even_when_implied() -> None:
    states = {"A": S(add=("B",)), "B": S()}
    assert outcome(states, "", "add", "A B", auto=True, banned=0b10) == "A"


def test_a_multi_state_implies_again_only_when_called() -> None:
    states = {"A": S(multi=True, add=("B",)), "B": S(), "C": S()}
    assert outcome(states, "A", "add", "A") == "A B"
    assert outcome(states, "A", "add", "C") == "A C"


def test_steps_say_why() -> None:
    states = {
        "A": S(add=("B", "D")),
        "B": S(remove=("C",)),
        "C": S(remove=("B",)),
        "D": S(require=("B",), add=("E",)),
        "E": S(),
    }
    steps = [(s.kind, s.state, s.other) for s in resolve(states, "C", "add", "A").steps]
    assert ("implied", 1, 0) in steps
    assert ("removed", 1, 2) in steps
    assert ("unmet", 3, 1) in steps
    assert ("unsupported", 4, -1) in steps


def test_requirements_come_first_in_order() -> None:
    states = {"A": S(require=("B", "C")), "B": S(require=("D",)), "C": S(), "D": S()}
    assert resolve(states, "", "add", "A B C D").states == (3, 1, 2, 0)


def test_after_is_transitive_over_states_in_between() -> None:
    states = {"C": S(after=("D",)), "X": S(), "D": S(after=("E",)), "E": S()}
    assert resolve(states, "", "add", "C X D E").states == (1, 3, 2, 0)


def test_after_wins_over_require_where_they_contradict() -> None:
    states = {"A": S(require=("B",)), "B": S(after=("A",))}
    assert resolve(states, "", "add", "A B").states == (0, 1)


def test_without_relations_the_order_is_that_of_the_call_then_of_the_active() -> None:
    assert resolve(PLAIN, "A", "add", "C B").states == (2, 1, 0)


def test_mask_of() -> None:
    assert mask_of((0, 3)) == 0b1001
    assert mask_of(()) == 0
