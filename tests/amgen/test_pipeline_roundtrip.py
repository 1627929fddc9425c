"""Random models to YAML to Python and back: the module must hold exactly the model."""

from __future__ import annotations

import importlib.util
import itertools
import string
import sys
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amgen import compile_tree
from asyncmachine.errors import ArgsError
from asyncmachine.schema import Schema, State, find_problems, schema_digest, to_wire

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COUNTER = itertools.count()

NAMES = st.builds(
    lambda head, tail: head + tail,
    st.sampled_from(["A", "Foo", "WorkIs", "HTTP", "B2", "On"]),
    st.sampled_from(["", "1", "Bar", "ToDo", "XYZ"]),
)
TEXT = st.text(
    st.characters(
        codec="utf-8",
        categories=("L", "N", "P", "S", "Z"),
        include_characters="\n\t\x85\u2028\\\"'{}%#",
        exclude_characters="\u061c\u200e\u200f\u2066\u2067\u2068\u2069\ufeff",
    ),
    max_size=200,
)
DECLARED = {
    "Level": {"enum": ["low", "very/high"]},
    "Place": {"fields": {"x": "float", "level": {"type": "Level", "default": "low"}}},
}
TYPES: dict[str, list[Any]] = {
    "bool": [True, False],
    "int": [0, -5, 2**40],
    "float": [0.0, -1.5],
    "str": ["", "no", 'it\'s "x"\n'],
    "Level": ["low", "very/high"],
}
OPERATIONS = st.lists(st.sampled_from(["add", "remove", "read"]), unique=True)


@st.composite
def args(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(["alpha", "beta", "min", "id"]), unique=True, max_size=3)):
        kind = draw(
            st.sampled_from([*TYPES, "bytes", "list[int]", "dict[str, str]", "datetime", "list[Place]"])
        )
        found[name] = {"type": kind}
        if kind in TYPES and draw(st.booleans()):
            found[name]["default"] = draw(st.sampled_from(TYPES[kind]))
        elif draw(st.booleans()):
            found[name] = {"type": f"{kind} | None", "default": None}
    return found


def set_of(names: list[str]) -> frozenset[str]:
    return frozenset(names)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(NAMES, unique_by=str.lower, min_size=1, max_size=8))
    some = st.lists(st.sampled_from(names), unique=True, max_size=3)
    together = st.lists(st.sampled_from(names), unique=True, min_size=1, max_size=min(3, len(names)))
    broken = draw(st.integers(0, 4)) == 0  # else without the contradictions that random relations are full of
    states: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(names):
        state: dict[str, Any] = {"doc": draw(TEXT)}
        for flag in ("auto", "multi"):
            if draw(st.booleans()):
                state[flag] = True
        for relation in ("require", "add", "remove", "after"):
            found = draw(some)
            if not broken and relation in ("require", "after"):
                found = [n for n in found if n in names[:number]]
            if not broken and relation == "remove":
                found = [n for n in found if n not in state.get("require", ())]
            if found:
                state[relation] = found
        if found_args := draw(args()):
            state["args"] = found_args
        if draw(st.booleans()):
            state["rpc"] = {"peer": draw(OPERATIONS)}
        if draw(st.booleans()):
            state |= {
                "limit": draw(st.integers(1, 9)),
                "timeout": 1.5,
                "overflow": draw(st.sampled_from(["drop", "queue"])),
            }
        states[name] = state
    return {
        "machine": "Made",
        "doc": draw(TEXT),
        "roles": ["peer"],
        "types": DECLARED,
        "invariants": [{"never": found} for found in draw(st.lists(together, max_size=2, unique_by=set_of))],
        "groups": {f"G{i}": members for i, members in enumerate(draw(st.lists(some, max_size=2)))},
        "states": states,
    }


