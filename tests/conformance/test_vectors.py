"""Replays what asyncmachine-go did, and compares. See README.md next to this file.

Every vector gives what was recorded, or is listed in deviations.yaml with the rules by which we differ. A
listed vector that gives what was recorded fails too: the list is exact.
"""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict

import pytest
import yaml

from asyncmachine.api import Result, Tracer
from asyncmachine.errors import UnknownState
from asyncmachine.machine import Machine
from asyncmachine.schema import Masks, Precomputed, Schema, State, find_problems, snake_case

HERE = Path(__file__).parent
SPEC = HERE.parents[1] / "docs" / "spec" / "machine.md"
CIRCLES, NAMES = 2, 13  # the rules by which a schema is refused
Json: TypeAlias = dict[str, Any]

_SUFFIXES = ("Enter", "Exit", "State", "End")


@cache
def load(name: str) -> dict[str, Json]:
    """The vectors of one file by their names."""
    with lzma.open(HERE / f"{name}.json.xz") as file:
        return {v["name"]: v for v in json.load(file)}


@cache
def every() -> dict[str, Json]:
    """All vectors by their names."""
    return load("vectors") | load("order_dependent")


class Group(TypedDict):
    """One rule of docs/spec/machine.md, section 15.

    Attributes:
        rule: its number.
        why: how we differ by it.
        refused: vectors whose schema is an error with us.
        vectors: vectors with another outcome. Under several rules: it takes all of them to explain it.
    """

    rule: int
    why: str
    refused: list[str]
    vectors: list[str]


@cache
def groups() -> list[Group]:
    """The contents of deviations.yaml."""
    found: list[Group] = yaml.safe_load((HERE / "deviations.yaml").read_text("utf-8"))
    return found


@cache
def listed(what: Literal["refused", "vectors"]) -> dict[str, set[int]]:
    """Name of a vector -> the rules it is listed under."""
    rules: dict[str, set[int]] = {}
    for group in groups():
        for name in group[what]:
            rules.setdefault(name, set()).add(group["rule"])
    return rules


def refusals(states: dict[str, State]) -> set[int]:
    """The rules by which we refuse this schema."""
    kinds = {problem.kind for problem in find_problems(states, {})}
    return {CIRCLES if kind.endswith("-cycle") else NAMES for kind in kinds}


def schema_of(states: dict[str, State]) -> Schema:
    """The schema, past the checks if we refuse it: the resolver copes with all but unknown names.

    Where requirements go in a circle, none of them counts for the order; so it is in the ancestor.
    """
    if not refusals(states):
        return Schema("Vector", states)
    index = {name: i for i, name in enumerate(states)}
    require = tuple(sum(1 << index[n] for n in dict.fromkeys(s.require)) for s in states.values())
    circular = any(problem.kind == "require-cycle" for problem in find_problems(states, {}))
    ranked = {n: replace(s, require=()) for n, s in states.items()} if circular else states
    masks = replace(Masks.build(ranked), require=require)
    return Schema("Vector", states, made=Precomputed(masks, "0" * 32))


def sanitized(vector: Json) -> dict[str, State]:
    """The schema as the ancestor reads it, in its own order: it drops in silence what we refuse.

    Circles, missing requirements and those that are also removed stay, as there.
    """
    defined = vector["schema"]
    states: dict[str, State] = {}
    for name in vector["state_order"]:
        raw = defined.get(name, {"multi": True})  # Exception, unless it is defined
        add, remove = list(raw.get("add", ())), [n for n in raw.get("remove", ()) if n != name]
        for other in raw.get("add", ()):
            if other in remove:
                remove.remove(other)
            elif other not in defined:
                add.remove(other)
        states[name] = State(
            auto=raw.get("auto", False),
            multi=raw.get("multi", False),
            require=tuple(raw.get("require", ())),
            add=tuple(add),
            remove=tuple(n for n in remove if n in defined),
            after=tuple(n for n in raw.get("after", ()) if n != name and n in defined),
        )
    return states


def split(handler: str, names: list[str]) -> tuple[str, str, str]:
    """``(phase, state, other)`` of a handler's name in the ancestor, e.g. ``("enter", "Foo", "")``."""
    for suffix in _SUFFIXES:
        if handler.endswith(suffix) and handler.removesuffix(suffix) in (*names, "Any"):
            return suffix.lower(), handler.removesuffix(suffix), ""
    for name in names:
        if handler.startswith(name) and (other := handler.removeprefix(name)) in names:
            return "self" if name == other else "to", name, other
    raise ValueError(f"{handler!r} is no name of a handler of {names}")


def ours(handler: str, names: list[str]) -> str:
    """``FooState`` -> ``foo_state``, ``FooBar`` -> ``foo_to_bar``."""
    phase, state, other = split(handler, names)
    return f"{snake_case(state)}_to_{snake_case(other)}" if other else f"{snake_case(state)}_{phase}"


