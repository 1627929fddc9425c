"""Rules on the meaning of a schema, each with one that breaks it and one that does not."""

from __future__ import annotations

import pytest

from amgen import compile_tree


def found(text: str) -> list[tuple[str, str, int]]:
    outcome = compile_tree({"m.yaml": f"machine: M\n{text}".encode()})
    return [(d.code, d.severity, d.span.line) for d in outcome.diagnostics]


def states(*lines: str, roles: str = "") -> str:
    return (
        (f"roles: {roles}\n" if roles else "roles: []\n")
        + "states:\n"
        + "".join(f"  {line}\n" for line in lines)
    )


SHUT_OUT = ("X: {doc: d}", "Y: {doc: d}", "W: {doc: d, require: [Y]}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(states("A: {doc: d, add: [X]}"), [("AM301", "error", 4)], id="unknown"),
        pytest.param(states("A: {doc: d, scope: X}"), [("AM301", "error", 4)], id="unknown-scope"),
        pytest.param(
            "groups: {G: [X]}\n" + "states: {A: {doc: d}}\n", [("AM301", "error", 2)], id="unknown-member"
        ),
        pytest.param(states("A: {doc: d, require: [Exception]}"), [], id="exception-is-known"),
        pytest.param(
            states("A: {doc: d, require: [B, C]}", "B: {doc: d, remove: [C]}", "C: {doc: d}"),
            [("AM309", "error", 4)],
            id="never-active",
        ),
        pytest.param(
            states("A: {doc: d, require: [B]}", "B: {doc: d, require: [C], remove: [A]}", "C: {doc: d}"),
            [("AM309", "error", 4)],
            id="removed-by-what-it-needs",
        ),
        pytest.param(
            states(
                "A: {doc: d, require: [B]}",
                "B: {doc: d, require: [C], remove: [D]}",
                "C: {doc: d}",
                "D: {doc: d}",
            ),
            [],
            id="can-be-active",
        ),
        pytest.param(
            states("A: {doc: d, require: [B, C]}", "B: {doc: d, add: [C], remove: [C]}", "C: {doc: d}"),
            [("AM315", "warning", 5)],
            id="add-wins",
        ),
        pytest.param(
            states("A: {doc: d, auto: true, remove: [B]}", "B: {doc: d, auto: true}"),
            [("AM314", "warning", 5)],
            id="blocked-auto",
        ),
        pytest.param(
            states(
                "A: {doc: d, auto: true, require: [C], remove: [B]}", "B: {doc: d, auto: true}", "C: {doc: d}"
            ),
            [],
            id="blocked-sometimes",
        ),
        pytest.param(
            states("A: {doc: d, auto: true, remove: [B]}", "B: {doc: d, auto: true, remove: [A]}"),
            [],
            id="either-auto",
        ),
        pytest.param(states("ErrX: {doc: d}"), [("AM310", "warning", 4)], id="error-state"),
        pytest.param(
            states("ErrX: {doc: d, require: [ErrY]}", "ErrY: {doc: d, require: [Exception]}"),
            [],
            id="error-state-indirect",
        ),
        pytest.param(states("Errand: {doc: d}"), [], id="not-an-error-state"),
        pytest.param(states("A: {}"), [("AM311", "warning", 4)], id="undocumented"),
        pytest.param(states("A: {doc: d, remove: [A]}"), [("AM315", "warning", 4)], id="self"),
        pytest.param(
            states(
                "A: {doc: d, rpc: {one: [add]}, add: [B]}",
                "B: {doc: d, rpc: {two: [add]}}",
                roles="[one, two]",
            ),
            [("AM308", "error", 4)],
            id="adds-what-is-for-others",
        ),
        pytest.param(
            states(
                "A: {doc: d, rpc: {one: [add]}, remove: [B]}",
                "B: {doc: d, rpc: {two: [add]}}",
                roles="[one, two]",
            ),
            [],
            id="removes-what-others-only-add",
        ),
        pytest.param(
            states(
                "A: {doc: d, rpc: {one: [add]}, add: [B]}",
                "B: {doc: d, rpc: {one: [add], two: [add]}}",
                roles="[one, two]",
            ),
            [],
            id="adds-what-is-for-both",
        ),
        pytest.param(
            states(
                "A: {doc: d, rpc: {one: [read]}, add: [B]}",
                "B: {doc: d, rpc: {two: [add]}}",
                roles="[one, two]",
            ),
            [],
            id="only-reads",
        ),
        pytest.param(
            states("A: {doc: d, rpc: {one: [add]}, add: [B]}", "B: {doc: d}", roles="[one, two]"),
            [],
            id="adds-internals",
        ),
        pytest.param(states(*(f"{n}: {{doc: d}}" for n in ("A", "AToB", "BToC"))), [], id="no-such-pair"),
        pytest.param(
            states("A: {doc: d, add: [B]}", "B: {doc: d, add: [C]}", "C: {doc: d, add: [A]}"),
            [("AM320", "warning", 4)],
            id="add-circle",
        ),
        pytest.param(
            states("A: {doc: d, add: [B, C]}", "B: {doc: d, add: [C]}", "C: {doc: d}"), [], id="add-twice"
        ),
        pytest.param(
            states(
                *SHUT_OUT, "A: {doc: d, require: [X], remove: [Y]}", "B: {doc: d, require: [W], remove: [X]}"
            ),
            [("AM316", "warning", 7)],
            id="shut-out-through-what-is-required",
        ),
        pytest.param(
            states(
                *SHUT_OUT,
                "A: {doc: d, require: [X], remove: [Y, B]}",
                "B: {doc: d, require: [W], remove: [X]}",
            ),
            [],
            id="shut-out-and-said-so",
        ),
        pytest.param(
            states(*SHUT_OUT, "A: {doc: d, require: [X], remove: [Y]}", "B: {doc: d, require: [W]}"),
            [],
            id="shut-out-on-one-side",
        ),
        pytest.param(
            states(
                "X: {doc: d}",
                "ErrA: {doc: d, require: [Exception], remove: [X]}",
                "B: {doc: d, require: [X], remove: [Exception]}",
            ),
            [],
            id="success-clears-errors",
        ),
        pytest.param(
            "groups: {G: [A]}\nstates: {A: {doc: d}}\n", [("AM317", "warning", 2)], id="unused-group"
        ),
        pytest.param(
            "groups: {G: {doc: d, states: [A]}}\nstates: {A: {doc: d}}\n", [], id="group-for-the-code"
        ),
        pytest.param(
            "groups: {G: [A]}\nstates: {A: {doc: d}, B: {doc: d, after: [$G]}}\n", [], id="used-group"
        ),
        pytest.param(
            states(
                "A: {doc: d, rpc: {one: [add]}, add: [B], acl_override: {B: why}}",
                "B: {doc: d, rpc: {two: [add]}}",
                roles="[one, two]",
            ),
            [],
            id="reason",
        ),
        pytest.param(
            states("A: {doc: d, acl_override: {B: why}}", "B: {doc: d}"),
            [("AM318", "warning", 4)],
            id="no-need",
        ),
        pytest.param(
            states("A: {doc: d, acl_override: {X: why}}"), [("AM301", "error", 4)], id="reason-for-nobody"
        ),
    ],
)
def test_rule(text: str, expected: list[tuple[str, str, int]]) -> None:
    assert found(text) == expected


