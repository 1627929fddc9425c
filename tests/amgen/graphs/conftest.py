"""One machine whose states have all properties and relations."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from amgen import compile_tree
from amgen.graphs.graph import Graph, build

TEXT = """
machine: Null
doc: DOC
extends: [base]
groups: {Light: [Lit, Dark]}
states:
  Lit: {doc: DOC, auto: true, multi: true, require: [Start], remove: [$Light]}
  Dark: {doc: DOC, remove: [$Light], add: [ErrX]}
  ErrX: {doc: DOC, after: [Lit], remove: [Lit]}
"""
BASE = b"machine: Base\nstates:\n  Start: {doc: It began.}\n"


@pytest.fixture(scope="session")
def drawn(to_yaml: Callable[[object], bytes]) -> Callable[..., Graph]:
    """``drawn(doc, states, focus=...)``: a diagram of a machine whose docs are that text."""

    def make(doc: str, *states: str, focus: str = "") -> Graph:
        text = TEXT.replace("DOC", to_yaml(doc).decode())
        outcome = compile_tree({"null.yaml": text.encode(), "base.yaml": BASE})
        return build(outcome.compiled["null.yaml"].model, states, focus=focus)

    return make