def expected(document: dict[str, Any]) -> dict[str, State]:
    return {
        name: State(
            auto=state.get("auto", False),
            multi=state.get("multi", False),
            require=tuple(state.get("require", ())),
            add=tuple(state.get("add", ())),
            remove=tuple(state.get("remove", ())),
            after=tuple(state.get("after", ())),
            doc=state["doc"],
            rpc={
                role: tuple(o for o in ("add", "remove", "read") if o in operations)
                for role, operations in state.get("rpc", {}).items()
                if operations
            },
            limit=state.get("limit"),
            timeout=state.get("timeout"),
            overflow=state.get("overflow", "error"),
        )
        for name, state in document["states"].items()
    }


def imported(text: str, folder: Path) -> Any:
    name = f"made_{next(COUNTER)}"
    path = folder / f"{name}.py"
    path.write_text(text, "utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name]
    return module


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(document=documents())
def test_module_holds_the_model(
    document: dict[str, Any], tmp_path_factory: Any, to_yaml: Callable[[Any], bytes]
) -> None:
    states = expected(document)
    groups = {g: tuple(m) for g, m in document["groups"].items()}
    text = to_yaml(document)
    outcome = compile_tree({"made.yaml": text})
    errors = [d for d in outcome.diagnostics if d.severity == "error"]
    if problems := find_problems(states, groups):
        assert errors, problems
        return
    if any(d.code in ("AM305", "AM309", "AM018") for d in errors):
        return
    assert errors == []
    again = compile_tree({"made.yaml": text})
    assert again.files == outcome.files
    module = imported(outcome.files["made.py"], tmp_path_factory.getbasetemp())
    schema: Schema = module.MADE_SCHEMA
    plain = Schema("Made", states, groups=groups, roles=("peer",))
    assert schema.names == plain.names
    assert schema.masks == plain.masks
    assert schema.groups == plain.groups
    assert [i.when for i in schema.invariants] == [tuple(i["never"]) for i in document["invariants"]]
    assert schema.digest == schema_digest(schema.states)
    for name in states:
        ours, theirs = schema.states[name], plain.states[name]
        for field in (
            "auto",
            "multi",
            "require",
            "add",
            "remove",
            "after",
            "doc",
            "rpc",
            "limit",
            "timeout",
            "overflow",
        ):
            assert getattr(ours, field) == getattr(theirs, field)
        check_args(ours, document["states"][name].get("args", {}))


VALUES: dict[str, Any] = {
    "bool": True,
    "int": 7,
    "float": 2.5,
    "str": "s",
    "bytes": b"b",
    "list[int]": [1],
    "dict[str, str]": {"a": "b"},
    "Level": "very/high",
    "datetime": "2026-11-24T22:01:00Z",
    "list[Place]": [{"x": 1.0, "level": "very/high"}],
}


def check_args(state: State, declared: dict[str, Any]) -> None:
    if not declared:
        assert state.args is None
        return
    assert state.args is not None
    values = {n: VALUES[a["type"].removesuffix(" | None")] for n, a in declared.items()}
    assert to_wire(state.args.decode(values).encode()) == values
    required = {n: v for n, v in values.items() if "default" not in declared[n]}
    defaults = {n: a["default"] for n, a in declared.items() if "default" in a}
    assert to_wire(state.args.decode(required).encode()) == {**required, **defaults}
    for name in required:
        try:
            state.args.decode({n: v for n, v in required.items() if n != name})
        except ArgsError as error:
            assert name in str(error)  # noqa: PT017 - the message is checked, the type is by the clause
        else:
            raise AssertionError(f"{name} is required")


def test_every_letter_is_used_somewhere(to_yaml: Callable[[Any], bytes]) -> None:
    """Names of one letter and of all letters and digits compile, import and keep their order."""
    names = [*string.ascii_uppercase, "A" + string.ascii_letters[1:] + string.digits[:9]]
    outcome = compile_tree(
        {"made.yaml": to_yaml({"machine": "Made", "states": {n: {"doc": n} for n in names}})}
    )
    assert not outcome.failed
    assert outcome.compiled["made.yaml"].schema.names == (*names, "Exception")
