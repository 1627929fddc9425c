"""Invariants as values: what holds, what is refused, what a schema makes of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmachine.errors import SchemaError
from asyncmachine.schema import Invariant, Schema, State

STATES = {name: State() for name in ("A", "B", "C", "D")}
NAMES = st.lists(st.sampled_from(list(STATES)), min_size=1, unique=True).map(tuple)


def bound(invariant: Invariant) -> tuple[Schema, Invariant]:
    schema = Schema("Test", STATES, invariants=[invariant])
    return schema, schema.invariants[0]


@given(NAMES, st.sets(st.sampled_from(list(STATES))))
def test_never_is_about_all_of_them_together(names: tuple[str, ...], active: set[str]) -> None:
    schema, invariant = bound(Invariant("never", names))
    assert invariant.holds(schema.mask(active)) == (not set(names) <= active)


@given(NAMES, NAMES, st.sets(st.sampled_from(list(STATES))))
def test_implies_asks_for_all_that_follow(
    when: tuple[str, ...], then: tuple[str, ...], active: set[str]
) -> None:
    schema, invariant = bound(Invariant("implies", when, then))
    assert invariant.holds(schema.mask(active)) == (not set(when) <= active or set(then) <= active)


@pytest.mark.parametrize(
    ("kind", "when", "then", "message"),
    [
        ("always", ("A",), (), "kind 'never' or 'implies', not 'always'"),
        ("never", (), (), "needs a state to look at"),
        ("never", ("A",), ("B",), "`never` has none"),
        ("implies", ("A",), (), "needs a state that follows"),
    ],
)
def test_what_makes_no_sense_is_refused(
    kind: str, when: tuple[str, ...], then: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Invariant(kind, when, then)  # type: ignore[arg-type]


def test_it_says_itself_as_in_yaml() -> None:
    assert str(Invariant("never", ("A", "B"))) == "never: [A, B]"
    assert str(Invariant("implies", ("A",), ("B", "C"))) == "implies: {if: [A], then: [B, C]}"
    assert Invariant("implies", ("A",), ("B", "C")).states == ("A", "B", "C")


def test_it_holds_nowhere_before_it_belongs_to_a_schema() -> None:
    with pytest.raises(ValueError, match="belongs to no schema"):
        Invariant("never", ("A",)).holds(0)


def test_a_schema_checks_their_names() -> None:
    with pytest.raises(SchemaError) as caught:
        Schema("Test", {"Alpha": State()}, invariants=[Invariant("never", ("Alpha", "Alfa"))])
    [problem] = caught.value.problems
    assert (problem.kind, problem.relation, problem.other) == ("unknown-state", "invariant", "Alfa")
    assert "invariant `never: [Alpha, Alfa]` names unknown state 'Alfa'" in problem.message
    assert "did you mean 'Alpha'?" in problem.message


def test_exception_may_be_named_without_being_defined() -> None:
    schema, invariant = bound(Invariant("implies", ("A",), ("Exception",)))
    assert not invariant.holds(schema.mask(["A"]))
    assert invariant.holds(schema.mask(["A", "Exception"]))


def test_they_are_no_part_of_the_digest() -> None:
    assert bound(Invariant("never", ("A",)))[0].digest == Schema("Test", STATES).digest
