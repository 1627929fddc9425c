"""What types mean: names, ends, defaults; and what a peer must agree on."""

from __future__ import annotations

import pytest

from amgen import compile_tree
from amgen.check_types import Types
from amgen.pipeline import Outcome


def compiled(types: str, args: str = "{}", **more: str) -> Outcome:
    text = f"machine: M\ntypes: {types}\nstates: {{A: {{doc: d, args: {args}}}}}\n"
    return compile_tree({"m.yaml": text.encode(), **{f"{k}.yaml": v.encode() for k, v in more.items()}})


def problems(outcome: Outcome) -> list[str]:
    return [f"{d.code}: {d.message}" for d in outcome.diagnostics]


@pytest.mark.parametrize(
    ("types", "args", "found"),
    [
        ("{Level: {enum: [a]}}", "{x: Levl}", "AM210: arg x: there is no type 'Levl'; did you mean 'Level'?"),
        ("{}", "{x: Int}", "AM210: arg x: there is no type 'Int'; did you mean 'int'?"),
        ("{}", "{x: Zebra}", "AM210: arg x: there is no type 'Zebra'; declare it under `types:`"),
        ("{}", "{x: 'list[Any]'}", "AM210: arg x: there is no type 'Any'; declare it under `types:`"),
        (
            "{R: {fields: {y: Zebra}}}",
            "{x: R}",
            "AM210: arg y: there is no type 'Zebra'; declare it under `types:`",
        ),
        (
            "{Level: {enum: [low, high]}}",
            "{x: {type: Level, default: hihg}}",
            "AM106: arg x: 'hihg' is not a value of Level; did you mean 'high'?",
        ),
        (
            "{R: {fields: {y: int}}}",
            "{x: {type: R, default: zero}}",
            "AM106: arg x: a record has no default; write `R | None` and `default: null`",
        ),
        (
            "{A: {fields: {b: B}}, B: {fields: {a: 'list[A]'}}}",
            "{x: A}",
            "AM211: record A contains itself: A -> B -> A; pass an id instead",
        ),
        (
            "{A: {fields: {a: A | None}}}",
            "{x: A}",
            "AM211: record A contains itself: A -> A; pass an id instead",
        ),
        (
            "{R: {fields: {y: " + "'" + "list[" * 6 + "int" + "]" * 6 + "'}}}",
            "{x: 'list[list[R]]'}",
            "AM105: arg x: types are nested more than 8 deep",
        ),
        (
            "{MStates: {enum: [a]}}",
            "{x: MStates}",
            "AM104: type name 'MStates' is taken: the module of M has a class of that name",
        ),
        (
            "{T: {enum: [a-b, a_b]}}",
            "{x: T}",
            "AM106: values 'a_b' and 'a-b' would share the name A_B; change one",
        ),
        ("{Level: {enum: [a]}}", "{x: int}", "AM319: type Level is not used by any arg or record"),
    ],
)
def test_problems(types: str, args: str, found: str) -> None:
    assert problems(compiled(types, args)) == [found]


def test_a_chain_of_records_is_too_deep_however_long_it_is() -> None:
    chain = ", ".join(f"R{i}: {{fields: {{x: R{i + 1}}}}}" for i in range(2000))
    outcome = compiled(f"{{{chain}, R2000: {{enum: [a]}}}}", "{x: R0}")
    assert "AM105: type R0 is nested more than 8 deep" in problems(outcome)


def test_records_that_hold_many_records_stay_small() -> None:
    """Without a bound, a signature would hold 20 ** 7 fields."""
    fields = [", ".join(f"f{n}: R{i + 1}" for n in range(20)) for i in range(7)]
    types = ", ".join(f"R{i}: {{fields: {{{f}}}}}" for i, f in enumerate(fields))
    outcome = compiled(f"{{{types}, R7: {{enum: [a]}}}}", "{x: R0}")
    assert problems(outcome) == []
    args = outcome.compiled["m.yaml"].schema.states["A"].args
    assert args is not None
    assert len(args.signature()) < 200


def test_a_type_stands_after_those_it_names() -> None:
    outcome = compiled("{A: {fields: {b: 'list[B]', c: C}}, B: {fields: {c: C}}, C: {enum: [x]}}", "{x: A}")
    types = Types(outcome.compiled["m.yaml"].model.types)
    assert [t.name.text for t in types.ordered] == ["C", "B", "A"]
    assert types.wires == {"C": "(x)", "B": "{c:(x)}", "A": "{b:list[{c:(x)}],c:(x)}"}


def test_a_child_of_a_broken_schema_is_broken_too() -> None:
    """What is wrong with a parent is told once, and its child is not compiled either."""
    child = "machine: Child\nextends: [m]\nstates: {}\n"
    outcome = compiled("{}", "{x: Zebra}", child=child)
    assert len(outcome.diagnostics) == 1
    assert outcome.files == {}
    assert outcome.compiled == {}


def test_an_inherited_type_cannot_be_changed() -> None:
    child = "machine: Child\nextends: [m]\ntypes: {T: {enum: [a, b]}}\nstates: {}\n"
    outcome = compiled("{T: {enum: [a]}}", "{x: T}", child=child)
    assert problems(outcome) == [
        "AM212: type T is inherited and cannot be changed; give the new one another name"
    ]
    assert str(outcome.diagnostics[0].related[0].span) == "m.yaml:2:9"


def test_parents_must_agree_on_a_type() -> None:
    other = "machine: Other\ntypes: {T: {enum: [b]}}\nstates: {B: {doc: d, args: {x: T}}}\n"
    child = "machine: Child\nextends: [m, other]\nstates: {}\n"
    outcome = compiled("{T: {enum: [a]}}", "{x: T}", other=other, child=child)
    assert problems(outcome) == ["AM203: two parents disagree on type T; rename one of the two"]
    same = compiled("{T: {enum: [a]}}", "{x: T}", other=other.replace("[b]", "[a]"), child=child)
    assert problems(same) == []
    assert same.files["child.py"].count("class T(StrEnum):") == 1


def test_the_digest_covers_types() -> None:
    def digest(types: str, args: str) -> str:
        outcome = compiled(types, args)
        assert not outcome.failed, problems(outcome)
        return outcome.compiled["m.yaml"].schema.digest

    same = [
        digest("{T: {enum: [a, b]}}", "{x: T, y: int}"),
        digest("{T: {enum: [b, a], doc: other}}", "{y: int, x: T}"),  # order and docs are not on the wire
        digest("{Other: {enum: [a, b]}}", "{x: Other, y: int}"),  # nor are names of types
    ]
    others = [
        digest("{T: {enum: [a, c]}}", "{x: T, y: int}"),
        digest("{T: {enum: [a, b]}}", "{x: T, y: float}"),
        digest("{T: {enum: [a, b]}}", "{x: T | None, y: int}"),
        digest("{T: {enum: [a, b]}}", "{x: T, y: {type: int, default: 1}}"),
        digest("{T: {fields: {z: int}}}", "{x: T, y: int}"),
        digest("{T: {fields: {z: {type: int, default: 1}}}}", "{x: T, y: int}"),
    ]
    assert len(set(same)) == 1
    assert len({*same, *others}) == 1 + len(others)
