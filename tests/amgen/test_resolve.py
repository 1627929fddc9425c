"""Parents, overlays, groups and roles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amgen import compile_tree

if TYPE_CHECKING:
    from asyncmachine.schema import Schema

BASE = """
machine: Base
roles: [client]
groups: {Work: [Idle, Busy]}
states:
  Idle: {doc: d, auto: true, remove: [$Work]}
  Busy: {doc: d, remove: [$Work], tags: [x], args: {a: int}, rpc: {client: [add, read]}}
"""


def compiled(child: str, **others: str) -> Schema:
    sources = {"base.yaml": BASE, "child.yaml": child, **{f"{n}.yaml": t for n, t in others.items()}}
    outcome = compile_tree({n: t.encode() for n, t in sources.items()})
    assert not outcome.failed, outcome.diagnostics
    return outcome.compiled["child.yaml"].schema


def failures(child: str, **others: str) -> list[str]:
    sources = {"base.yaml": BASE, "child.yaml": child, **{f"{n}.yaml": t for n, t in others.items()}}
    outcome = compile_tree({n: t.encode() for n, t in sources.items()})
    return [f"{d.code} {d.span.path}:{d.span.line}" for d in outcome.diagnostics if d.severity == "error"]


HEAD = "machine: Child\nextends: [base]\n"


def test_parents_come_first_and_exception_last() -> None:
    schema = compiled(HEAD + "states:\n  New: {doc: d}\n  Busy: {auto: true}\n")
    assert schema.names == ("Idle", "Busy", "New", "Exception")
    assert schema.states["Busy"].auto
    assert schema.states["Exception"].multi


def test_an_overlay_adds_and_sets() -> None:
    schema = compiled(
        HEAD + "states:\n  New: {doc: d}\n  Busy: {doc: e, add: [New], tags: [y], args: {b: str}}\n"
    )
    busy = schema.states["Busy"]
    assert (busy.doc, busy.add, busy.remove, busy.tags) == ("e", ("New",), ("Idle",), ("x", "y"))
    assert busy.args is not None
    assert list(busy.args.decoders) == ["a", "b"]
    assert busy.rpc == {"client": ("add", "read")}


def test_false_takes_a_property_away() -> None:
    assert not compiled(HEAD + "states:\n  Idle: {auto: false}\n").states["Idle"].auto


def test_override_replaces_but_keeps_what_roles_may() -> None:
    busy = compiled(HEAD + "states:\n  Busy: {override: true, doc: e}\n").states["Busy"]
    assert (busy.doc, busy.remove, busy.args) == ("e", (), None)
    assert busy.rpc == {"client": ("add", "read")}


def test_drop_takes_targets_away() -> None:
    assert compiled(HEAD + "states:\n  Busy: {drop: {remove: [Idle]}}\n").states["Busy"].remove == ()
    assert compiled(HEAD + "states:\n  Busy: {drop: {remove: [$Work]}}\n").states["Busy"].remove == ()


def test_a_group_in_a_relation_leaves_its_owner_out() -> None:
    schema = compiled(HEAD + "groups: {Work: [Late]}\nstates:\n  Late: {doc: d, remove: [$Work]}\n")
    assert schema.groups["Work"] == ("Idle", "Busy", "Late")
    assert schema.states["Late"].remove == ("Idle", "Busy")
    assert schema.states["Idle"].remove == ("Busy",)  # what a parent says is not rewritten behind its back


def test_roles_are_narrowed() -> None:
    assert compiled(HEAD + "states:\n  Busy: {rpc: {client: [read]}}\n").states["Busy"].rpc == {
        "client": ("read",)
    }
    assert compiled(HEAD + "states:\n  Busy: {rpc: {client: []}}\n").states["Busy"].rpc == {}


def test_a_role_of_the_child_may_be_granted_anything() -> None:
    schema = compiled(HEAD + "roles: {admin: [read]}\nstates:\n  Idle: {rpc: {admin: [add]}}\n")
    assert schema.roles == ("client", "admin")
    assert schema.states["Idle"].rpc == {"admin": ("add",)}
    assert schema.states["Busy"].rpc == {"admin": ("read",), "client": ("add", "read")}
    assert schema.states["Exception"].rpc == {"admin": ("read",)}


def test_a_diamond_is_one_state() -> None:
    schema = compiled(
        "machine: Child\nextends: [left, right]\nstates: {}\n",
        left="machine: Left\nextends: [base]\nstates:\n  Busy: {add: [L], multi: true}\n  L: {doc: d}\n",
        right="machine: Right\nextends: [base]\nstates:\n  R: {doc: d}\n",
    )
    assert schema.names == ("Idle", "Busy", "L", "R", "Exception")
    assert schema.states["Busy"].add == ("L",)  # the one that was made from the other wins


CONFLICT = {
    "left": "machine: Left\nextends: [base]\nstates:\n  Busy: {multi: true}\n",
    "right": "machine: Right\nextends: [base]\nstates:\n  Busy: {auto: true}\n",
}


def test_parents_that_disagree_need_a_decision() -> None:
    head = "machine: Child\nextends: [left, right]\nstates:\n"
    assert failures(head + "  Busy: {doc: d}\n", **CONFLICT) == ["AM203 child.yaml:2"]
    assert compiled(head + "  Busy: {override: true, doc: e}\n", **CONFLICT).states["Busy"].doc == "e"


def test_a_parent_beside_wins_over_one_from_the_root_and_over_builtins() -> None:
    beside = b"machine: Beside\nstates:\n  B: {doc: d}\n"
    child = b"machine: Child\nextends: [x]\nstates: {}\n"
    sources = {"sub/child.yaml": child, "x.yaml": beside.replace(b"B", b"R")}
    builtin = {"x.yaml": beside.replace(b"B", b"I")}
    for extra, name in (({"sub/x.yaml": beside}, "B"), ({}, "R")):
        outcome = compile_tree({**sources, **extra}, builtin)
        assert outcome.compiled["sub/child.yaml"].schema.names[0] == name
    outcome = compile_tree({"sub/child.yaml": child}, builtin)
    assert outcome.compiled["sub/child.yaml"].schema.names[0] == "I"
    assert set(outcome.files) == {"child.py", "__init__.py"}  # built-ins are not compiled


def test_dots_lead_upwards_inside_of_the_folder() -> None:
    child = b"machine: Child\nextends: [../base, ./near]\nstates: {}\n"
    near = b"machine: Near\nstates:\n  N: {doc: d}\n"
    outcome = compile_tree({"base.yaml": BASE.encode(), "sub/child.yaml": child, "sub/near.yaml": near})
    assert outcome.compiled["sub/child.yaml"].schema.names == ("Idle", "Busy", "N", "Exception")


def test_builtins_do_not_see_the_users_files() -> None:
    builtin = {
        "a.yaml": b"machine: A\nextends: [b]\nstates: {}\n",
        "b.yaml": b"machine: B\nstates:\n  I: {doc: d}\n",
    }
    sources = {
        "b.yaml": b"machine: B\nstates:\n  U: {doc: d}\n",
        "c.yaml": b"machine: C\nextends: [a]\nstates: {}\n",
    }
    assert compile_tree(sources, builtin).compiled["c.yaml"].schema.names[0] == "I"


@pytest.mark.parametrize(
    ("child", "code"),
    [
        ("machine: Child\nextends: [nope]\nstates: {}\n", "AM201 child.yaml:2"),
        ("machine: Child\nextends: [child]\nstates: {}\n", "AM202 child.yaml:2"),
        ("machine: Child\nextends: [../base]\nstates: {}\n", "AM208 child.yaml:2"),
        (HEAD + "states:\n  New: {override: true, doc: d}\n", "AM206 child.yaml:4"),
        (HEAD + "states:\n  New: {doc: d, drop: {add: [Idle]}}\n", "AM205 child.yaml:4"),
        (HEAD + "states:\n  Busy: {drop: {add: [Idle]}}\n", "AM205 child.yaml:4"),
        (HEAD + "states:\n  Busy: {args: {a: str}}\n", "AM209 child.yaml:4"),
        (HEAD + "states:\n  Busy: {rpc: {client: [remove]}}\n", "AM207 child.yaml:4"),
        (HEAD + "states:\n  Idle: {rpc: {client: [read]}}\n", "AM207 child.yaml:4"),  # Y36
        (HEAD + "states:\n  Busy: {override: true, doc: d, rpc: {client: [remove]}}\n", "AM207 child.yaml:4"),
        (HEAD + "roles: {client: [read]}\nstates: {}\n", "AM207 child.yaml:3"),
        (HEAD + "groups: {G: [$Work]}\nstates: {}\n", "AM306 child.yaml:3"),
        (HEAD + "states:\n  Idle: {rpc: {admin: [read]}}\n", "AM307 child.yaml:4"),
        ("machine: Base\nstates: {}\n", "AM204 child.yaml:1"),
        ("machine: BASE\nstates: {}\n", "AM204 child.yaml:1"),
    ],
)
def test_mistakes(child: str, code: str) -> None:
    assert failures(child) == [code]


def test_a_circle_is_shown() -> None:  # Y50
    outcome = compile_tree(
        {
            "a.yaml": b"machine: A\nextends: [b]\nstates: {}\n",
            "b.yaml": b"machine: B\nextends: [c]\nstates: {}\n",
            "c.yaml": b"machine: C\nextends: [a]\nstates: {}\n",
        }
    )
    (error,) = outcome.diagnostics
    assert error.message == "extends goes in a circle: a.yaml -> b.yaml -> c.yaml -> a.yaml"
    assert error.span.path == "c.yaml"


def test_too_many_generations() -> None:  # Y50
    sources = {
        f"s{i:02}.yaml": f"machine: S{i}\nextends: [s{i + 1:02}]\nstates: {{}}\n".encode() for i in range(50)
    }
    sources["s50.yaml"] = b"machine: S50\nstates: {}\n"
    assert {d.code for d in compile_tree(sources).diagnostics} == {"AM202"}
    assert not compile_tree({n: t for n, t in sources.items() if n > "s43.yaml"}).failed


def test_a_broken_parent_is_reported_once() -> None:
    bad = "machine: Bad\nstates:\n  A: {doc: d, requre: [A]}\n"
    assert failures("machine: Child\nextends: [bad]\nstates: {}\n", bad=bad) == ["AM102 bad.yaml:3"]
