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


def test_explain_says_what_is_promised_of_a_state() -> None:
    text = """machine: M
roles: [guest, owner]
states:
  A: {doc: a, add: [B], rpc: {guest: [add]}, acl_override: {B: it is polite}}
  B: {doc: b, rpc: {owner: [add]}}
invariants:
  - implies: {if: [A], then: [B]}
  - never: [B, Exception]
"""
    outcome = compile_tree({"m.yaml": text.encode()})
    assert view.explain(outcome.compiled["m.yaml"].model, "A")[-3:] == [
        ("  role guest may add", ""),
        ("  may touch B: it is polite", "m.yaml:4:61"),
        ("  invariant implies: {if: [A], then: [B]}", "m.yaml:7:20"),
    ]


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
