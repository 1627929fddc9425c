"""What is in a diagram, in no language yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from amgen.model import RELATIONS, Relation, SchemaModel
from asyncmachine.schema import EXCEPTION

__all__ = ["Edge", "Graph", "Node", "build", "neighbours", "one_line"]

ERROR: Final = "Err"


@dataclass(frozen=True, slots=True)
class Node:
    """One state.

    Attributes:
        id: a short name for languages in which a name could be a keyword.
        error: whether its name says that it stands for a failure.
        inherited: whether only parents say something about it.
        focus: whether the diagram is about it.
        doc: free text; every language escapes it.
    """

    id: str
    name: str
    auto: bool = False
    multi: bool = False
    error: bool = False
    inherited: bool = False
    focus: bool = False
    doc: str = ""
    groups: tuple[str, ...] = ()

    @property
    def style(self) -> str:
        """The one word by which a diagram colours it."""
        return "error" if self.error else "auto" if self.auto else "plain"


@dataclass(frozen=True, slots=True)
class Edge:
    """One relation between two nodes, by their ids; ``mutual`` when both remove each other."""

    source: str
    relation: Relation
    target: str
    mutual: bool = False


@dataclass(frozen=True, slots=True)
class Graph:
    """A machine, or a part of it. ``total`` counts all states of the machine."""

    title: str
    doc: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    total: int


def build(model: SchemaModel, states: Collection[str] = (), *, focus: str = "") -> Graph:
    """A diagram of *states* and of the relations between them; of all states when there are none.

    Two states that remove each other are joined by one line. What a state says about itself is left
    out: removing oneself does nothing.
    """
    shown = [n for n in model.states if not states or n in states]
    ids = {name: f"s{i}" for i, name in enumerate(shown)}
    groups = _groups(model)
    nodes = tuple(_node(model, n, ids[n], groups.get(n, ()), n == focus) for n in shown)
    return Graph(model.name, model.doc, nodes, tuple(_edges(model, ids)), len(model.states))


def _groups(model: SchemaModel) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for group in model.groups.values():
        for member in group.members:
            found[member.text] = (*found.get(member.text, ()), group.name)
    return found


def _node(model: SchemaModel, name: str, node: str, groups: tuple[str, ...], focus: bool) -> Node:
    state = model.states[name]
    return Node(
        id=node,
        name=name,
        auto=state.auto,
        multi=state.multi,
        error=name == EXCEPTION or (name.startswith(ERROR) and not name[3:4].islower()),
        inherited=model.path not in state.origin,
        focus=focus,
        doc=state.doc,
        groups=groups,
    )


def _edges(model: SchemaModel, ids: Mapping[str, str]) -> Iterable[Edge]:
    place = {name: i for i, name in enumerate(ids)}
    for name, node in ids.items():
        for relation in RELATIONS:
            for target in model.states[name].targets(relation):
                if target not in ids or target == name:
                    continue
                mutual = relation == "remove" and name in model.states[target].targets("remove")
                if not mutual or place[name] < place[target]:
                    yield Edge(node, relation, ids[target], mutual)


def neighbours(model: SchemaModel, state: str, distance: int) -> tuple[str, ...]:
    """States that are at most *distance* relations away from *state*, in either direction."""
    linked: dict[str, set[str]] = {name: set() for name in model.states}
    for name, one in model.states.items():
        for target in (t for r in RELATIONS for t in one.targets(r)):
            linked[name].add(target)
            linked[target].add(name)
    found = edge = {state}
    for _ in range(distance):
        edge = {other for name in edge for other in linked[name]} - found
        found = found | edge
    return tuple(name for name in model.states if name in found)


def one_line(text: str) -> str:
    """*text* without line breaks, and with what cannot be printed written out, for any language."""
    words = "".join(c if c.isprintable() else " " if c.isspace() else ascii(c)[1:-1] for c in text).split()
    return " ".join(words)
