"""Nodes to a raw document: shapes, keys and names. Knows nothing of other files.

Every problem of a file is collected; a part that is wrong is left out, so that the rest can be
checked too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, get_args

from amgen import names
from amgen.errors import Report, Span
from amgen.model import (
    RELATIONS,
    GroupDoc,
    InvariantDoc,
    Name,
    Relation,
    RoleDoc,
    RpcDoc,
    SchemaDoc,
    StateDoc,
)
from amgen.parse_args import ArgsParser
from amgen.shapes import number, whole
from amgen.source import ListNode, MapNode, Node, ScalarNode
from asyncmachine.errors import did_you_mean
from asyncmachine.schema import Operation, Overflow

__all__ = [
    "GROUP_KEYS",
    "INVARIANT_KEYS",
    "MAX_LIMIT",
    "MAX_TIMEOUT",
    "PARENT",
    "ROOT_KEYS",
    "STATE_KEYS",
    "TAG",
    "VERSION",
    "document",
]

VERSION: Final = 1
"""The newest version of the grammar; a file that says nothing is of version 1."""

ROOT_KEYS: Final = (
    *("version", "machine", "doc", "extends", "roles", "types", "groups", "states"),
    "invariants",
)
STATE_KEYS: Final = (
    *("doc", "auto", "multi", *RELATIONS, "tags", "args", "rpc", "acl_override"),
    *("scope", "limit", "overflow", "timeout", "override", "drop"),
)
GROUP_KEYS: Final = ("doc", "states")
INVARIANT_KEYS: Final = ("never", "implies", "doc")
MAX_LIMIT: Final = 1_000_000
MAX_TIMEOUT: Final = 1e9
PARENT: Final = r"(\.{1,2}/)*[A-Za-z0-9_][A-Za-z0-9_-]*(/[A-Za-z0-9_][A-Za-z0-9_-]*)*"
TAG: Final = r"[A-Za-z0-9_.:/-]{1,64}"
_OPERATIONS: dict[str, Operation] = {o: o for o in get_args(Operation)}
_OVERFLOWS: dict[str, Overflow] = {o: o for o in get_args(Overflow)}
_PARENT = re.compile(PARENT + r"\Z")
_TAG = re.compile(TAG + r"\Z")


def document(root: MapNode, path: str, report: Report) -> SchemaDoc | None:
    """One file, or None when it does not even say which machine it describes."""
    return _Parser(report).document(root, path)


class _Parser(ArgsParser):
    """Reads one document."""

    def document(self, root: MapNode, path: str) -> SchemaDoc | None:
        if not self.supported(root):
            return None  # what another version means by the rest cannot be known
        found = self.fields(root, "a schema", ROOT_KEYS)
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
            types=tuple(self.types(found["types"])) if "types" in found else (),
        )
        return doc if machine else None

    def supported(self, root: MapNode) -> bool:
        node = next((value for key, value in root.entries if key.value == "version"), None)
        if node is None:
            return True
        value = whole(node)
        if value is None or value < 1:
            self.wrong("version", "a whole number from 1 on", node)
        elif value > VERSION:
            known = f"version {VERSION}" if VERSION == 1 else f"versions 1 to {VERSION}"
            text = f"version {value} is newer than this am-gen, which reads {known}; upgrade asyncmachine"
            self.report.error("AM108", text, node.span)
        else:
            return True
        return False

    def machine(self, node: Node | None) -> Name | None:
        if self.word(node, "machine") is not None and isinstance(node, ScalarNode):
            return self.name(node, "machine")
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
            what, doc = f"group {key.value[:80]}", ""
            states: Node | None = value
            if isinstance(value, MapNode):
                found = self.fields(value, what, GROUP_KEYS)
                doc = self.text(found.get("doc"), "doc") or ""
                states = found.get("states")
                if states is None:
                    self.report.error("AM107", f"{what} needs the key 'states'", key.span)
            members = self.references(states, what)
            if name := self.name(key, "group"):
                yield GroupDoc(name, members, doc)

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
        found = self.fields(node, "an invariant", INVARIANT_KEYS)
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
        found = self.fields(node, what, STATE_KEYS)
        relations = self.relations(found, what)
        drop = (
            self.relations(self.fields(found["drop"], f"drop of {what}", RELATIONS), what)
            if "drop" in found
            else {}
        )
        state = StateDoc(
            name=name or Name("", key.span),
            doc=self.text(found.get("doc"), "doc"),
            auto=self.flag(found.get("auto"), "auto"),
            multi=self.flag(found.get("multi"), "multi"),
            relations=relations,
            tags=tuple(self.tags(found.get("tags"))),
            args=tuple(self.args(found["args"], f"args of {what}")) if "args" in found else (),
            rpc=tuple(self.rpc(found["rpc"])) if "rpc" in found else (),
            scope=self.scope(found.get("scope")),
            limit=self.whole(found.get("limit"), "limit", 1, MAX_LIMIT),
            overflow=self.overflow(found.get("overflow")),
            timeout=self.timeout(found.get("timeout")),
            places={key: found[key].span for key in ("limit", "timeout") if key in found},
            override=self.flag(found.get("override"), "override") or False,
            drop=drop,
            acl_override=tuple(self.acl_override(found["acl_override"])) if "acl_override" in found else (),
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

    def scope(self, node: Node | None) -> Name | None:
        text = self.word(node, "scope")
        if node is None or text is None:
            return None
        if problem := names.class_name(text, "state"):
            self.report.error("AM103", problem, node.span)
            return None
        return Name(text, node.span)

    def timeout(self, node: Node | None) -> float | None:
        value = None if node is None else number(node)
        if node is not None and (value is None or not 0 < value <= MAX_TIMEOUT):
            self.wrong("timeout", f"seconds, above 0 and at most {MAX_TIMEOUT:.0f}", node)
            return None
        return value

    def overflow(self, node: Node | None) -> Overflow | None:
        value = self.word(node, "overflow")
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

    def acl_override(self, node: Node) -> Iterator[tuple[Name, str]]:
        for key, value in self.entries(node, "acl_override"):
            reason = self.text(value, f"acl_override of {key.value[:80]}")
            if problem := names.class_name(key.value, "state"):
                self.report.error("AM103", problem, key.span)
            elif reason is not None and not reason.strip():
                text = f"acl_override of {key.value} needs a reason, as text"
                self.report.error("AM106", text, value.span)
            elif reason is not None:
                yield Name(key.value, key.span), reason
