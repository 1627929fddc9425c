"""Diagrams for terminals."""

from __future__ import annotations

from collections.abc import Callable

from amgen.graphs.graph import Graph
from amgen.graphs.text import WIDTH, draw

Drawn = Callable[..., Graph]
EXPECTED = """\
Null, 5 states
What it is.

Start  (inherited)
 │  It began.
 └─ required by  Lit

Lit  (auto, multi; in Light)
 │  What it is.
 ├─ require      Start
 ├─ remove       Dark ⇄
 ├─ removed by   ErrX
 └─ followed by  ErrX

Dark  (in Light)
 │  What it is.
 ├─ add          ErrX
 └─ remove       Lit ⇄

ErrX
 │  What it is.
 ├─ remove       Lit
 ├─ after        Lit
 └─ added by     Dark

Exception  (multi, inherited)
    An error happened.
"""


def test_the_whole_text(drawn: Drawn) -> None:
    assert draw(drawn("What it is.")) == EXPECTED


def test_a_part(drawn: Drawn) -> None:
    assert draw(drawn("", "Dark", "ErrX", focus="Dark")) == (
        "Null, 2 of 5 states, around Dark\n\n"
        "Dark  (in Light)\n └─ add          ErrX\n\nErrX\n └─ added by     Dark\n"
    )


def test_for_a_terminal_without_boxes(drawn: Drawn) -> None:
    text = draw(drawn("é"), ascii_only=True)
    assert text.isascii()
    assert " |  \\xe9\n |- remove" not in text
    assert " |  \\xe9\n +- require      Start\n +- remove       Dark *\n" in text


def test_long_lists_and_docs_are_wrapped(drawn: Drawn) -> None:
    lines = draw(drawn("word " * 100)).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert sum("word" in line for line in lines) > 12


def test_docs_cannot_leave_their_lines(drawn: Drawn, payloads: list[str]) -> None:
    """Only lines that begin with a bar are of a doc; names stand at the left edge."""
    names = [line for line in draw(drawn("d")).splitlines()[2:] if line[:1].isalpha()]
    for text in payloads:
        lines = draw(drawn(text)).split("\n")
        assert all(line.isprintable() for line in lines)
        start = lines.index("")
        assert [line for line in lines[start:] if line[:1] not in ("", " ")] == names
