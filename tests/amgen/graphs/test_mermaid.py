"""Mermaid flowcharts."""

from __future__ import annotations

from collections.abc import Callable

from amgen.graphs.graph import Graph
from amgen.graphs.mermaid import draw

Drawn = Callable[..., Graph]
EXPECTED = """\
---
title: "Null"
---
flowchart LR
    s0["Start"]:::plain
    s1[["Lit"]]:::auto
    s2["Dark"]:::plain
    s3["ErrX"]:::error
    s4[["Exception"]]:::error
    s1 -->|require| s0
    s1 x--x|remove| s2
    s2 ==>|add| s3
    s3 --x|remove| s1
    s3 -.->|after| s1
    classDef plain fill:#eef,stroke:#446,color:#111
    classDef auto fill:#efe,stroke:#464,color:#111,stroke-dasharray:4 3
    classDef error fill:#fee,stroke:#a44,color:#111
    classDef inherited color:#666
    class s0,s4 inherited
    classDef focus stroke-width:4px
    class s1 focus
"""


def test_the_whole_text(drawn: Drawn) -> None:
    assert draw(drawn("d", focus="Lit")) == EXPECTED
    assert draw(drawn("d")) == EXPECTED.partition("    classDef focus")[0]


def test_no_doc_reaches_it(drawn: Drawn, payloads: list[str]) -> None:
    assert {draw(drawn(text)) for text in payloads} == {draw(drawn("d"))}