class Recorder(Tracer):
    """What became of each transition, as in the vectors."""

    def __init__(self) -> None:
        self.transitions: list[Json] = []

    def transition_end(self, machine: Any, transition: Any) -> None:
        record: Json = {"type": transition.kind, "called": list(transition.called)}
        record |= {flag: True for flag in ("auto", "check") if getattr(transition.mutation, flag)}
        self.transitions.append({**record, "accepted": transition.accepted})


class Player:
    """A machine with the schema and the handlers of one vector."""

    def __init__(self, vector: Json, *, traced: bool) -> None:
        self.names: list[str] = vector["state_order"]
        self.called: list[str] = []
        self.nested: list[Json] = []
        self.once: set[tuple[str, str]] = set()
        self.recorder = Recorder() if traced else None
        self.machine = Machine(schema_of(sanitized(vector)), queue_limit=vector.get("queue_limit"))
        if self.recorder:
            self.machine.trace(self.recorder)
        if vector["record"] != "none":
            self.machine.bind(self.handlers(vector))

    def handlers(self, vector: Json) -> object:
        """An object with a method for each handler that is to be recorded."""
        behaviours: dict[str, str] = {}
        if vector["record"] == "all":
            for name in self.names:
                behaviours |= {name + suffix: "" for suffix in _SUFFIXES}
                behaviours |= {name + other: "" for other in self.names}
            behaviours |= {"AnyEnter": "", "AnyState": ""}
        behaviours |= vector["handlers"]
        return type(
            "Handlers",
            (),
            {
                ours(handler, self.names): staticmethod(self.handler(handler, behaviour))
                for handler, behaviour in behaviours.items()
            },
        )()

    def handler(self, name: str, behaviour: str) -> Callable[[Any], bool | None]:
        def run(event: object) -> bool | None:
            self.called.append(name)
            for part in behaviour.split(";"):
                what = part.removeprefix("once~")
                if what != part:
                    if (name, what) in self.once:
                        continue
                    self.once.add((name, what))
                if what == "false":
                    return False
                if what == "panic":
                    raise RuntimeError("as the vector says")
                if what not in ("", "sleep"):  # plain handlers are not interrupted: how long is all one
                    self.mutate_inside(name, what)
            return None

        return run

    def mutate_inside(self, handler: str, what: str) -> None:
        op, _, states = what.partition(":")
        step: Json = {"op": op.removesuffix("+args"), "states": states.split(",") if states else []}
        if op.endswith("+args"):
            step["args"] = True
        record = {"in": handler, **step, "result": "panic", "value": 0}
        self.nested.append(record)
        result = self.mutate(step)
        record |= {"result": word(result), "value": result.tick}

    def mutate(self, step: Json) -> Result:
        args: Json = {"vector": 1} if step.get("args") else {}
        if step["op"] == "add_err":
            return self.machine.add_error(RuntimeError("as the vector says"), *step["states"], **args)
        call: Callable[..., Result] = getattr(self.machine, step["op"])
        return call(*step["states"], **args)

    def play(self, step: Json) -> Json:
        """One step, observed as in the vectors; without ``transitions`` when it is not traced."""
        self.called.clear()
        self.nested.clear()
        if self.recorder:
            self.recorder.transitions.clear()
        try:
            result = word(self.mutate(step))
        except UnknownState:
            result = "panic"
        return {"result": result, **self.observation()}

    def observation(self) -> Json:
        seen: Json = {
            "active": [self.names[i] for i in self.machine._engine.node.active],  # in their own order
            "time": list(self.machine.time()),
            "queue_tick": self.machine.queue_tick,
            "handlers_called": list(self.called),
            "nested": list(self.nested),
        }
        return seen | {"transitions": list(self.recorder.transitions)} if self.recorder else seen


def word(result: Result) -> str:
    return "executed" if result.executed else "canceled" if result.canceled else "queued"


def exact(seen: Json, names: list[str]) -> Json:
    return seen


def by_phase(seen: Json, names: list[str]) -> Json:
    """Without the order of active states, and with that of handlers only between phases."""
    phases = groupby(seen["handlers_called"], lambda h: split(h, names)[0])
    called = [sorted(group) for _, group in phases]
    return {**seen, "active": sorted(seen["active"]), "handlers_called": called}


def unordered(seen: Json, names: list[str]) -> Json:
    """Without any order but that of transitions."""
    seen = {
        **seen,
        "active": sorted(seen["active"]),
        "handlers_called": sorted(seen["handlers_called"]),
        "nested": sorted(map(str, seen["nested"])),
    }
    if "transitions" in seen:
        seen["transitions"] = [{**t, "called": sorted(t["called"])} for t in seen["transitions"]]
    return seen


def missing(vector: Json) -> list[str]:
    """States that are required and do not exist."""
    required = {r for state in vector["schema"].values() for r in state.get("require", ())}
    return sorted(required.difference(vector["state_order"]))


Normal: TypeAlias = Callable[[Json, list[str]], Json]


