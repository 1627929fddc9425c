from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmachine import schema as s
from asyncmachine.errors import SchemaError, SchemaMismatch, UnknownState
from asyncmachine.schema import Schema, State, find_problems, iter_bits, snake_case

A, B = State(), State()


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("Foo", "foo"),
        ("FooBar", "foo_bar"),
        ("HTTPServer", "http_server"),
        ("Foo2Bar", "foo2_bar"),
        ("LocalRpcReady", "local_rpc_ready"),
    ],
)
def test_snake_case(name: str, snake: str) -> None:
    assert snake_case(name) == snake


@pytest.mark.parametrize("version", [0, 1, 3])
def test_a_module_of_another_abi_is_refused(version: int) -> None:
    s.require_abi(s.ABI)
    with pytest.raises(ImportError, match="am-gen compile"):
        s.require_abi(version)


# -- problems -----------------------------------------------------------------------------------

PROBLEMS: list[tuple[str, str, dict[str, State]]] = [
    ("bad-name", "foo", {"foo": A}),
    ("bad-name", "", {"": A}),
    ("bad-name", "Fo-o", {"Fo-o": A}),
    ("bad-name", "A" * 65, {"A" * 65: A}),
    ("bad-name", "Foo\n", {"Foo\n": A}),
    ("bad-name", "FooEnter", {"FooEnter": A}),
    ("bad-name", "FooExit", {"FooExit": A}),
    ("bad-name", "SolidState", {"SolidState": A}),
    ("bad-name", "WeekEnd", {"WeekEnd": A}),
    ("bad-name", "Any", {"Any": A}),
    ("handler-clash", "HttpServer", {"HTTPServer": A, "HttpServer": B}),
    ("unknown-state", "A", {"A": State(require=("Nope",))}),
    ("unknown-state", "A", {"A": State(add=("Nope",))}),
    ("unknown-state", "A", {"A": State(remove=("Nope",))}),
    ("unknown-state", "A", {"A": State(after=("Nope",))}),
    ("unknown-state", "A", {"A": State(multi=True, scope="Nope")}),
    ("require-remove", "A", {"A": State(require=("B",), remove=("B",)), "B": B}),
    ("require-cycle", "A", {"A": State(require=("A",))}),
    ("require-cycle", "A", {"A": State(require=("B",)), "B": State(require=("A",))}),
    ("after-cycle", "A", {"A": State(after=("B",)), "B": State(after=("A",))}),
    ("bad-value", "A", {"A": State(limit=0)}),
    ("bad-value", "A", {"A": State(timeout=0)}),
    ("bad-value", "A", {"A": State(timeout=math.inf)}),
    ("bad-value", "A", {"A": State(timeout=math.nan)}),
    ("bad-value", "A", {"A": State(auto=True, scope="A")}),
]


@pytest.mark.parametrize(("kind", "state", "states"), PROBLEMS)
def test_every_kind_of_problem_is_found(kind: str, state: str, states: dict[str, State]) -> None:
    assert [(p.kind, p.state) for p in find_problems(states, {})] == [(kind, state)]
    with pytest.raises(SchemaError) as caught:
        Schema("Test", states)
    assert [p.kind for p in caught.value.problems] == [kind]


def test_too_many_states_is_a_problem() -> None:
    states = {f"S{i}": A for i in range(s.MAX_STATES + 1)}
    assert [p.kind for p in find_problems(states, {})] == ["too-many-states"]
    states.popitem()
    assert find_problems(states, {}) == []


def test_groups_are_checked() -> None:
    [problem] = find_problems({"Alpha": A}, {"All": ("Alpha", "Alfa")})
    assert (problem.kind, problem.state, problem.relation, problem.other) == (
        "unknown-state",
        "All",
        "group",
        "Alfa",
    )
    assert "did you mean 'Alpha'?" in problem.message


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SchemaError) as caught:
        Schema("Test", {"a": A, "B": State(require=("C",)), "D": State(limit=0)})
    assert [p.kind for p in caught.value.problems] == ["bad-name", "unknown-state", "bad-value"]


