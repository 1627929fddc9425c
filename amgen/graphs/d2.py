"""D2, of Terrastruct."""

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
_EDGES: Final[Mapping[str, str]] = {
    "require": '{style.stroke: "#335599"}',
    "add": '{style.stroke: "#cc7700"; style.stroke-width: 4}',
    "remove": '{style.stroke: "#8833aa"; target-arrowhead.shape: diamond}',
    "after": '{style.stroke: "#777777"; style.stroke-dash: 4}',
}
_MUTUAL: Final = '{style.stroke: "#8833aa"; source-arrowhead.shape: diamond; target-arrowhead.shape: diamond}'


def draw(graph: Graph) -> str:
    """The text of a diagram; docs of states are its tooltips."""
    return "\n".join(_lines(graph)) + "\n"


def quoted(text: str) -> str:
    """A D2 string that shows *text* as it is.

    In single quotes only the quote itself means something; in double ones ``${x}`` would be replaced.
    """
    plain = one_line(text).replace("'", "''")
    return f"'{plain}'"


def _lines(graph: Graph) -> Iterator[str]:
    yield "direction: right"
    yield f"title: {quoted(graph.title)} {{shape: text; near: top-center; style.font-size: 24}}"
    yield from (_node(node) for node in graph.nodes)
    yield from (_edge(edge) for edge in graph.edges)


def _node(node: Node) -> str:
    fill, line = _FILL[node.style]
    fields = [f'style.fill: "{fill}"', f'style.stroke: "{line}"']
    if node.auto:
        fields += ["style.border-radius: 8", "style.stroke-dash: 4"]
    if node.multi:
        fields.append("style.double-border: true")
    if node.inherited:
        fields.append('style.font-color: "#666666"')
    if node.focus:
        fields.append("style.stroke-width: 4")
    if node.doc:
        fields.append(f"tooltip: {quoted(node.doc)}")
    return f"{node.id}: {quoted(node.name)} {{{'; '.join(fields)}}}"


def _edge(edge: Edge) -> str:
    arrow, style = ("<->", _MUTUAL) if edge.mutual else ("->", _EDGES[edge.relation])
    return f"{edge.source} {arrow} {edge.target}: {edge.relation} {style}"
