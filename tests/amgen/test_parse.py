"""Shapes of documents; what is accepted as which value."""

from __future__ import annotations

import pytest

from amgen.errors import Report
from amgen.model import ArgDoc, SchemaDoc, StateDoc
from amgen.parse import document
from amgen.source import load


def parsed(text: str) -> SchemaDoc:
    report = Report()
    doc = document(load(text, "m.yaml", report), "m.yaml", report)
    assert report.sorted() == ()
    assert doc is not None
    return doc


def mistakes(text: str) -> list[str]:
    report = Report()
    document(load(text, "m.yaml", report), "m.yaml", report)
    return [f"{d.code} {d.span.line}:{d.span.column}" for d in report.sorted()]


def state(text: str) -> StateDoc:
    return parsed(f"machine: M\nstates:\n  A: {text}\n").states[0]


def arg(text: str) -> ArgDoc:
    return state(f"{{args: {{x: {text}}}}}").args[0]


def test_everything_has_its_place_in_the_document() -> None:
    doc = parsed(
        "machine: M\ndoc: text\nextends: [basic, ../x/y_z]\nroles: {one: [read, add], two: []}\n"
        "groups: {G: [A], H: []}\nstates:\n  A: {drop: {add: [B]}, rpc: {one: [remove]}}\n  B:\n"
    )
    assert (doc.machine.text, doc.doc) == ("M", "text")
    assert [p.text for p in doc.extends] == ["basic", "../x/y_z"]
    assert [(r.name.text, r.operations) for r in doc.roles] == [("one", ("add", "read")), ("two", ())]
    assert [(g.name.text, [m.text for m in g.members]) for g in doc.groups] == [("G", ["A"]), ("H", [])]
    a, b = doc.states
    assert [n.text for n in a.drop["add"]] == ["B"]
    assert [(r.role.text, r.operations) for r in a.rpc] == [("one", ("remove",))]
    assert (b.doc, b.auto, b.relations) == (None, None, {})


def test_roles_may_be_a_list() -> None:
    assert [r.name.text for r in parsed("machine: M\nroles: [one, two]\nstates: {}\n").roles] == [
        "one",
        "two",
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("1.5", 1.5), ("-0.25", -0.25), ("1e3", 1000.0), ("0", 0), ("12345678901", 12345678901)],
)
def test_numbers(text: str, value: float) -> None:
    timeout = state(f"{{timeout: {text}}}").timeout
    assert (timeout, type(timeout)) == (value, type(value))


@pytest.mark.parametrize(
    "text", ["01", "1_000", "0x1f", "1:30", ".5", "1.", "+1", "'1'", ".inf", ".nan", "1e999", "one", "[1]"]
)
def test_no_numbers(text: str) -> None:
    assert mistakes(f"machine: M\nstates:\n  A: {{timeout: {text}}}\n") == ["AM101 3:16"]


@pytest.mark.parametrize(
    ("text", "default"),
    [
        ("{type: int, default: -3}", -3),
        ("{type: float, default: 2}", 2.0),
        ("{type: bool, default: true}", True),
        ("{type: str, default: true}", "true"),
        ("{type: str, default: ''}", ""),
        ("{type: str, default: 'null'}", "null"),
        ("{type: str | None, default: null}", None),
        ("{type: 'list[int] | None', default: null}", None),
        ("{local: a.B, default: null}", None),
    ],
)
def test_defaults(text: str, default: object) -> None:
    found = arg(text)
    assert (found.has_default, found.default, type(found.default)) == (True, default, type(default))


@pytest.mark.parametrize(
    "text",
    [
        "{type: int, default: 1.5}",
        "{type: int, default: '1'}",
        "{type: int, default: null}",
        "{type: int, default: true}",
        "{type: int, default: 9223372036854775808}",
        "{type: float, default: nan}",
        "{type: bool, default: yes}",
        "{type: str, default: null}",
        "{type: str, default: }",
        "{type: bytes, default: x}",
        "{type: 'list[int]', default: []}",
        "{local: a.B, default: x}",
    ],
)
def test_no_defaults(text: str) -> None:
    assert [m.split()[0] for m in mistakes(f"machine: M\nstates: {{A: {{args: {{x: {text}}}}}}}\n")] == [
        "AM106"
    ]


def test_args_without_default_are_required() -> None:
    assert (arg("int").has_default, arg("int").annotation) == (False, "int")
    assert (arg("{local: a.B}").annotation, arg("{local: a.B}").local) == ("Any", "a.B")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("doc: d\n", ["AM107 1:1", "AM107 1:1"]),
        ("machine: [M]\nstates: {}\n", ["AM101 1:10"]),
        ("machine: m\nstates: {}\n", ["AM103 1:10"]),
        ("machine: M\nstates: [A]\n", ["AM101 2:9"]),
        ("machine: M\nstates: {A: [B]}\n", ["AM101 2:13"]),
        ("machine: M\ndoc: [x]\nstates: {}\n", ["AM101 2:6"]),
        ("machine: M\ngroups: {g: [A]}\nstates: {}\n", ["AM103 2:10"]),
        ("machine: M\ngroups: {G: A}\nstates: {}\n", ["AM101 2:13"]),
        ("machine: M\nroles: [Client]\nstates: {}\n", ["AM103 2:9"]),
        ("machine: M\nroles: {a: [write]}\nstates: {}\n", ["AM106 2:13"]),
        ("machine: M\nstates: {A: {require: [A, A]}}\n", ["AM106 2:27"]),
        ("machine: M\nstates: {A: {require: [$g]}}\n", ["AM103 2:24"]),
        ("machine: M\nstates: {A: {require: [[A]]}}\n", ["AM101 2:24"]),
        ("machine: M\nstates: {A: {limit: 1.5}}\n", ["AM101 2:21"]),
        ("machine: M\nstates: {A: {overflow: wait}}\n", ["AM101 2:24"]),
        ("machine: M\nstates: {A: {drop: {require: A}}}\n", ["AM101 2:30"]),
        ("machine: M\nstates: {A: {args: {x: {type: int, local: a.B}}}}\n", ["AM106 2:43"]),
        ("machine: M\nstates: {A: {args: {x: {doc: d}}}}\n", ["AM107 2:21"]),
        ("machine: M\nstates: {A: {args: {x: [int]}}}\n", ["AM101 2:24"]),
    ],
)
def test_mistakes_have_a_place(text: str, expected: list[str]) -> None:
    assert mistakes(text) == expected