def test_a_cycle_is_told_once_with_its_way() -> None:
    states = {
        "X": State(require=("A",)),
        "A": State(require=("B",)),
        "B": State(require=("C",)),
        "C": State(require=("A",)),
    }
    [problem] = find_problems(states, {})
    assert problem.message == "require goes in a circle: A -> B -> C -> A"


def test_exception_may_be_named_without_being_defined() -> None:
    schema = Schema("Test", {"ErrFoo": State(require=("Exception",))})
    assert schema.names == ("ErrFoo", "Exception")
    assert schema.states["Exception"].multi


def test_a_defined_exception_keeps_its_place_and_properties() -> None:
    schema = Schema("Test", {"Exception": State(), "A": A})
    assert schema.names == ("Exception", "A")
    assert not schema.states["Exception"].multi


def test_what_says_nothing_is_dropped() -> None:
    schema = Schema(
        "Test",
        {"A": State(add=("A", "B", "B"), remove=("A", "B", "C"), after=("A", "C", "C")), "B": B, "C": A},
    )
    assert dict(schema.states["A"].relations()) == {
        "add": ("B",),
        "require": (),
        "remove": ("C",),
        "after": ("C",),
    }


# -- tables -------------------------------------------------------------------------------------


def test_masks_and_lookups() -> None:
    schema = Schema(
        "Test",
        {
            "A": State(auto=True, require=("B",)),
            "B": State(multi=True, add=("C",)),
            "C": State(remove=("A",)),
        },
    )
    masks = schema.masks
    assert (masks.auto, masks.multi) == (0b0001, 0b1010)
    assert (masks.require, masks.add, masks.remove) == ((0b10, 0, 0, 0), (0, 0b100, 0, 0), (0, 0, 0b1, 0))
    assert masks.rank == (1, 0, -1, -1)
    assert schema.mask(["C", "A"]) == 0b101
    assert schema.names_of(0b101) == ("A", "C")
    assert (len(schema), schema.position("B")) == (4, 1)
    assert repr(schema) == f"<Schema Test of 4 states, {schema.digest[:8]}>"


def test_a_chain_of_requirements_may_be_longer_than_the_recursion_limit() -> None:
    states = {f"S{i}": State(require=(f"S{i + 1}",)) for i in range(2999)} | {"S2999": A}
    assert Schema("Test", states).masks.rank[:3] == (2999, 2998, 2997)


@pytest.mark.parametrize("name", ["Alpah", 3, None, ["Alpha"]])
def test_position_of_what_is_no_state(name: Any) -> None:
    with pytest.raises(UnknownState) as caught:
        Schema("Test", {"Alpha": A}).position(name)
    assert ("did you mean 'Alpha'?" in str(caught.value)) == isinstance(name, str)


@given(st.integers(0, 2**80))
def test_iter_bits_lists_the_set_bits(mask: int) -> None:
    assert sum(1 << i for i in iter_bits(mask)) == mask


def test_roles_are_denied_by_default() -> None:
    schema = Schema("Test", {"A": State(rpc={"client": ("add",)}), "B": B}, roles=["client"])
    assert schema.allowed("client", "add") == 0b1
    assert schema.allowed("client", "remove") == schema.allowed("other", "add") == 0


def test_the_digest_covers_what_peers_must_agree_on() -> None:
    base = {"A": State(tags=("x",)), "B": B}
    digest = Schema("Test", base).digest
    assert len(digest) == 32
    assert Schema("Other", {"A": State(tags=("x",), doc="text", limit=3), "B": B}).digest == digest
    others = [
        {"B": B, "A": State(tags=("x",))},
        {"A": A, "B": B},
        {"A": State(tags=("x",), multi=True), "B": B},
        {"A": State(tags=("x",), auto=True), "B": B},
        *({"A": State(tags=("x",), **{r: ("B",)}), "B": B} for r in ("add", "require", "remove", "after")),
    ]
    assert len({Schema("Test", o).digest for o in others} | {digest}) == len(others) + 1


def test_a_facade_fits_its_own_schema_only() -> None:
    one, two = Schema("One", {"A": A}), Schema("Two", {"B": B})
    machine = SimpleNamespace(schema=one)
    assert s.check_facade(machine, one) is machine
    with pytest.raises(SchemaMismatch, match="regenerate"):
        s.check_facade(machine, two)


# -- args ---------------------------------------------------------------------------------------
