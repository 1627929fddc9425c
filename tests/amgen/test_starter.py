"""A first schema from words."""

from __future__ import annotations

import pytest

from amgen.pipeline import compile_tree
from amgen.starter import Group, StarterError, Starting, groups_of, starter, states_of


def test_states_with_properties_and_relations() -> None:
    assert states_of("A,B:multi, C:require(A) ,D:auto:remove(B; C):Add(A),e:after(_Work,$More)") == (
        Starting("A"),
        Starting("B", ("multi",)),
        Starting("C", (), {"require": ("A",)}),
        Starting("D", ("auto",), {"remove": ("B", "C"), "add": ("A",)}),
        Starting("E", (), {"after": ("$Work", "$More")}),
    )


def test_groups() -> None:
    assert groups_of("Work,Door(Open;shut)") == (Group("Work", ()), Group("Door", ("Open", "Shut")))
    assert groups_of(" ") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no state"),
        ("A,,B", "state name ''"),
        ("A:mutli", "'mutli' is no property and no relation; did you mean 'multi'"),
        ("A:requires(B)", "did you mean 'require'"),
        ("A:require", "'require' is no property"),
        ("A:multi(B)", "'multi.B.' is no property"),
        ("A:require()", "state name ''"),
        ("A:require(B", "a bracket is not closed"),
        ("A:require(B))", "brackets do not match at column 13"),
        ("A:require((B))", "brackets do not match at column 11"),
        ("A:require(B)C", "is not written as name"),
        ("A:multi:multi", "multi is given twice"),
        ("A:add(B):add(C)", "add is given twice"),
        ("A:add(B;B)", "B is given twice"),
        ("A,A", "state A is given twice"),
        ("A b", "not CamelCase"),
        ("A: {x}", "is no property"),
        ("FooState", "marks handlers"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(StarterError, match=message):
        states_of(text)


def test_groups_are_checked() -> None:
    for text in ("A,A", "a b", "A(B;B)", "A(B"):
        with pytest.raises(StarterError):
            groups_of(text)


def test_the_text_compiles_with_warnings_only() -> None:
    text = starter(
        "Door",
        states_of("Open:remove(_Leaf),Shut:auto:remove(_Leaf),Knock:multi:require(Shut)"),
        groups_of("Leaf(Open;Shut)"),
    )
    assert text == (
        "machine: Door\n"
        "doc:  # one sentence: what the machine is for\n"
        "groups:\n"
        "  Leaf: [Open, Shut]\n"
        "states:\n"
        "  Open:\n"
        "    doc:  # what is true while it is active\n"
        "    remove: [$Leaf]\n"
        "  Shut:\n"
        "    doc:  # what is true while it is active\n"
        "    auto: true\n"
        "    remove: [$Leaf]\n"
        "  Knock:\n"
        "    doc:  # what is true while it is active\n"
        "    multi: true\n"
        "    require: [Shut]\n"
    )
    outcome = compile_tree({"door.yaml": text.encode()})
    assert [(d.code, d.severity) for d in outcome.diagnostics] == [("AM311", "warning")] * 3
    (one,) = outcome.compiled.values()
    assert one.schema.states["Shut"].remove == ("Open",)


def test_inherited_states_keep_their_docs() -> None:
    text = starter("Press", states_of("Ready,Start:add(Ready)"), (), ["basic"], {"Ready", "Start"})
    assert text.endswith("extends: [basic]\nstates:\n  Ready: {}\n  Start:\n    add: [Ready]\n")


@pytest.mark.parametrize(
    ("machine", "parent"), [("door", "basic"), ("Class", "a b"), ("Door", "x]\nstates: {")]
)
def test_nothing_else_gets_into_the_text(machine: str, parent: str) -> None:
    with pytest.raises(StarterError):
        starter(machine, states_of("A"), (), [parent])
