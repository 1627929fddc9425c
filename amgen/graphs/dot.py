"""DOT, the language of Graphviz."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from amgen.graphs.graph import Edge, Graph, Node, one_line

__all__ = ["draw", "quoted"]

_FILL: Final = {
    "plain": ("#eeeeff", "#444466"),
    "auto": ("#eeffee", "#446644"),
    "error": ("#ffeeee", "#aa4444"),
}
_EDGES: Final[Mapping[str, Mapping[str, str]]] = {
    "require": {"color": "#335599", "arrowhead": "normal"},
    "add": {"color": "#cc7700", "arrowhead": "empty", "penwidth": "2"},
    "remove": {"color": "#8833aa", "arrowhead": "diamond"},
    "after": {"color": "#777777", "arrowhead": "vee", "style": "dashed", "constraint": "false"},
}


def draw(graph: Graph) -> str:
    """The text of a directed graph; docs of states are its tooltips."""
    return "\n".join(_lines(graph)) + "\n"


def quoted(text: str) -> str:
    r"""A DOT string that shows *text* as it is.

    Outside of it nothing can be said without ``"``; inside, ``\N`` or ``&lt;`` would stand for
    something else, so a backslash is doubled and an ampersand written as an entity.
    """
    plain = one_line(text).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
    return f'"{plain}"'


def _attributes(values: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={quoted(value)}" for key, value in values.items())


def _lines(graph: Graph) -> Iterator[str]:
    yield f"digraph {quoted(graph.title)} {{"
    around = {"label": graph.title, "labelloc": "t", "rankdir": "LR", "tooltip": graph.doc or graph.title}
    yield f"  graph [{_attributes({**around, 'fontname': 'Helvetica'})}];"
    yield f"  node [{_attributes({'shape': 'box', 'fontname': 'Helvetica'})}];"
    yield f"  edge [{_attributes({'fontname': 'Helvetica', 'fontsize': '10'})}];"
    yield from (f"  {_node(node)}" for node in graph.nodes)
    yield from (f"  {_edge(edge)}" for edge in graph.edges)
    yield "}"


def _node(node: Node) -> str:
    fill, line = _FILL[node.style]
    values = {
        "label": node.name,
        "style": "filled,rounded,dashed" if node.auto else "filled",
        "fillcolor": fill,
        "color": line,
        "tooltip": node.doc or node.name,
    }
    if node.multi:
        values["peripheries"] = "2"
    if node.inherited:
        values["fontcolor"] = "#666666"
    if node.focus:
        values["penwidth"] = "3"
    return f"{node.id} [{_attributes(values)}];"


def _edge(edge: Edge) -> str:
    values = dict(_EDGES[edge.relation])
    if edge.mutual:
        values |= {"dir": "both", "arrowtail": "diamond"}
    return f"{edge.source} -> {edge.target} [{_attributes({'label': edge.relation, **values})}];"
