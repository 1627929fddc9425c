"""Types of args: a closed grammar, read into a small tree. Nothing of it is ever evaluated.

``bool int float str bytes datetime``, ``list[T]``, ``dict[str, T]``, ``T | None``, and names of enums
and records that are declared under ``types:``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from asyncmachine.errors import did_you_mean

__all__ = ["MAX_TYPE_DEPTH", "SIMPLE", "WORDS", "TypeExpr", "decoder", "named", "parse", "pattern"]

SIMPLE: Final = ("bool", "int", "float", "str", "bytes", "datetime")
WORDS: Final = (*SIMPLE, "list", "dict")
MAX_TYPE_DEPTH: Final = 8

_NAMED = r"[A-Z][A-Za-z0-9]{0,63}"
_IS_NAMED = re.compile(_NAMED + r"\Z")
_HEAD = re.compile(r"[A-Za-z]+\Z")
_OPTIONAL = re.compile(r"(.*)\| *None\Z", re.DOTALL)

Kind: TypeAlias = Literal["simple", "named", "list", "dict", "optional"]


@dataclass(frozen=True, slots=True)
class TypeExpr:
    """One type.

    Attributes:
        name: the word of a simple or a named type, else "".
        item: what a list, a dict or an optional holds.
    """

    kind: Kind
    name: str = ""
    item: TypeExpr | None = None

    def __str__(self) -> str:
        """The annotation, as Python wants it."""
        match self.kind:
            case "list":
                return f"list[{self.item}]"
            case "dict":
                return f"dict[str, {self.item}]"
            case "optional":
                return f"{self.item} | None"
            case _:
                return self.name

    @property
    def base(self) -> TypeExpr:
        """Without the outermost ``| None``."""
        return self.item if self.kind == "optional" and self.item else self


def parse(text: str, depth: int = 0) -> TypeExpr:
    """Read a type.

    Raises:
        ValueError: anything outside of the grammar; the message says what is wrong.
    """
    text = text.strip(" ")
    if depth > MAX_TYPE_DEPTH:
        raise ValueError(f"types are nested more than {MAX_TYPE_DEPTH} deep")
    if match := _OPTIONAL.match(text):
        inner = parse(match[1], depth)
        if inner.kind == "optional":
            raise ValueError("None is given twice")
        return TypeExpr("optional", item=inner)
    if text.startswith("list[") and text.endswith("]"):
        return TypeExpr("list", item=parse(text[5:-1], depth + 1))
    if text.startswith("dict[") and text.endswith("]"):
        key, comma, value = text[5:-1].partition(",")
        if key.strip(" ") != "str" or not comma:
            raise ValueError("a dict is dict[str, T]")
        return TypeExpr("dict", item=parse(value, depth + 1))
    if text in SIMPLE:
        return TypeExpr("simple", text)
    if _IS_NAMED.match(text):
        return TypeExpr("named", text)
    hint = did_you_mean(text, WORDS) if _HEAD.match(text) else ""
    known = f"{', '.join(SIMPLE)}, list[T], dict[str, T], T | None and names under `types:`"
    raise ValueError(f"unknown type {text[:80]!r}{hint or f'; types are {known}'}")


def pattern() -> str:
    """A regular expression, without look-around, that matches exactly what :func:`parse` accepts."""
    optional = r"( *\| *None)?"
    inner = f" *({'|'.join(SIMPLE)}|{_NAMED}){optional} *"
    for _ in range(MAX_TYPE_DEPTH):
        inner = f" *({'|'.join(SIMPLE)}|{_NAMED}|(list\\[|dict\\[ *str *,){inner}\\]){optional} *"
    return f"^{inner}$"


def named(expr: TypeExpr | None) -> Iterator[str]:
    """Names of declared types in *expr*."""
    while expr is not None:
        if expr.kind == "named":
            yield expr.name
        expr = expr.item


def decoder(expr: TypeExpr, kinds: Mapping[str, str]) -> str:
    """The expression that decodes it; *kinds* says of each declared type: ``enum`` or ``record``."""
    if expr.item is not None:
        return f"decode_{expr.kind}({decoder(expr.item, kinds)})"
    if expr.kind == "named":
        return f"decode_{kinds[expr.name]}({expr.name})"
    return f"decode_{expr.name}"
