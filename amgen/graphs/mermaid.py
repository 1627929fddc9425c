"""Mermaid flowcharts. Only checked names reach one, so there is no text to escape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from amgen.graphs.graph import Edge, Graph, Node

__all__ = ["draw"]

_ARROWS: Final = {
    "require": "-->|require|",
    "add": "==>|add|",
    "remove": "--x|remove|",
    "after": "-.->|after|",
}
_MUTUAL: Final = "x--x|remove|"
_CLASSES: Final = (
    "classDef plain fill:#eef,stroke:#446,color:#111",
    "classDef auto fill:#efe,stroke:#464,color:#111,stroke-dasharray:4 3",
    "classDef error fill:#fee,stroke:#a44,color:#111",
)
_MARKS: Final = {"inherited": "color:#666", "focus": "stroke-width:4px"}


def draw(graph: Graph) -> str:
    """The text of a flowchart. Multi states have double sides, auto ones a dashed line."""
    return "\n".join(_lines(graph)) + "\n"


def _lines(graph: Graph) -> Iterator[str]:
    # In quotes: a machine may be called No or Null, which YAML reads as something else.
    yield from ("---", f'title: "{graph.title}"', "---", "flowchart LR")
    yield from (f"    {_node(node)}" for node in graph.nodes)
    yield from (f"    {_edge(edge)}" for edge in graph.edges)
    yield from (f"    {line}" for line in _CLASSES)
    for mark, style in _MARKS.items():
        if marked := ",".join(node.id for node in graph.nodes if getattr(node, mark)):
            yield from (f"    classDef {mark} {style}", f"    class {marked} {mark}")


def _node(node: Node) -> str:
    left, right = ("[[", "]]") if node.multi else ("(", ")") if node.auto else ("[", "]")
    return f'{node.id}{left}"{node.name}"{right}:::{node.style}'


def _edge(edge: Edge) -> str:
    arrow = _MUTUAL if edge.mutual else _ARROWS[edge.relation]
    return f"{edge.source} {arrow} {edge.target}"
