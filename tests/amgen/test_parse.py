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
    [("1", 1), ("1.5", 1.5), ("0.25", 0.25), ("1e3", 1000), ("1e+2", 100), ("1000000000", 1e9)],
)
def test_timeouts(text: str, value: float) -> None:
    assert state(f"{{timeout: {text}}}").timeout == value


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("5.0", 5), ("1e6", 1_000_000)])
def test_limits(text: str, value: int) -> None:
    limit = state(f"{{limit: {text}}}").limit
    assert (limit, type(limit)) == (value, int)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "1000001", "'1'", "one", "9" * 4000])
def test_no_limits(text: str) -> None:
    assert mistakes(f"machine: M\nstates:\n  A: {{limit: {text}}}\n") == ["AM101 3:14"]


@pytest.mark.parametrize(
    "text",
    [
        *("01", "1_000", "0x1f", "1:30", ".5", "1.", "+1", "'1'", ".inf", ".nan", "1e999", "one", "[1]"),
        *("0", "-1", "1000000001", "1e10"),
    ],
)
def test_no_timeouts(text: str) -> None:
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


# -- versions, invariants, groups and reasons ---------------------------------------------------


@pytest.mark.parametrize("text", ["version: 1\n", "version: 1.0\n", ""])
def test_versions_that_are_read(text: str) -> None:
    assert parsed(f"{text}machine: M\nstates: {{}}\n").machine.text == "M"


def test_a_newer_version_is_refused_before_anything_else() -> None:
    report = Report()
    root = load("machine: M\nnews: x\nversion: 2\n", "m.yaml", report)
    assert document(root, "m.yaml", report) is None
    [found] = report.sorted()
    assert found.code == "AM108"
    assert found.message == "version 2 is newer than this am-gen, which reads version 1; upgrade asyncmachine"
    assert str(found.span) == "m.yaml:3:10"


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "'1'", "one", "[1]", ""])
def test_no_versions(text: str) -> None:
    assert [m.split()[0] for m in mistakes(f"machine: M\nstates: {{}}\nversion: {text}\n")] == ["AM101"]


def test_invariants() -> None:
    text = "[{never: [A, B], doc: why}, {implies: {if: [A], then: [B, C]}}]"
    one, two = parsed(f"machine: M\nstates: {{}}\ninvariants: {text}\n").invariants
    assert str(one.value()) == "never: [A, B]"
    assert one.doc == "why"
    assert str(two.value()) == "implies: {if: [A], then: [B, C]}"


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("{never: [A]}", ["AM101"]),
        ("[never]", ["AM101"]),
        ("[{}]", ["AM107"]),
        ("[{never: []}]", ["AM106"]),
        ("[{never: A}]", ["AM101"]),
        ("[{never: [A, A]}]", ["AM106"]),
        ("[{never: [$G]}]", ["AM306"]),
        ("[{nevr: [A]}]", ["AM107", "AM102"]),
        ("[{never: [A], implies: {if: [A], then: [B]}}]", ["AM106"]),
        ("[{implies: {if: [A]}}]", ["AM107"]),
        ("[{implies: {}}]", ["AM107", "AM107"]),
        ("[{implies: {if: [A], then: []}}]", ["AM106"]),
        ("[{implies: {if: [A], then: [B], else: [C]}}]", ["AM102"]),
    ],
)
def test_no_invariants(text: str, codes: list[str]) -> None:
    found = mistakes(f"machine: M\nstates: {{}}\ninvariants: {text}\n")
    assert [m.split()[0] for m in found] == codes


def test_a_group_may_say_what_it_is_for() -> None:
    [one, two] = parsed("machine: M\nstates: {}\ngroups: {G: {doc: why, states: [A]}, H: [B]}\n").groups
    assert (one.doc, [m.text for m in one.members]) == ("why", ["A"])
    assert (two.doc, [m.text for m in two.members]) == ("", ["B"])
    assert mistakes("machine: M\nstates: {}\ngroups: {G: {doc: why}}\n") == ["AM107 3:10"]


def test_reasons() -> None:
    [(name, reason)] = state("{acl_override: {B: it is polite}}").acl_override
    assert (name.text, reason) == ("B", "it is polite")
    assert mistakes("machine: M\nstates:\n  A: {acl_override: {B: ' '}}\n") == ["AM106 3:25"]
    assert mistakes("machine: M\nstates:\n  A: {acl_override: {b: x}}\n") == ["AM103 3:22"]


def test_nothing_is_an_empty_text_or_mapping() -> None:
    for word in ("", "~", "null"):
        a = state(f"{{doc: {word}, args: {word}, rpc: {word}}}")
        assert (a.doc, a.args, a.rpc) == ("", (), ())
