"""Diagnostics as text and data."""

from __future__ import annotations

from pathlib import Path

import pytest

from amgen import compile_tree
from amgen.errors import (
    MAX_ERRORS,
    Diagnostic,
    Flood,
    Related,
    Report,
    Span,
    as_github,
    as_json,
    as_text,
    moved,
)
from amgen.source import read_tree

FOUND = Diagnostic(
    "AM301", "no 'X', 100%\n", Span("a.yaml", 2, 5, 3), (Related(Span("b.yaml", 1, 1, 99), "here"),)
)


def test_text_shows_line_and_caret() -> None:
    assert as_text(FOUND, {"a.yaml": "one\n\tx: abc\n", "b.yaml": "short\n"}).split("\n") == [
        "a.yaml:2:5: error[AM301]: no 'X', 100%",
        "",
        " 2 |  x: abc",
        "   |     ^^^",
        "b.yaml:1:1: note: here",
        " 1 | short",
        "   | ^^^^^",
    ]


def test_text_without_source_is_fine() -> None:
    assert as_text(FOUND, {}).split("\n") == [
        "a.yaml:2:5: error[AM301]: no 'X', 100%",
        "",
        "b.yaml:1:1: note: here",
    ]


def test_long_lines_are_shown_around_their_column() -> None:
    found = Diagnostic("AM101", "m", Span("a.yaml", 1, 1001, 1))
    lines = as_text(found, {"a.yaml": "x" * 1000 + "Y" + "z" * 1000}).split("\n")
    assert lines[1][lines[2].index("^")] == "Y"
    assert len(lines[1]) < 130
    short = as_text(Diagnostic("AM101", "m", Span("a.yaml", 1, 100, 1)), {"a.yaml": "x" * 100})
    assert short.endswith(f"\n 1 | {'x' * 100}\n   | {' ' * 99}^")


def test_the_caret_stands_below_wide_characters() -> None:
    text = {"a.yaml": "\u6f22\u5b57e\u0301: [\U0001f389, x]\n"}
    (_, line, caret) = as_text(Diagnostic("AM101", "m", Span("a.yaml", 1, 11, 1)), text).split("\n")
    assert (line[5 + 10], caret) == ("x", "   | " + " " * 12 + "^")
    assert as_text(Diagnostic("AM101", "m", Span("a.yaml", 1, 1, 2)), text).endswith("   | ^^^^")


def test_github_escapes() -> None:
    assert as_github(FOUND) == (
        "::error file=a.yaml,line=2,col=5,endColumn=7,title=AM301::no 'X', 100%25%0A%0Ab.yaml:1:1: here"
    )
    odd = Diagnostic("AM301", "a: b", Span("a,b:c%.yaml"), severity="warning")
    assert as_github(odd) == "::warning file=a%2Cb%3Ac%25.yaml,line=1,col=1,endColumn=1,title=AM301::a: b"


def test_json_has_all_fields() -> None:
    assert as_json(FOUND) == {
        "code": "AM301",
        "severity": "error",
        "message": "no 'X', 100%\n",
        "path": "a.yaml",
        "line": 2,
        "column": 5,
        "length": 3,
        "related": [{"message": "here", "path": "b.yaml", "line": 1, "column": 1, "length": 99}],
    }


def test_moved_changes_all_paths() -> None:
    there = moved(FOUND, lambda path: f"x/{path}")
    assert (there.span.path, there.related[0].span.path) == ("x/a.yaml", "x/b.yaml")


def test_a_report_is_sorted_and_has_each_thing_once() -> None:
    report = Report()
    report.warn("AM311", "w", Span("b", 1))
    assert not report.failed
    for _ in range(2):
        report.error("AM301", "e", Span("a", 10))
    report.error("AM301", "e", Span("a", 9))
    assert [(d.code, d.span.line) for d in report.sorted()] == [("AM301", 9), ("AM301", 10), ("AM311", 1)]
    assert (report.failed, report.errors) == (True, 2)


def test_the_example_of_the_grammar_compiles() -> None:
    root = Path(__file__).parents[2]
    example = (root / "docs" / "spec" / "schema.md").read_text("utf-8").split("```yaml\n")[1].split("```")[0]
    outcome = compile_tree({"press.yaml": example.encode()}, read_tree(root / "schemas"))
    assert outcome.diagnostics == ()
    assert "class PressingArgs(Args):" in outcome.files["press.py"]


def test_a_flood_of_errors_ends() -> None:
    report = Report()
    for line in range(1, MAX_ERRORS):
        report.error("AM101", "m", Span("a", line))
        report.warn("AM311", "m", Span("a", line))
    with pytest.raises(Flood):
        report.error("AM101", "m", Span("a", MAX_ERRORS))
    assert report.errors == MAX_ERRORS
    assert [d.code for d in report.sorted()][-2:] == ["AM019", "AM101"]
    with pytest.raises(Flood):
        report.extend([Diagnostic("AM101", "other", Span("b"))])
