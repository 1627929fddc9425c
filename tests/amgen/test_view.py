"""Diagrams, and what a state is about."""

from __future__ import annotations

from amgen import compile_tree, render, view

TEXT = b"""
machine: M
groups: {G: [A, B]}
states:
  A: {doc: d, multi: true, require: [C], remove: [$G]}
  B: {doc: d, auto: true, remove: [$G], add: [ErrX]}
  C: {doc: d, after: [A]}
  ErrX: {doc: d, require: [Exception]}
"""
MODEL = compile_tree({"m.yaml": TEXT}).compiled["m.yaml"].model


def test_the_whole_graph() -> None:
    graph = view.graph(MODEL)
    assert [(name, css) for _, name, css in graph.nodes] == [
        ("A", "multi"),
        ("B", "auto"),
        ("C", "plain"),
        ("ErrX", "error"),
        ("Exception", "error"),
    ]
    assert graph.edges == (
        ("s0", "-->|require|", "s2"),
        ("s0", "x--x|remove|", "s1"),
        ("s1", "==>|add|", "s3"),
        ("s2", "-.->|after|", "s0"),
        ("s3", "-->|require|", "s4"),
    )


def test_a_part_of_the_graph_has_no_loose_ends() -> None:
    graph = view.graph(MODEL, ["A", "C"])
    assert graph.edges == (("s0", "-->|require|", "s1"), ("s1", "-.->|after|", "s0"))


def test_mermaid() -> None:
    text = render.mermaid(view.graph(MODEL, ["B", "ErrX"]))
    assert text.startswith(
        '---\ntitle: M\n---\nflowchart LR\n    s0["B"]:::auto\n    s1["ErrX"]:::error\n    s0 ==>|add| s1\n'
    )


def test_neighbours() -> None:
    assert view.neighbours(MODEL, "B", 0) == ("B",)
    assert view.neighbours(MODEL, "B", 1) == ("A", "B", "ErrX")
    assert view.neighbours(MODEL, "B", 2) == ("A", "B", "C", "ErrX", "Exception")


def test_explain() -> None:
    assert view.explain(MODEL, "A") == [
        ("M.A: index 0, multi", "m.yaml:5:3"),
        ("  d", ""),
        ("  require C", "m.yaml:5:38"),
        ("  remove B (from $G)", "m.yaml:5:51"),
        ("  removed by B", "m.yaml:6:36"),
        ("  followed by C", "m.yaml:7:23"),
        ("  in group G", "m.yaml:3:10"),
    ]
