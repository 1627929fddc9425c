"""What is in a diagram."""

from __future__ import annotations

from amgen import compile_tree
from amgen.graphs.graph import Edge, Node, build, neighbours, one_line

BASE = b"""
machine: Base
states:
  A: {doc: d}
  B: {doc: d}
"""
TEXT = b"""
machine: M
doc: A machine.
extends: [base]
groups: {G: [A, B], H: [B]}
states:
  A: {doc: about a, multi: true, require: [C], remove: [$G, A]}
  C: {doc: d, after: [A], auto: true}
  D: {doc: d, remove: [C], add: [ErrX]}
  ErrX: {doc: d, require: [Exception]}
  Errand: {doc: d}
  E: {doc: d, remove: [B]}
"""
MODEL = (
    compile_tree({"m.yaml": TEXT.replace(b"[$G, A]", b"[$G]"), "base.yaml": BASE}).compiled["m.yaml"].model
)


def test_the_whole_machine() -> None:
    graph = build(MODEL)
    assert (graph.title, graph.doc, graph.total) == ("M", "A machine.", 8)
    assert graph.nodes[:2] == (
        Node("s0", "A", multi=True, doc="about a", groups=("G",)),
        Node("s1", "B", inherited=True, doc="d", groups=("G", "H")),
    )
    assert {n.name: n.style for n in graph.nodes} == {
        **dict.fromkeys(["A", "B", "D", "Errand", "E"], "plain"),
        "C": "auto",
        "ErrX": "error",
        "Exception": "error",
    }
    assert graph.edges == (
        Edge("s0", "require", "s2"),
        Edge("s0", "remove", "s1"),
        Edge("s2", "after", "s0"),
        Edge("s3", "add", "s4"),
        Edge("s3", "remove", "s2"),
        Edge("s4", "require", "s7"),
        Edge("s6", "remove", "s1"),
    )


def test_states_that_remove_each_other_are_joined_once() -> None:
    text = b"machine: M\nstates:\n  A: {doc: d, remove: [B, A]}\n  B: {doc: d, remove: [A]}\n"
    model = compile_tree({"m.yaml": text}).compiled["m.yaml"].model
    assert build(model).edges == (Edge("s0", "remove", "s1", mutual=True),)
    assert build(model, ["B"]).edges == ()


def test_a_part_has_no_loose_ends_and_a_middle() -> None:
    graph = build(MODEL, ["C", "A"], focus="C")
    assert [(n.id, n.name, n.focus) for n in graph.nodes] == [("s0", "A", False), ("s1", "C", True)]
    assert graph.edges == (Edge("s0", "require", "s1"), Edge("s1", "after", "s0"))
    assert graph.total == 8


def test_neighbours() -> None:
    assert neighbours(MODEL, "E", 0) == ("E",)
    assert neighbours(MODEL, "E", 1) == ("B", "E")
    assert neighbours(MODEL, "E", 2) == ("A", "B", "E")
    assert neighbours(MODEL, "E", 20) == ("A", "B", "C", "D", "ErrX", "E", "Exception")


def test_text_is_one_line_that_can_be_printed() -> None:
    assert one_line(" a\n\tb\x85c\u2028d \x00 \u202e é ") == "a b c d \\x00 \\u202e é"
