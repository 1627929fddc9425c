"""Args, defaults and declared types, as one document says them."""

from __future__ import annotations

import pytest

from amgen.errors import Report
from amgen.model import ArgDoc, TypeDoc
from amgen.parse import document
from amgen.source import load


def read(text: str) -> tuple[tuple[TypeDoc, ...], tuple[ArgDoc, ...], list[str]]:
    """Types, args of state A, and what was reported."""
    report = Report()
    doc = document(load(f"machine: M\n{text}\n", "m.yaml", report), "m.yaml", report)
    assert doc is not None
    args = doc.states[0].args if doc.states else ()
    return doc.types, args, [f"{d.code}: {d.message}" for d in report.sorted()]


def types(text: str) -> tuple[TypeDoc, ...]:
    found, _, problems = read(f"states: {{}}\ntypes: {text}")
    assert problems == []
    return found


def arg(text: str) -> ArgDoc:
    _, (found,), problems = read(f"states: {{A: {{args: {{x: {text}}}}}}}")
    assert problems == []
    return found


def test_enums() -> None:
    one, two = types("{Level: {doc: How., enum: [low, text/plain]}, Mode: {enum: {on: Always., off: }}}")
    assert (one.name.text, one.kind, one.doc) == ("Level", "enum", "How.")
    assert one.values == (("low", ""), ("text/plain", ""))
    assert two.values == (("on", "Always."), ("off", ""))


def test_records() -> None:
    [place] = types("{Place: {fields: {x: float, y: {type: Level, default: low, doc: up}}}}")
    x, y = place.fields
    assert (place.kind, x.name.text, x.annotation, x.has_default) == ("record", "x", "float", False)
    assert (y.annotation, y.default, y.doc) == ("Level", "low", "up")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{level: {enum: [a]}}", "AM103: type name 'level' is not CamelCase"),
        ("{Event: {enum: [a]}}", "AM104: type name 'Event' is reserved by generated modules"),
        ("{XArgs: {enum: [a]}}", "AM104: type name 'XArgs' ends with 'Args'"),
        ("{T: {}}", "AM107: type T needs the key 'enum', a list of values, or 'fields'"),
        ("{T: }", "AM107: type T needs the key 'enum'"),
        ("{T: [a]}", "AM101: type T must be a mapping, not a list"),
        ("{T: {enum: [a], fields: {x: int}}}", "AM106: type T has both enum and fields"),
        ("{T: {enum: []}}", "AM106: enum of type T must hold a value"),
        ("{T: {enum: {}}}", "AM106: enum of type T must hold a value"),
        ("{T: {enum: a}}", "AM101: enum of type T must be a list such as [a]"),
        ("{T: {enum: [a, a]}}", "AM106: 'a' is given twice"),
        (
            "{T: {enum: [1]}}",
            "AM101: an item of enum of type T must be a word, which 1 is not for every reader; write '1'",
        ),
        ("{T: {enum: [2fa]}}", "AM103: value '2fa' is not a letter"),
        ("{T: {fields: {}}}", "AM106: fields of type T must hold a field"),
        ("{T: {fields: }}", "AM106: fields of type T must hold a field"),
        ("{T: {fields: {x: {local: a.B}}}}", "AM102: arg x has no key 'local'"),
        ("{T: {fields: {x: intt}}}", "AM105: arg x: unknown type 'intt'; did you mean 'int'?"),
        ("{T: {feilds: {x: int}}}", "AM102: type T has no key 'feilds'; did you mean 'fields'?"),
    ],
)
def test_no_types(text: str, problem: str) -> None:
    _, _, found = read(f"states: {{}}\ntypes: {text}")
    assert any(f.startswith(problem) for f in found), found


@pytest.mark.parametrize(
    ("text", "default"),
    [
        ("{type: Level, default: low}", "low"),
        ("{type: Level | None, default: null}", None),
        ("{type: datetime | None, default: ~}", None),
        ("{type: int, default: 5.0}", 5),
        ("{type: int, default: -9223372036854775808}", -(2**63)),
        ("{type: float, default: 3}", 3.0),
        ("{type: str, default: 3}", "3"),
        ("{local: a.B, default: null}", None),
    ],
)
def test_defaults(text: str, default: object) -> None:
    found = arg(text)
    assert found.has_default
    assert (found.default, type(found.default)) == (default, type(default))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{type: datetime, default: '2026-11-24T22:01:00Z'}", "AM106"),
        ("{type: Level, default: null}", "AM106"),
        ("{type: 'list[int]', default: []}", "AM106"),
        ("{type: int, default: 5.5}", "AM106"),
        ("{type: int, default: 9223372036854775808}", "AM106"),
        ("{type: bool, default: 1}", "AM106"),
        ("{local: a.B, default: 1}", "AM106"),
        ("{local: 'os; x'}", "AM106"),
        ("{local: true}", "AM101"),
        ("null", "AM107"),
        ("[int]", "AM101"),
        ("{type: [int]}", "AM101"),
    ],
)
def test_no_args(text: str, code: str) -> None:
    _, _, found = read(f"states: {{A: {{args: {{x: {text}}}}}}}")
    assert [f[:5] for f in found] == [code]
