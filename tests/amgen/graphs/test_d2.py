"""D2, and that no text gets out of its quotes."""

from __future__ import annotations

import re
from collections.abc import Callable

from amgen.graphs.d2 import draw, quoted
from amgen.graphs.graph import Graph, one_line

Drawn = Callable[..., Graph]
STRING = re.compile(r"'((?:[^'\n]|'')*)'")


def test_lines(drawn: Drawn) -> None:
    lines = draw(drawn("What it is.", focus="Dark")).splitlines()
    assert lines[:2] == [
        "direction: right",
        "title: 'Null' {shape: text; near: top-center; style.font-size: 24}",
    ]
    assert (
        """s1: 'Lit' {style.fill: "#eeffee"; style.stroke: "#446644"; style.border-radius: 8; """
        """style.stroke-dash: 4; style.double-border: true; tooltip: 'What it is.'}"""
    ) in lines
    assert (
        """s2: 'Dark' {style.fill: "#eeeeff"; style.stroke: "#444466"; style.stroke-width: 4; """
        """tooltip: 'What it is.'}"""
    ) in lines
    assert 's3 -> s1: after {style.stroke: "#777777"; style.stroke-dash: 4}' in lines
    assert sum("<->" in line for line in lines) == 1


def test_a_string_shows_its_text() -> None:
    assert quoted('it\'s ${x} \\ "y"\nz') == "'it''s ${x} \\ \"y\" z'"


def test_text_stays_in_its_string(drawn: Drawn, payloads: list[str]) -> None:
    plain = STRING.sub("S", draw(drawn("d")))
    for text in payloads:
        out = draw(drawn(text))
        inside = re.search(r"s2: 'Dark'.*tooltip: " + STRING.pattern + "}", out)
        if one_line(text):
            assert STRING.sub("S", out) == plain
            assert inside is not None
            assert inside[1].replace("''", "'") == one_line(text)
        else:
            assert inside is None
