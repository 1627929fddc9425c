"""The typed parts of a document: args of states, and the enums and records under ``types:``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from amgen import arg_types, names
from amgen.arg_types import TypeExpr
from amgen.model import ArgDoc, Default, Name, TypeDoc
from amgen.shapes import Shapes, is_nothing, kind, number, whole
from amgen.source import ListNode, MapNode, Node, ScalarNode

__all__ = ["ARG_KEYS", "FIELD_KEYS", "LOCAL", "TYPE_KEYS", "ArgsParser"]

ARG_KEYS: Final = ("type", "default", "doc", "local")
FIELD_KEYS: Final = ("type", "default", "doc")
TYPE_KEYS: Final = ("doc", "enum", "fields")
LOCAL: Final = r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*"
_LOCAL = re.compile(LOCAL + r"\Z")


class ArgsParser(Shapes):
    """Reads args and types. Whether the types that they name exist is checked once all files are known."""

    # -- args -----------------------------------------------------------------------------------

    def args(self, node: Node, what: str, known: tuple[str, ...] = ARG_KEYS) -> Iterator[ArgDoc]:
        for key, value in self.entries(node, what):
            arg = self.arg(key, value, known)
            if arg:
                yield arg

    def arg(self, key: ScalarNode, node: Node, known: tuple[str, ...]) -> ArgDoc | None:
        if problem := names.arg_name(key.value):
            self.report.error("AM104" if "reserved" in problem else "AM103", problem, key.span)
            return None
        name = Name(key.value, key.span)
        if isinstance(node, ScalarNode) and not is_nothing(node):
            return self.typed(name, {"type": node})
        found = self.fields(node, f"arg {name.text}", known)
        if "local" in found and "type" in found:
            self.report.error(
                "AM106", f"arg {name.text} has both type and local; keep one", found["local"].span
            )
        elif "local" in found:
            return self.local(name, found)
        elif "type" in found:
            return self.typed(name, found)
        elif isinstance(node, MapNode) or is_nothing(node):
            self.report.error("AM107", f"arg {name.text} needs a type, such as `type: int`", key.span)
        return None

    def local(self, name: Name, found: Mapping[str, Node]) -> ArgDoc | None:
        path = self.word(found["local"], "local")
        if path is None:
            return None
        if not _LOCAL.match(path):
            self.report.error("AM106", f"local must be a dotted name, not {path[:80]!r}", found["local"].span)
            return None
        doc = self.text(found.get("doc"), "doc") or ""
        anything = TypeExpr("optional", item=TypeExpr("simple", "Any"))
        has_default, default = self.default(anything, found.get("default"))
        return ArgDoc(name, None, doc, has_default, default, path)

    def typed(self, name: Name, found: Mapping[str, Node]) -> ArgDoc | None:
        node = found["type"]
        text = self.word(node, f"type of {name.text}")
        if text is None:
            return None
        try:
            expr = arg_types.parse(text)
        except ValueError as error:
            self.report.error("AM105", f"arg {name.text}: {error}", node.span)
            return None
        doc = self.text(found.get("doc"), "doc") or ""
        has_default, default = self.default(expr, found.get("default"))
        places = {key: found[key].span for key in ("type", "default") if key in found}
        return ArgDoc(name, expr, doc, has_default, default, places=places)

    def default(self, expr: TypeExpr, node: Node | None) -> tuple[bool, Default]:
        """Whether there is a default, and which: an immutable value of the declared type."""
        if node is None:
            return False, None
        base = expr.base
        if isinstance(node, ScalarNode):
            value = node.value
            nothing = is_nothing(node)
            if nothing and expr is not base:
                return True, None
            if not nothing and (base.kind == "named" or base.name == "str"):
                return True, value
            if base.name == "bool" and node.plain and value in ("true", "false"):
                return True, value == "true"
            if base.name == "int" and (integer := whole(node)) is not None:
                return True, integer
            if base.name == "float" and (decimal := number(node)) is not None:
                return True, decimal
        self.report.error("AM106", f"default {kind(node)} is not a plain value of type {expr}", node.span)
        return False, None

    # -- types ----------------------------------------------------------------------------------

    def types(self, node: Node) -> Iterator[TypeDoc]:
        for key, value in self.entries(node, "types"):
            if problem := names.type_name(key.value):
                self.report.error("AM104" if "reserved" in problem else "AM103", problem, key.span)
            elif found := self.type(Name(key.value, key.span), value):
                yield found

    def type(self, name: Name, node: Node) -> TypeDoc | None:
        what = f"type {name.text}"
        found = self.fields(node, what, TYPE_KEYS)
        doc = self.text(found.get("doc"), "doc") or ""
        if "enum" in found and "fields" in found:
            text = f"{what} has both enum and fields; make two types"
            self.report.error("AM106", text, found["fields"].span)
        elif "enum" in found:
            values = list(self.values(found["enum"], f"enum of {what}"))
            places = {value.text: value.span for value, _ in values}
            return TypeDoc(name, "enum", doc, tuple((v.text, text) for v, text in values), places=places)
        elif "fields" in found:
            fields = tuple(self.args(found["fields"], f"fields of {what}", FIELD_KEYS))
            if is_nothing(found["fields"]) or (
                isinstance(found["fields"], MapNode) and not found["fields"].entries
            ):
                text = f"fields of {what} must hold a field, such as {{x: int}}"
                self.report.error("AM106", text, found["fields"].span)
            return TypeDoc(name, "record", doc, fields=fields)
        elif isinstance(node, MapNode) or is_nothing(node):
            text = f"{what} needs the key 'enum', a list of values, or 'fields', typed as args are"
            self.report.error("AM107", text, name.span)
        return None

    def values(self, node: Node, what: str) -> Iterator[tuple[Name, str]]:
        """Values of an enum with their docs: a list, or a mapping of values to docs."""
        entries: list[tuple[ScalarNode, str]]
        if isinstance(node, MapNode):
            entries = [
                (key, self.text(value, f"doc of {key.value[:80]}") or "") for key, value in node.entries
            ]
        else:
            entries = [(item, "") for item in self.scalars(node, what)]
        if isinstance(node, MapNode | ListNode) and not entries:
            self.report.error("AM106", f"{what} must hold a value, such as [low, high]", node.span)
        for key, doc in entries:
            if problem := names.member_value(key.value):
                self.report.error("AM103", problem, key.span)
            else:
                yield Name(key.value, key.span), doc
