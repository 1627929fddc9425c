"""Models compare by what they say, not by where they say it."""

from __future__ import annotations

from amgen import compile_tree
from amgen.errors import Span
from amgen.model import RELATIONS, Name, RelationModel, StateModel


def test_places_do_not_count() -> None:
    texts = ("machine: M\nstates: {A: {doc: d, add: [B], limit: 2}, B: {doc: d}}\n", "\n\n# moved\n")
    one, other = (
        compile_tree({"m.yaml": f"{before}{texts[0]}".encode()}).compiled["m.yaml"].model
        for before in ("", texts[1])
    )
    assert one.span != other.span
    assert one.states["A"].span != other.states["A"].span
    assert one.states == other.states


def test_what_is_said_counts() -> None:
    span = Span("m.yaml")
    state = StateModel("A", span, (), relations={"add": (RelationModel("B", span),)})
    assert state != StateModel("A", span, (), relations={"add": (RelationModel("C", span),)})
    assert Name("A", span) != Name("B", span)


def test_targets_of_all_relations() -> None:
    span = Span("m.yaml")
    state = StateModel(
        "A", span, (), relations={"add": (RelationModel("B", span), RelationModel("C", span, "G"))}
    )
    assert {r: state.targets(r) for r in RELATIONS} == {
        "require": (),
        "add": ("B", "C"),
        "remove": (),
        "after": (),
    }