def differences(vector: Json, expected: list[Json], normal: Normal, *, traced: bool) -> list[str]:
    """What we do otherwise: the fields of the first observation that differs. Empty when nothing does.

    Args:
        expected: what was recorded after creation and after each step.
        traced: compare transitions too. Without, the machine may take its short cuts.
    """
    if unknown := missing(vector):
        return [f"cannot be played: nothing is known of {', '.join(unknown)}"]
    player = Player(vector, traced=traced)
    names = vector["state_order"]
    for i, recorded in enumerate(expected):
        step = vector["steps"][i - 1] if i else None
        seen = normal(player.play(step) if step else player.observation(), names)
        wanted = normal({"nested": [], "result": "", **recorded}, names)
        if wrong := [key for key in seen if seen[key] != wanted[key]]:
            where = f"step {i}, {step['op']} {step['states']}" if step else "after creation"
            return [f"{where}: {key} is {seen[key]}, recorded was {wanted[key]}" for key in wrong]
    return []


def deviation(vector: Json) -> list[str]:
    """How we differ from one exact vector."""
    normal = exact if vector["order"] == "exact" else by_phase
    expected = [vector["initial"], *vector["steps"]]
    return differences(vector, expected, normal, traced=False) or differences(
        vector, expected, normal, traced=True
    )


def deviation_from_all(vector: Json) -> list[str]:
    """How we differ from what was recorded in the order of a map, whatever that order was."""
    found: list[str] = []
    for outcome in (vector["canonical"], *vector["outcomes"]):
        expected = [outcome["initial"], *outcome["steps"]]
        found = differences(vector, expected, unordered, traced=True)
        if not found and not differences(vector, expected, unordered, traced=False):
            return []
    return found


def verdict(name: str, found: list[str]) -> str:
    """Empty, or what is wrong: with the machine, or with the list."""
    rules = listed("vectors").get(name)
    if found and rules is None:
        return "; ".join(found)
    if not found and rules is not None:
        return f"gives what was recorded, but is listed under {sorted(rules)}"
    return ""


@pytest.mark.parametrize("name", load("vectors"))
def test_vector(name: str) -> None:
    assert verdict(name, deviation(load("vectors")[name])) == ""


@pytest.mark.parametrize("name", load("order_dependent"))
def test_order_dependent_vector(name: str) -> None:
    assert verdict(name, deviation_from_all(load("order_dependent")[name])) == ""


def broken(states: dict[str, State], active: set[str]) -> list[str]:
    """Relations that do not hold between these active states."""
    return [
        f"{name} {relation} {other}"
        for name in active
        for relation, others in (
            ("requires", set(states[name].require) - active),
            ("removes", set(states[name].remove) & active - {name}),
        )
        for other in others
    ]


@pytest.mark.parametrize("name", [name for name in listed("vectors") if not missing(every()[name])])
def test_relations_hold_where_the_outcome_is_another_one(name: str) -> None:
    vector = every()[name]
    states = sanitized(vector)
    player, watched = Player(vector, traced=False), Player(vector, traced=True)
    for step in vector["steps"]:
        seen = player.play(step)
        assert watched.play(step) | {"transitions": []} == seen | {"transitions": []}
        assert broken(states, set(seen["active"])) == []
        odd = {n for n, tick in zip(player.names, seen["time"], strict=True) if tick % 2}
        assert odd == set(seen["active"])


def test_broken_relations_are_seen() -> None:
    states = {"A": State(require=("B",), remove=("C",)), "B": State(), "C": State(remove=("C",))}
    assert broken(states, {"A", "B"}) == broken(states, {"C"}) == []
    assert broken(states, {"A", "C"}) == ["A requires B", "A removes C"]


def test_just_the_schemas_that_are_listed_are_refused() -> None:
    found = {name: rules for name, vector in every().items() if (rules := refusals(sanitized(vector)))}
    assert found == listed("refused")


def test_the_list_names_vectors_once_and_rules_of_the_specification() -> None:
    differences = SPEC.read_text("utf-8").partition("\n## 15. ")[2]
    numbers = [int(n) for n in re.findall(r"^(\d+)\. ", differences, re.MULTILINE)]
    for group in groups():
        assert group["rule"] in numbers
        for names in (group["refused"], group["vectors"]):
            assert [n for n in names if n not in every()] == []
            assert names == sorted(set(names))
        assert group["refused"] or group["vectors"], f"no vector is left under rule {group['rule']}"
    rules = [group["rule"] for group in groups()]
    assert rules == sorted(set(rules))


def test_a_wrong_record_is_seen() -> None:
    """The comparison compares: each field of a record, changed, makes a difference."""
    vector = load("vectors")["hand/add_err_unknown"]
    assert deviation(vector) == []
    changes: Json = {
        "result": "canceled",
        "active": [],
        "time": [3, 0],
        "queue_tick": 3,
        "handlers_called": ["AEnter", "AState", "AnyEnter", "AnyState"],
        "nested": [{}],
        "transitions": [],
    }
    for key, value in changes.items():
        wrong = {**vector, "steps": [vector["steps"][0], {**vector["steps"][1], key: value}]}
        assert [key in text for text in deviation(wrong)] == [True]
