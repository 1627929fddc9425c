"""A diagram for a terminal: each state with its relations, both ways."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

from amgen.graphs.graph import Graph, Node, one_line

__all__ = ["draw"]

WIDTH: Final = 100
GLUE: Final = "\u00a0"  # what wrapping does not break at
_PASSIVE: Final = {
    "require": "required by",
    "add": "added by",
    "remove": "removed by",
    "after": "followed by",
}
_ORDER: Final = ("require", "add", "remove", "after", *_PASSIVE.values())
_ASCII: Final = str.maketrans({"├": "+", "└": "+", "─": "-", "│": "|", "⇄": "*"})


def draw(graph: Graph, *, ascii_only: bool = False) -> str:
    """A tree of states. ``⇄`` marks a state that removes this one, too.

    Args:
        graph: what is shown; relations to other states are left out.
        ascii_only: draw with ``+ - | *``, for a terminal that has nothing else. Docs become escapes.
    """
    text = "\n".join(_lines(graph)) + "\n"
    return text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii") if ascii_only else text


def _lines(graph: Graph) -> Iterator[str]:
    whole = len(graph.nodes) == graph.total
    states = f"{graph.total} states" if whole else f"{len(graph.nodes)} of {graph.total} states"
    focus = [node.name for node in graph.nodes if node.focus]
    yield f"{graph.title}, {states}" + (f", around {focus[0]}" if focus else "")
    if graph.doc:
        yield from textwrap.wrap(one_line(graph.doc), WIDTH, break_long_words=False, break_on_hyphens=False)
    related = _related(graph)
    for node in graph.nodes:
        yield ""
        yield from _state(node, related.get(node.id, {}))


def _related(graph: Graph) -> dict[str, dict[str, list[str]]]:
    """Id -> kind of relation -> names, a mutual one marked."""
    names = {node.id: node.name for node in graph.nodes}
    found: dict[str, dict[str, list[str]]] = {}
    for edge in graph.edges:
        mark = f"{GLUE}⇄" if edge.mutual else ""
        back = "remove" if edge.mutual else _PASSIVE[edge.relation]
        found.setdefault(edge.source, {}).setdefault(edge.relation, []).append(names[edge.target] + mark)
        found.setdefault(edge.target, {}).setdefault(back, []).append(names[edge.source] + mark)
    return found


def _state(node: Node, related: dict[str, list[str]]) -> Iterator[str]:
    flags = [f for f, on in (("auto", node.auto), ("multi", node.multi), ("inherited", node.inherited)) if on]
    notes = [", ".join(flags)] if flags else []
    notes += [f"in {', '.join(node.groups)}"] if node.groups else []
    yield node.name + (f"  ({'; '.join(notes)})" if notes else "")
    rows = [(kind, related[kind]) for kind in _ORDER if kind in related]
    bar = "│" if rows else " "
    doc = textwrap.wrap(one_line(node.doc), WIDTH - 4, break_long_words=False, break_on_hyphens=False)
    yield from (f" {bar}  {line}" for line in doc)
    for number, (kind, names) in enumerate(rows):
        last = number == len(rows) - 1
        head = f" {'└' if last else '├'}─ {kind:<12}"
        rest = f" {' ' if last else '│'}  {'':<12}"
        lines = textwrap.wrap(", ".join(names), WIDTH - len(head) - 1, break_long_words=False)
        yield f"{head} {lines[0]}".replace(GLUE, " ")
        yield from (f"{rest} {line}".replace(GLUE, " ") for line in lines[1:])
