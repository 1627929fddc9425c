"""Nodes to a raw document: shapes, keys and names. Knows nothing of other files.

Every problem of a file is collected; a part that is wrong is left out, so that the rest can be
checked too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import get_args

from amgen import names
from amgen.errors import Report, Span
from amgen.model import (
    RELATIONS,
    ArgDoc,
    Default,
    GroupDoc,
    InvariantDoc,
    Name,
    Relation,
    RoleDoc,
    RpcDoc,
    SchemaDoc,
    StateDoc,
)
from amgen.source import ListNode, MapNode, Node, ScalarNode
from asyncmachine.errors import did_you_mean
from asyncmachine.schema import Operation, Overflow

__all__ = ["document"]

_ROOT_KEYS = ("machine", "doc", "extends", "roles", "groups", "states", "invariants")
_STATE_KEYS = (
    *("doc", "auto", "multi", *RELATIONS, "tags", "args", "rpc"),
    *("scope", "limit", "overflow", "timeout", "override", "drop"),
)
_INVARIANT_KEYS = ("never", "implies", "doc")
_ARG_KEYS = ("type", "default", "doc", "local")
_OPERATIONS: dict[str, Operation] = {o: o for o in get_args(Operation)}
_OVERFLOWS: dict[str, Overflow] = {o: o for o in get_args(Overflow)}
_PARENT = re.compile(r"(?:\.{1,2}/)*[A-Za-z0-9_][A-Za-z0-9_-]*(?:/[A-Za-z0-9_][A-Za-z0-9_-]*)*\Z")
_INT = re.compile(r"-?(?:0|[1-9][0-9]{0,18})\Z")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?(?:[eE][+-]?[0-9]{1,3})?\Z")
_TAG = re.compile(r"[A-Za-z0-9_.:/-]{1,64}\Z")
_IMPORT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*\Z")


def document(root: MapNode, path: str, report: Report) -> SchemaDoc | None:
    """One file, or None when it does not even say which machine it describes."""
    return _Parser(report).document(root, path)


def _kind(node: Node) -> str:
    if isinstance(node, MapNode):
        return "a mapping"
    if isinstance(node, ListNode):
        return "a list"
    return "nothing" if not node.value and node.plain else f"{node.value[:60]!r}"


class _Shapes:
    """Reads values of one shape each; problems go to the report."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def wrong(self, what: str, wanted: str, node: Node) -> None:
        self.report.error("AM101", f"{what} must be {wanted}, not {_kind(node)}", node.span)

    def entries(self, node: Node, what: str) -> Iterator[tuple[ScalarNode, Node]]:
        """Entries of a mapping; nothing at all counts as an empty one."""
        if isinstance(node, MapNode):
            yield from node.entries
        elif not (isinstance(node, ScalarNode) and node.plain and not node.value):
            self.wrong(what, "a mapping", node)

    def fields(self, node: Node, what: str, known: tuple[str, ...]) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for key, value in self.entries(node, what):
            if key.value in known:
                found[key.value] = value
            else:
                hint = did_you_mean(key.value, known) or f"; keys are {', '.join(known)}"
                self.report.error("AM102", f"{what} has no key {key.value[:80]!r}{hint}", key.span)
        return found

    def scalars(self, node: Node | None, what: str) -> list[ScalarNode]:
        """Items of a list of words; the same word twice is an error."""
        if node is None:
            return []
        if not isinstance(node, ListNode):
            hint = f"[{node.value}]" if isinstance(node, ScalarNode) and node.value else "[...]"
            self.report.error(
                "AM101", f"{what} must be a list such as {hint[:60]}, not {_kind(node)}", node.span
            )
            return []
        items: dict[str, ScalarNode] = {}
        for item in node.items:
            if not isinstance(item, ScalarNode):
                self.wrong(f"an item of {what}", "a word", item)
            elif item.value in items:
                self.report.error("AM106", f"{item.value[:80]!r} is given twice in {what}", item.span)
            else:
                items[item.value] = item
        return list(items.values())

    def text(self, node: Node | None, what: str) -> str | None:
        if isinstance(node, ScalarNode):
            return node.value
        if node is not None:
            self.wrong(what, "text", node)
        return None

    def flag(self, node: Node | None, what: str) -> bool | None:
        if node is None:
            return None
        if isinstance(node, ScalarNode) and node.plain and node.value in ("true", "false"):
            return node.value == "true"
        self.wrong(what, "true or false", node)
        return None

    def number(self, node: Node | None, what: str) -> float | None:
        if node is None:
            return None
        if isinstance(node, ScalarNode) and node.plain and _FLOAT.match(node.value):
            value = int(node.value) if _INT.match(node.value) else float(node.value)
            if math.isfinite(value):
                return value
        self.wrong(what, "a number", node)
        return None

    def name(self, node: ScalarNode, what: str) -> Name | None:
        if problem := names.class_name(node.value, what):
            code = "AM104" if "reserved" in problem or "marks" in problem else "AM103"
            self.report.error(code, problem, node.span)
            return None
        return Name(node.value, node.span)


