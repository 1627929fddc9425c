"""What a state is about."""

from __future__ import annotations

from amgen import compile_tree, view

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
