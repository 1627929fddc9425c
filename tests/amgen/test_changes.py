"""What a peer would notice of a change; exactly what changes the digest breaks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amgen.changes import Version, compare, worst
from amgen.pipeline import compile_tree
from asyncmachine.testing.strategies import definitions

BASE: dict[str, Any] = {
    "machine": "Oven",
    "doc": "d",
    "roles": ["guest", "cook"],
    "types": {
        "Heat": {"enum": ["low", "high"]},
        "Dish": {"fields": {"name": "str", "heat": "Heat"}},
    },
    "groups": {"Door": ["Open", "Shut"]},
    "invariants": [{"never": ["Open", "Shut"]}],
    "states": {
        "Open": {"doc": "d", "remove": ["Shut"], "tags": ["a", "b"]},
        "Shut": {"doc": "d", "remove": ["Open"]},
        "Baking": {
            "doc": "d",
            "multi": True,
            "require": ["Shut"],
            "args": {
                "dish": "Dish",
                "seconds": {"type": "int", "default": 5},
                "note": "str",
                "sink": {"local": "io.StringIO"},
            },
            "rpc": {"guest": ["add", "read"]},
            "limit": 2,
            "timeout": 5,
        },
    },
}


def version(doc: dict[str, Any]) -> Version:
    outcome = compile_tree({"oven.yaml": json.dumps(doc).encode()})
    assert not outcome.failed, outcome.diagnostics
    (one,) = outcome.compiled.values()
    return Version(one.model, one.schema)


def edited(**edits: Any) -> dict[str, Any]:
    """The base with values at paths such as ``states__Open__auto``; None takes a key away."""
    doc = json.loads(json.dumps(BASE))
    for path, value in edits.items():
        *folders, last = path.split("__")
        place = doc
        for folder in folders:
            place = place[folder]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return doc


ARGS = BASE["states"]["Baking"]["args"]

CASES: list[tuple[dict[str, Any], list[str]]] = [
    (edited(doc="other", states__Open__doc="other"), []),
    (edited(states__Open__auto=True), ["breaks Open: is auto now"]),
    (edited(states__Baking__multi=False), ["breaks Baking: is not multi any more"]),
    (edited(states__Baking__require=["Open"]), ["breaks Baking: require +Open -Shut"]),
    (edited(states__Open__tags=["b", "a"]), ["breaks Open: tags in another order: b, a"]),
    (edited(states__Open__after=["Shut"]), ["breaks Open: after +Shut"]),
    (
        edited(states__Baking__args={**ARGS, "extra": "int"}),
        ["breaks Baking.extra: required arg added, int"],
    ),
    (
        edited(states__Baking__args={**ARGS, "extra": {"type": "int", "default": 1}}),
        ["breaks Baking.extra: optional arg added, int"],
    ),
    (
        edited(states__Baking__args={**ARGS, "extra": {"local": "io.BytesIO"}}),
        ["safe Baking.extra: required arg added, io.BytesIO, local"],
    ),
    (edited(states__Baking__args__note=None), ["breaks Baking.note: arg removed, it was str"]),
    (edited(states__Baking__args__sink=None), ["safe Baking.sink: arg removed, it was io.StringIO, local"]),
    (edited(states__Baking__args__note="bytes"), ["breaks Baking.note: type str -> bytes"]),
    (
        edited(states__Baking__args__note={"local": "io.BytesIO"}),
        ["breaks Baking.note: type str -> io.BytesIO, local"],
    ),
    (edited(states__Baking__args__seconds="int"), ["breaks Baking.seconds: is required now"]),
    (
        edited(states__Baking__args__note={"type": "str", "default": "x"}),
        ["breaks Baking.note: is optional now"],
    ),
    (
        edited(states__Baking__args__seconds={"type": "int", "default": 6}),
        ["safe Baking.seconds: default 5 -> 6; each side uses its own"],
    ),
    (edited(types__Heat={"enum": ["low", "high", "max"]}), ["breaks Heat: values +max"]),
    (edited(types__Heat={"enum": ["high", "low"]}), ["safe Heat: values in another order: high, low"]),
    (
        edited(
            types__Dish={"fields": {"name": "str", "heat": "Heat", "eggs": {"type": "int", "default": 0}}}
        ),
        ["breaks Dish: fields +eggs:int=0"],
    ),
    (
        edited(
            types={
                "Warm": {"enum": ["low", "high"]},
                "Dish": {"fields": {"name": "str", "heat": "Warm"}},
            }
        ),
        ["safe Warm: enum added", "safe Dish: fields +heat:Warm -heat:Heat", "safe Heat: enum removed"],
    ),
    (
        edited(types__Plate={"fields": {"name": "str", "heat": "Heat"}}, states__Baking__args__dish="Plate"),
        ["safe Baking.dish: type Dish -> Plate, the same on the wire", "safe Plate: record added"],
    ),
    (
        edited(states__Baking__rpc={"guest": ["read"], "cook": ["add"]}),
        ["denies Baking: role guest may not add it any more", "safe Baking: role cook may add it now"],
    ),
    (edited(roles=["guest", "cook", "boss"]), ["safe boss: role added"]),
    (edited(roles=["guest"]), ["safe cook: role removed"]),
    (
        edited(states__Baking__limit=None, states__Baking__timeout=6),
        ["safe Baking: limit 2 -> none", "safe Baking: timeout 5 -> 6"],
    ),
    (
        edited(groups={"Door": ["Open"], "Work": ["Baking"]}),
        ["safe Door: members -Shut", "safe Work: group added"],
    ),
    (edited(groups=None), ["safe Door: group removed"]),
    (
        edited(invariants=[{"never": ["Open", "Baking"]}]),
        [
            "safe Oven: invariant added: `never: [Open, Baking]`",
            "safe Oven: invariant removed: `never: [Open, Shut]`",
        ],
    ),
    (
        edited(states={"Lit": {"doc": "d"}, **BASE["states"]}),
        [
            "breaks Lit: state added, at index 0",
            "breaks Oven: states renumbered: Open 0 -> 1, Shut 1 -> 2, Baking 2 -> 3 and 1 more",
        ],
    ),
    (
        edited(states={n: BASE["states"][n] for n in ("Shut", "Open")}),
        [
            "breaks Baking: state removed, it was at index 2",
            "breaks Oven: states renumbered: Shut 1 -> 0, Open 0 -> 1, Exception 3 -> 2",
        ],
    ),
]


@pytest.mark.parametrize(("doc", "lines"), CASES)
def test_each_difference_is_told_with_its_effect(doc: dict[str, Any], lines: list[str]) -> None:
    old, new = version(BASE), version(doc)
    changes = compare(old, new)
    assert [f"{c.effect} {c.subject}: {c.text}" for c in changes] == lines
    assert (worst(changes) == "breaks") == (old.schema.digest != new.schema.digest)
    assert all(c.span.path == "oven.yaml" for c in changes)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    states: dict[str, Any] = {}
    arg = st.sampled_from(
        ["int", "str", "Heat", "list[Heat]", {"type": "int", "default": 1}, {"local": "io.BytesIO"}]
    )
    for name, state in draw(definitions(max_states=3)).items():
        states[name] = {
            "auto": state.auto,
            "multi": state.multi,
            **{relation: list(targets) for relation, targets in state.relations()},
            "args": draw(st.dictionaries(st.sampled_from(["one", "two"]), arg, max_size=2)),
            "tags": draw(st.lists(st.sampled_from(["a", "b"]), unique=True)),
            "rpc": {"guest": draw(st.lists(st.sampled_from(["add", "read"]), unique=True))},
        }
    heat = draw(st.permutations(["low", "high", "max"]))[: draw(st.integers(2, 3))]
    return {"machine": "Drawn", "roles": ["guest"], "types": {"Heat": {"enum": heat}}, "states": states}


@settings(max_examples=80, deadline=None)
@given(documents(), documents(), st.data())
def test_what_breaks_is_what_changes_the_digest(
    doc: dict[str, Any], other: dict[str, Any], data: st.DataObject
) -> None:
    """Of whole other documents, and of those that differ in one state or type only."""
    for key in data.draw(st.sets(st.sampled_from(["states", "types"]))):
        other = {**other, key: doc[key]}
    if data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(doc["states"])))
        if name in other["states"]:
            other = {**other, "states": {**doc["states"], name: other["states"][name]}}
    outcomes = [compile_tree({"a.yaml": json.dumps(d).encode()}) for d in (doc, other)]
    if any(o.failed for o in outcomes):
        return
    old, new = (Version(c.model, c.schema) for o in outcomes for c in o.compiled.values())
    breaks = [c for c in compare(old, new) if c.effect == "breaks"]
    assert bool(breaks) == (old.schema.digest != new.schema.digest)
    assert compare(old, old) == ()