class _Parser(_Shapes):
    """Reads one document."""

    def document(self, root: MapNode, path: str) -> SchemaDoc | None:
        found = self.fields(root, "a schema", _ROOT_KEYS)
        for key in ("machine", "states"):
            if key not in found:
                self.report.error("AM107", f"a schema needs the key {key!r}", root.span)
        machine = self.machine(found.get("machine"))
        states = list(self.states(found["states"])) if "states" in found else []
        doc = SchemaDoc(
            path=path,
            machine=machine or Name("", Span(path)),
            doc=self.text(found.get("doc"), "doc") or "",
            extends=tuple(self.parents(found.get("extends"))),
            roles=tuple(self.roles(found["roles"])) if "roles" in found else (),
            groups=tuple(self.groups(found["groups"])) if "groups" in found else (),
            states=tuple(states),
            invariants=tuple(self.invariants(found.get("invariants"))),
        )
        return doc if machine else None

    def machine(self, node: Node | None) -> Name | None:
        if isinstance(node, ScalarNode):
            return self.name(node, "machine")
        if node is not None:
            self.wrong("machine", "a name", node)
        return None

    def parents(self, node: Node | None) -> Iterator[Name]:
        for item in self.scalars(node, "extends"):
            if _PARENT.match(item.value):
                yield Name(item.value, item.span)
            else:
                text = f"parent {item.value[:80]!r} must be a relative path without .yaml, or a built-in"
                self.report.error("AM208", text, item.span)

    def roles(self, node: Node) -> Iterator[RoleDoc]:
        if isinstance(node, MapNode):
            for key, value in node.entries:
                if role := self.role(key):
                    yield RoleDoc(role, self.operations(value, f"role {role.text}"))
        else:
            for item in self.scalars(node, "roles"):
                if role := self.role(item):
                    yield RoleDoc(role)

    def role(self, node: ScalarNode) -> Name | None:
        if problem := names.role_name(node.value):
            self.report.error("AM103", problem, node.span)
            return None
        return Name(node.value, node.span)

    def operations(self, node: Node, what: str) -> tuple[Operation, ...]:
        found: list[Operation] = []
        for item in self.scalars(node, what):
            match = _OPERATIONS.get(item.value)
            if match is None:
                hint = did_you_mean(item.value, _OPERATIONS) or f"; they are {', '.join(_OPERATIONS)}"
                self.report.error("AM106", f"unknown operation {item.value[:80]!r}{hint}", item.span)
            else:
                found.append(match)
        return tuple(o for o in _OPERATIONS.values() if o in found)

    def groups(self, node: Node) -> Iterator[GroupDoc]:
        for key, value in self.entries(node, "groups"):
            members = self.references(value, f"group {key.value[:80]}")
            if name := self.name(key, "group"):
                yield GroupDoc(name, members)

    def references(self, node: Node | None, what: str) -> tuple[Name, ...]:
        """Names of states or ``$Groups``. Whether they exist is checked once all files are known."""
        found: list[Name] = []
        for item in self.scalars(node, what):
            group = item.value.startswith("$")
            text = item.value.removeprefix("$")
            if problem := names.class_name(text, "group" if group else "state"):
                self.report.error("AM103", problem, item.span)
            else:
                found.append(Name(item.value, item.span))
        return tuple(found)

    # -- invariants -----------------------------------------------------------------------------

    def invariants(self, node: Node | None) -> Iterator[InvariantDoc]:
        if node is None:
            return
        if not isinstance(node, ListNode):
            self.wrong("invariants", "a list such as [{never: [A, B]}]", node)
            return
        for item in node.items:
            if not isinstance(item, MapNode):
                self.wrong("an invariant", "a mapping such as {never: [A, B]}", item)
            elif invariant := self.invariant(item):
                yield invariant

    def invariant(self, node: MapNode) -> InvariantDoc | None:
        found = self.fields(node, "an invariant", _INVARIANT_KEYS)
        doc = self.text(found.get("doc"), "doc") or ""
        if "never" in found and "implies" in found:
            text = "an invariant says either `never` or `implies`; write two"
            self.report.error("AM106", text, found["implies"].span)
        elif "never" in found:
            when = self.together(found["never"], "never")
            return InvariantDoc("never", when, (), doc) if when else None
        elif "implies" in found:
            sides = self.fields(found["implies"], "implies", ("if", "then"))
            for key in ("if", "then"):
                if key not in sides:
                    self.report.error("AM107", f"implies needs the key {key!r}", found["implies"].span)
            when, then = (self.together(sides[k], k) if k in sides else () for k in ("if", "then"))
            return InvariantDoc("implies", when, then, doc) if when and then else None
        else:
            self.report.error("AM107", "an invariant needs the key 'never' or 'implies'", node.span)
        return None

    def together(self, node: Node, what: str) -> tuple[Name, ...]:
        """States that are looked at together, at least one. A group would read as "any of them"."""
        found = self.references(node, what)
        if isinstance(node, ListNode) and not node.items:
            self.report.error("AM106", f"{what} must name a state", node.span)
        for name in found:
            if name.text.startswith("$"):
                text = f"{what} names group {name.text!r}; an invariant names states, one by one"
                self.report.error("AM306", text, name.span)
        return tuple(n for n in found if not n.text.startswith("$"))

    # -- states ---------------------------------------------------------------------------------

    def states(self, node: Node) -> Iterator[StateDoc]:
        for key, value in self.entries(node, "states"):
            state = self.state(key, value)
            if state:
                yield state

    def state(self, key: ScalarNode, node: Node) -> StateDoc | None:
        name = self.name(key, "state")
        what = f"state {key.value[:80]}"
        found = self.fields(node, what, _STATE_KEYS)
        relations = self.relations(found, what)
        drop = (
            self.relations(self.fields(found["drop"], f"drop of {what}", RELATIONS), what)
            if "drop" in found
            else {}
        )
        scope = self.text(found.get("scope"), "scope")
        state = StateDoc(
            name=name or Name("", key.span),
            doc=self.text(found.get("doc"), "doc"),
            auto=self.flag(found.get("auto"), "auto"),
            multi=self.flag(found.get("multi"), "multi"),
            relations=relations,
            tags=tuple(self.tags(found.get("tags"))),
            args=tuple(self.args(found["args"])) if "args" in found else (),
            rpc=tuple(self.rpc(found["rpc"])) if "rpc" in found else (),
            scope=Name(scope, found["scope"].span) if scope is not None else None,
            limit=self.limit(found.get("limit")),
            overflow=self.overflow(found.get("overflow")),
            timeout=self.number(found.get("timeout"), "timeout"),
            places={key: found[key].span for key in ("limit", "timeout") if key in found},
            override=self.flag(found.get("override"), "override") or False,
            drop=drop,
        )
        return state if name else None

    def relations(self, found: Mapping[str, Node], what: str) -> dict[Relation, tuple[Name, ...]]:
        return {r: self.references(found[r], f"{r} of {what}") for r in RELATIONS if r in found}

    def tags(self, node: Node | None) -> Iterator[str]:
        for item in self.scalars(node, "tags"):
            if _TAG.match(item.value):
                yield item.value
            else:
                text = f"tag {item.value[:80]!r} must be at most 64 ASCII letters, digits and _ . : / -"
                self.report.error("AM106", text, item.span)

    def limit(self, node: Node | None) -> int | None:
        value = self.number(node, "limit")
        if value is None or isinstance(value, int):
            return value
        if node is not None:
            self.wrong("limit", "a whole number", node)
        return None

    def overflow(self, node: Node | None) -> Overflow | None:
        value = self.text(node, "overflow")
        if value is None or node is None:
            return None
        match = _OVERFLOWS.get(value)
        if match is None:
            self.wrong("overflow", f"one of {', '.join(_OVERFLOWS)}", node)
        return match

    def rpc(self, node: Node) -> Iterator[RpcDoc]:
        for key, value in self.entries(node, "rpc"):
            operations = self.operations(value, f"rpc of {key.value[:80]}")
            if role := self.role(key):
                yield RpcDoc(role, operations)

    # -- args -----------------------------------------------------------------------------------

    def args(self, node: Node) -> Iterator[ArgDoc]:
        for key, value in self.entries(node, "args"):
            arg = self.arg(key, value)
            if arg:
                yield arg

    def arg(self, key: ScalarNode, node: Node) -> ArgDoc | None:
        if problem := names.arg_name(key.value):
            self.report.error("AM104" if "reserved" in problem else "AM103", problem, key.span)
            return None
        name = Name(key.value, key.span)
        if isinstance(node, ScalarNode):
            return self.typed(name, node, {})
        found = self.fields(node, f"arg {name.text}", _ARG_KEYS)
        if "local" in found and "type" in found:
            self.report.error(
                "AM106", f"arg {name.text} has both type and local; keep one", found["local"].span
            )
        elif "local" in found:
            return self.local(name, found)
        elif "type" in found:
            return self.typed(name, found["type"], found)
        elif isinstance(node, MapNode):
            self.report.error("AM107", f"arg {name.text} needs a type, such as `type: int`", key.span)
        return None

    def local(self, name: Name, found: Mapping[str, Node]) -> ArgDoc | None:
        path = self.text(found["local"], "local")
        if path is not None and not _IMPORT.match(path):
            self.report.error("AM106", f"local must be a dotted name, not {path[:80]!r}", found["local"].span)
            return None
        doc = self.text(found.get("doc"), "doc") or ""
        has_default, default = self.default("Any | None", found.get("default"))
        return ArgDoc(name, "Any", "", doc, has_default, default, path or "")

    def typed(self, name: Name, node: Node, found: Mapping[str, Node]) -> ArgDoc | None:
        text = self.text(node, f"type of {name.text}")
        if text is None:
            return None
        try:
            annotation, decoder = names.arg_type(text)
        except ValueError as error:
            self.report.error("AM105", f"arg {name.text}: {error}", node.span)
            return None
        doc = self.text(found.get("doc"), "doc") or ""
        return ArgDoc(name, annotation, decoder, doc, *self.default(annotation, found.get("default")))

    def default(self, annotation: str, node: Node | None) -> tuple[bool, Default]:
        """Whether there is a default, and which. Only immutable values of the declared type."""
        if node is None:
            return False, None
        kind = annotation.removesuffix(" | None")
        if isinstance(node, ScalarNode):
            value, plain = node.value, node.plain
            if plain and value == "null" and kind != annotation:
                return True, None
            if kind == "str" and not (plain and value in ("", "~", "null")):
                return True, value
            if kind == "bool" and plain and value in ("true", "false"):
                return True, value == "true"
            if kind == "int" and plain and _INT.match(value) and -(2**63) <= int(value) < 2**63:
                return True, int(value)
            if kind == "float" and plain and _FLOAT.match(value) and math.isfinite(float(value)):
                return True, float(value)
        self.report.error(
            "AM106", f"default {_kind(node)} is not a plain value of type {annotation}", node.span
        )
        return False, None
