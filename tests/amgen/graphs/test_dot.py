"""DOT, and that no text gets out of its quotes."""

from __future__ import annotations

import re
from collections.abc import Callable

from amgen.graphs.dot import draw, quoted
from amgen.graphs.graph import Graph, one_line

Drawn = Callable[..., Graph]
STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"')


def shown(inside: str) -> str:
    """What Graphviz shows for the inside of a string; escapes that mean more are an error."""
    plain = re.sub(r"\\(.)", lambda m: m[1] if m[1] in '"\\' else f"<escape {m[1]}>", inside)
    assert "&" not in plain.replace("&amp;", "")
    return plain.replace("&amp;", "&")


def test_lines(drawn: Drawn) -> None:
    lines = draw(drawn("What it is.", focus="Dark")).splitlines()
    assert lines[0] == 'digraph "Null" {'
    assert lines[-1] == "}"
    assert (
        '  s1 [label="Lit", style="filled,rounded,dashed", fillcolor="#eeffee", color="#446644", '
        'tooltip="What it is.", peripheries="2"];'
    ) in lines
    assert (
        '  s0 [label="Start", style="filled", fillcolor="#eeeeff", color="#444466", '
        'tooltip="It began.", fontcolor="#666666"];'
    ) in lines
    assert (
        '  s1 -> s2 [label="remove", color="#8833aa", arrowhead="diamond", dir="both", arrowtail="diamond"];'
    ) in lines
    assert sum('penwidth="3"' in line for line in lines) == 1
    assert sum("->" in line for line in lines) == 5


def test_a_string_shows_its_text() -> None:
    for text in ('"', "\\", "\\N", "&lt;", 'a "b" \\', "\\\\G", "&amp;amp;", "<b>"):
        match = STRING.fullmatch(quoted(text))
        assert match is not None
        assert shown(match[1]) == text


def test_text_stays_in_its_string(drawn: Drawn, payloads: list[str]) -> None:
    plain = STRING.sub("S", draw(drawn("d")))
    for text in payloads:
        out = draw(drawn(text))
        assert STRING.sub("S", out) == plain
        inside = re.search(r'label="Dark".*tooltip=(' + STRING.pattern + ")", out)
        assert inside is not None
        assert shown(inside[2]) == (one_line(text) or "Dark")