def test_both_sides_of_a_contradiction_are_shown() -> None:
    text = "machine: M\nstates:\n  A: {doc: d, require: [B], remove: [B]}\n  B: {doc: d}\n"
    (error,) = compile_tree({"m.yaml": text.encode()}).diagnostics
    assert (error.span.column, error.related[0].span.column) == (25, 38)


def test_a_problem_of_a_parent_points_into_the_parent() -> None:
    outcome = compile_tree(
        {
            "a.yaml": b"machine: A\nstates:\n  Foo: {doc: d, remove: [Baz]}\n  Baz: {doc: d}\n",
            "b.yaml": b"machine: B\nextends: [a]\nstates:\n  Bar: {doc: d, require: [Foo, Baz]}\n",
        }
    )
    (error,) = outcome.diagnostics
    assert (error.code, error.span.path, error.related[0].span.path) == ("AM309", "b.yaml", "a.yaml")


def test_a_state_that_excludes_many_others_is_told_of_once() -> None:
    lines = [f"S{i}: {{doc: d, require: [R{i % 2}], remove: [R{1 - i % 2}]}}" for i in range(1000)]
    told = found(states("R0: {doc: d}", "R1: {doc: d}", *lines))
    assert {code for code, _, _ in told} == {"AM316"}
    assert len(told) < 1000
