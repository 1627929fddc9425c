"""Values of one shape each, read from nodes: what every part of a document is made of."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final

from amgen import names
from amgen.errors import Report
from amgen.model import Name
from amgen.source import ListNode, MapNode, Node, ScalarNode
from asyncmachine.errors import did_you_mean

__all__ = ["MAX_INT", "Shapes", "is_nothing", "kind", "number", "whole"]

MAX_INT: Final = 2**63 - 1
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?\Z")
_INT = re.compile(r"-?(?:0|[1-9][0-9]{0,18})\Z")


def number(node: Node) -> float | None:
    """A finite number in plain decimal notation, or None."""
    if isinstance(node, ScalarNode) and node.plain and len(node.value) < 400 and _NUMBER.match(node.value):
        value = float(node.value)
        if math.isfinite(value):
            return value
    return None


def whole(node: Node) -> int | None:
    """A whole number within 64 bits, or None; ``5.0`` and ``5e0`` are 5, as for every reader of JSON."""
    if isinstance(node, ScalarNode) and node.plain and _INT.match(node.value):
        value = int(node.value)
    else:
        value = int(near) if (near := number(node)) is not None and near.is_integer() else MAX_INT + 1
    return value if -MAX_INT - 1 <= value <= MAX_INT else None


def is_nothing(node: Node) -> bool:
    """Whether nothing stands there, or YAML's word for it."""
    return isinstance(node, ScalarNode) and node.plain and node.value in ("", "~", "null")


def kind(node: Node) -> str:
    """What stands there, for a message."""
    if isinstance(node, MapNode):
        return "a mapping"
    if isinstance(node, ListNode):
        return "a list"
    if is_nothing(node):
        return "nothing"
    return f"{node.value[:60]!r}" if node.plain else f"the text {node.value[:60]!r}"


def _is_other(node: ScalarNode) -> bool:
    """Whether a reader of YAML would take it for a boolean or a number, of whatever size."""
    return node.plain and (node.value in ("true", "false") or bool(_NUMBER.match(node.value)))


class Shapes:
    """Reads values of one shape each; problems go to the report."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def wrong(self, what: str, wanted: str, node: Node) -> None:
        self.report.error("AM101", f"{what} must be {wanted}, not {kind(node)}", node.span)

    def entries(self, node: Node, what: str) -> Iterator[tuple[ScalarNode, Node]]:
        """Entries of a mapping; nothing at all counts as an empty one."""
        if isinstance(node, MapNode):
            yield from node.entries
        elif not is_nothing(node):
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
                "AM101", f"{what} must be a list such as {hint[:60]}, not {kind(node)}", node.span
            )
            return []
        items: dict[str, ScalarNode] = {}
        for item in node.items:
            if not isinstance(item, ScalarNode) or is_nothing(item):
                self.wrong(f"an item of {what}", "a word", item)
            elif _is_other(item):
                self.unquoted(f"an item of {what}", item)
            elif item.value in items:
                self.report.error("AM106", f"{item.value[:80]!r} is given twice in {what}", item.span)
            else:
                items[item.value] = item
        return list(items.values())

    def text(self, node: Node | None, what: str) -> str | None:
        """A text; nothing at all counts as an empty one."""
        if isinstance(node, ScalarNode):
            return "" if is_nothing(node) else node.value
        if node is not None:
            self.wrong(what, "text", node)
        return None

    def word(self, node: Node | None, what: str) -> str | None:
        """A text that is there, and that no reader of YAML takes for a number or a boolean."""
        if not isinstance(node, ScalarNode) or is_nothing(node):
            if node is not None:
                self.wrong(what, "a word", node)
            return None
        if _is_other(node):
            self.unquoted(what, node)
            return None
        return node.value

    def unquoted(self, what: str, node: ScalarNode) -> None:
        word = node.value[:60]
        text = f"{what} must be a word, which {word} is not for every reader; write {word!r}"
        self.report.error("AM101", text, node.span)

    def flag(self, node: Node | None, what: str) -> bool | None:
        if node is None:
            return None
        if isinstance(node, ScalarNode) and node.plain and node.value in ("true", "false"):
            return node.value == "true"
        self.wrong(what, "true or false", node)
        return None

    def whole(self, node: Node | None, what: str, least: int, most: int) -> int | None:
        if node is None:
            return None
        value = whole(node)
        if value is not None and least <= value <= most:
            return value
        self.wrong(what, f"a whole number from {least} to {most}", node)
        return None

    def name(self, node: ScalarNode, what: str) -> Name | None:
        if problem := names.class_name(node.value, what):
            code = "AM104" if "reserved" in problem or "marks" in problem else "AM103"
            self.report.error(code, problem, node.span)
            return None
        return Name(node.value, node.span)
