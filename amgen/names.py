"""What may become a name in generated code, and how any other text becomes a literal.

Nothing else of a schema reaches a template: names are checked against closed grammars here, free
text only ever passes :func:`literal` or :func:`docstring`.
"""

from __future__ import annotations

import keyword
import re
import textwrap
from typing import Final

from amgen.arg_types import WORDS
from asyncmachine.schema import snake_case

__all__ = [
    "CLASS",
    "HANDLER_SUFFIXES",
    "MEMBER",
    "RESERVED_ARGS",
    "RESERVED_CLASSES",
    "RESERVED_TYPES",
    "SNAKE",
    "arg_name",
    "class_name",
    "docstring",
    "literal",
    "member_name",
    "member_value",
    "role_name",
    "text_lines",
    "type_name",
]

# Regular expressions are given as text too, since the JSON Schema says the same things.
CLASS: Final = "[A-Z][A-Za-z0-9]{0,63}"
SNAKE: Final = "[a-z][a-z0-9_]{0,63}"
MEMBER: Final = "[A-Za-z][A-Za-z0-9_.:/-]{0,63}"
_CLASS = re.compile(CLASS + r"\Z")
_SNAKE = re.compile(SNAKE + r"\Z")
_MEMBER = re.compile(MEMBER + r"\Z")
HANDLER_SUFFIXES: Final = ("Enter", "Exit", "State", "End", "Any")

# Names a state may not have: a class attribute of that name would hide what the next line needs.
_HIDING = frozenset({"Any", "ClassVar", "Final", "Literal", "Protocol", "TypeAlias"})
# ``Exception`` is a state of every machine; other names of Python's builtins would only confuse. They are
# written out, so that a schema is valid for every version of Python and on every system, or for none.
_BUILTINS = frozenset(
    """
    ArithmeticError AssertionError AttributeError BaseException BaseExceptionGroup BlockingIOError
    BrokenPipeError BufferError BytesWarning ChildProcessError ConnectionAbortedError ConnectionError
    ConnectionRefusedError ConnectionResetError DeprecationWarning EOFError Ellipsis EncodingWarning
    EnvironmentError ExceptionGroup False FileExistsError FileNotFoundError FloatingPointError FutureWarning
    GeneratorExit IOError ImportCycleError ImportError ImportWarning IndentationError IndexError
    InterruptedError IsADirectoryError KeyError KeyboardInterrupt LookupError MemoryError
    ModuleNotFoundError NameError None NotADirectoryError NotImplemented NotImplementedError OSError
    OverflowError PendingDeprecationWarning PermissionError ProcessLookupError PythonFinalizationError
    RecursionError ReferenceError ResourceWarning RuntimeError RuntimeWarning StopAsyncIteration
    StopIteration SyntaxError SyntaxWarning SystemError SystemExit TabError TimeoutError True TypeError
    UnboundLocalError UnicodeDecodeError UnicodeEncodeError UnicodeError UnicodeTranslateError
    UnicodeWarning UserWarning ValueError Warning WindowsError ZeroDivisionError
    """.split()  # noqa: SIM905 - a list of so many literals would be a page of quotes
)
RESERVED_CLASSES: Final = _BUILTINS | _HIDING
RESERVED_ARGS: Final = frozenset(
    {*WORDS, "self", "decoders", "decode", "encode", "of", "mro", "signature", "states", *keyword.kwlist}
)
# What a generated module imports or defines beside the classes that are named after the machine.
RESERVED_TYPES: Final = RESERVED_CLASSES | {
    *("AbstractContextManager", "Args", "Awaitable", "ClockLike", "Decoder", "Event", "Exception", "Facade"),
    *("Invariant", "Mapping", "Masks", "Precomputed", "Record", "ResultLike", "Schema", "Sequence", "State"),
    *("StrEnum",),
}


def class_name(text: str, what: str) -> str | None:
    """Why *text* cannot name a state, group or machine; None when it can."""
    if not _CLASS.match(text):
        return f"{what} name {text!r} is not CamelCase: a capital, then at most 63 ASCII letters and digits"
    if text in RESERVED_CLASSES:
        return f"{what} name {text!r} is reserved by Python"
    if what == "state" and text.endswith(HANDLER_SUFFIXES):
        suffix = next(s for s in HANDLER_SUFFIXES if text.endswith(s))
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
    if text in RESERVED_ARGS:
        return f"arg name {text!r} is reserved"
    return None


def type_name(text: str) -> str | None:
    """Why *text* cannot name an enum or a record; None when it can."""
    if not _CLASS.match(text):
        return class_name(text, "type")
    if text in RESERVED_TYPES:
        return f"type name {text!r} is reserved by generated modules"
    if text.endswith("Args"):
        return f"type name {text!r} ends with 'Args', which is for the args of states; it is reserved"
    return None


def member_value(text: str) -> str | None:
    """Why *text* cannot be a value of an enum; None when it can."""
    if not _MEMBER.match(text):
        return f"value {text[:80]!r} is not a letter, then at most 63 ASCII letters, digits and _ . : / -"
    return None


def member_name(value: str) -> str:
    """Name of the constant of an enum's value: ``low`` -> ``LOW``, ``text/plain`` -> ``TEXT_PLAIN``."""
    return re.sub(r"[^A-Za-z0-9_]", "_", value).upper()


def role_name(text: str) -> str | None:
    """Why *text* cannot name a role; None when it can."""
    if not _SNAKE.match(text):
        return f"role name {text!r} is not snake_case: an ASCII letter, then at most 63 of a-z, 0-9 and _"
    return None


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
    if not (text.isascii() and text.isprintable()):
        text = "".join(
            c if c.isascii() and c.isprintable() else " " if c.isspace() else ascii(c)[1:-1] for c in text
        )
    words = text.split()
    plain = " ".join(words).replace('"', "'").replace("\\", "\\\\")
    room = width - indent - 6
    lines = textwrap.wrap(plain, room, break_long_words=False, break_on_hyphens=False)
    if len(lines) > 1:
        lines.append("")  # the closing quotes get a line of their own, as docstring checkers want it
    return f"\n{' ' * indent}".join(lines) or "Undocumented."
