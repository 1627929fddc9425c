"""What may become a name in generated code, and how any other text becomes a literal.

Nothing else of a schema reaches a template: names are checked against closed grammars here, free
text only ever passes :func:`literal` or :func:`docstring`.
"""

from __future__ import annotations

import builtins
import keyword
import re
import textwrap

from asyncmachine.errors import did_you_mean
from asyncmachine.schema import snake_case

__all__ = [
    "ARG_TYPES",
    "ArgType",
    "arg_name",
    "arg_type",
    "class_name",
    "docstring",
    "literal",
    "role_name",
    "text_lines",
]

_CLASS = re.compile(r"[A-Z][A-Za-z0-9]{0,63}\Z")
_SNAKE = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_TYPE = re.compile(r"[a-z]+\Z")
_SUFFIXES = ("Enter", "Exit", "State", "End", "Any")
ARG_TYPES = ("bool", "int", "float", "str", "bytes", "list", "dict")
MAX_TYPE_DEPTH = 8

# Names a state may not have: a class attribute of that name would hide what the next line needs.
_HIDING = frozenset({"Any", "ClassVar", "Final", "Literal", "Protocol", "TypeAlias"})
# ``Exception`` is a state of every machine; other exceptions of Python would only confuse.
_BUILTINS = frozenset(n for n in dir(builtins) if _CLASS.match(n)) - {"Exception"}
_ARG_RESERVED = frozenset({*ARG_TYPES, "self", "decoders", "decode", "encode", "of", "mro", "states"})

ArgType = tuple[str, str]
"""Python annotation and decoder expression, both made of fixed words only."""


def class_name(text: str, what: str) -> str | None:
    """Why *text* cannot name a state, group or machine; None when it can."""
    if not _CLASS.match(text):
        return f"{what} name {text!r} is not CamelCase: a capital, then at most 63 ASCII letters and digits"
    if keyword.iskeyword(text) or text in _BUILTINS or text in _HIDING:
        return f"{what} name {text!r} is reserved by Python"
    if what == "state" and text.endswith(_SUFFIXES):
        suffix = next(s for s in _SUFFIXES if text.endswith(s))
        return f"state name {text!r} ends with {suffix!r}, which marks handlers"
    if what == "state" and text.startswith("Any") and text[3:4].isupper():
        return f"state name {text!r} begins with 'Any', which marks global handlers"
    if what == "machine" and keyword.iskeyword(snake_case(text)):
        return f"machine name {text!r} is reserved: a module cannot be called {snake_case(text)!r}"
    return None


def arg_name(text: str) -> str | None:
    """Why *text* cannot name an arg; None when it can."""
    if not _SNAKE.match(text):
        return f"arg name {text!r} is not snake_case: an ASCII letter, then at most 63 of a-z, 0-9 and _"
    if keyword.iskeyword(text) or text in _ARG_RESERVED:
        return f"arg name {text!r} is reserved"
    return None


def role_name(text: str) -> str | None:
    """Why *text* cannot name a role; None when it can."""
    if not _SNAKE.match(text):
        return f"role name {text!r} is not snake_case: an ASCII letter, then at most 63 of a-z, 0-9 and _"
    return None


def arg_type(text: str, depth: int = 0) -> ArgType:
    """Parse ``int``, ``list[T]``, ``dict[str, T]``, ``T | None``.

    Raises:
        ValueError: anything else; the message says what is wrong.
    """
    text = text.strip()
    if depth > MAX_TYPE_DEPTH:
        raise ValueError(f"types are nested more than {MAX_TYPE_DEPTH} deep")
    if text.endswith("None") and text[:-4].rstrip().endswith("|"):
        annotation, decoder = arg_type(text[:-4].rstrip()[:-1], depth + 1)
        if annotation.endswith("| None"):
            raise ValueError("None is given twice")
        return f"{annotation} | None", f"decode_optional({decoder})"
    if text.startswith("list[") and text.endswith("]"):
        annotation, decoder = arg_type(text[5:-1], depth + 1)
        return f"list[{annotation}]", f"decode_list({decoder})"
    if text.startswith("dict[") and text.endswith("]"):
        key, comma, value = text[5:-1].partition(",")
        if key.strip() != "str" or not comma:
            raise ValueError("a dict is dict[str, T]")
        annotation, decoder = arg_type(value, depth + 1)
        return f"dict[str, {annotation}]", f"decode_dict({decoder})"
    if text in ARG_TYPES[:5]:
        return text, f"decode_{text}"
    hint = did_you_mean(text, ARG_TYPES) if _TYPE.match(text) else ""
    known = "bool, int, float, str, bytes, list[T], dict[str, T] and T | None"
    raise ValueError(f"unknown type {text[:80]!r}{hint or f'; types are {known}'}")


def literal(value: str | bytes | float | None) -> str:
    """A Python literal, in ASCII, with the quotes that ruff would choose."""
    if not isinstance(value, str):
        return repr(value)
    # With both quotes in it, ascii() takes single ones and escapes these; undo that to choose anew.
    inner = re.sub(r"\\(.)", lambda m: "'" if m[1] == "'" else m[0], ascii("'\"" + value)[4:-1])
    quote = "'" if value.count('"') > value.count("'") else '"'
    return quote + inner.replace(quote, "\\" + quote) + quote


def text_lines(text: str, width: int) -> list[str]:
    """*text* as literals of at most *width* columns each, to be concatenated implicitly."""
    if len(literal(text)) <= width:
        return [literal(text)]
    lines: list[str] = []
    chunk = ""
    for word in re.findall(r"\S*\s*", text):
        for piece in (
            [word[i : i + 20] for i in range(0, len(word), 20)] if len(word) > width // 4 else [word]
        ):
            if chunk and len(literal(chunk + piece)) > width:
                lines.append(literal(chunk))
                chunk = ""
            chunk += piece
    return [*lines, literal(chunk)]


def docstring(text: str, indent: int, width: int = 110) -> str:
    """The inside of a docstring: readable, and harmless whatever the text.

    White space collapses, double quotes become single ones and backslashes double ones, so the
    text can neither end the string nor escape anything in it. The exact text is in ``State.doc``.
    """
    words = "".join(
        c if c.isascii() and c.isprintable() else " " if c.isspace() else ascii(c)[1:-1] for c in text
    ).split()
    plain = " ".join(words).replace('"', "'").replace("\\", "\\\\")
    room = width - indent - 6
    lines = textwrap.wrap(plain, room, break_long_words=False, break_on_hyphens=False)
    if len(lines) > 1:
        lines.append("")  # the closing quotes get a line of their own, as docstring checkers want it
    return f"\n{' ' * indent}".join(lines) or "Undocumented."
