"""Plain values as YAML, and text that wants to be more than text, for tests that make documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


BOMB = "__import__('pathlib').Path('CANARY').touch()"

PAYLOADS = [
    *(f"{q}\n{BOMB}\n{q}" for q in ("'", '"', "'''", '"""', '\\"', "\\'", '\\"""', '""""', "'''\"\"\"'''")),
    *(f"{q}; {BOMB} #" for q in ("'", '"', "'''", '"""', "']", '")', "'})", '"\\', "\\")),
    *(f"x{end}{BOMB}" for end in ("\n", "\n\n", "\t", "\x85", "\u2028", "\u2029")),
    f"{{{{ {BOMB} }}}}",
    f"{{% set x = {BOMB} %}}",
    "{{ cycler.__init__.__globals__.os.system('touch CANARY') }}",
    f"{{# {BOMB} #}}",
    f"{{{BOMB}}}",
    f"${{{BOMB}}}",
    f"%({BOMB})s %s %d",
    "# -*- coding: utf-7 -*-\n+AAo-" + BOMB,
    "coding: utf-7",
    "\\N{BULLET} \\x41 \\u0041 \\101 \\",
    "\\",
    "\\\\",
    '"',
    '""',
    '"""',
    "'",
    "'''",
    " leading and trailing ",
    "",
    "tab\tand\nnewline",
    "é ß 漢 🎉 \u00a0",
    f"-->|x| s0\n{BOMB}",
    f"@{BOMB}",
    f"\\\n{BOMB}",
    "long " * 400 + BOMB,
]


def _flow(value: Any) -> str:
    """YAML in flow style. Not JSON: that writes characters outside of the BMP as two escapes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(v) for v in value) + "]"
    if isinstance(value, str):
        plain = [
            c if c.isascii() and c.isprintable() and c not in '"\\' else f"\\U{ord(c):08X}" for c in value
        ]
        return f'"{"".join(plain)}"'
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)


@pytest.fixture(scope="session")
def to_yaml() -> Callable[[Any], bytes]:
    """``value -> bytes`` of a YAML document."""
    return lambda value: _flow(value).encode()


@pytest.fixture(scope="session")
def bomb() -> str:
    """A Python expression that leaves a file called CANARY in the current folder."""
    return BOMB


@pytest.fixture(scope="session")
def payloads() -> list[str]:
    """Texts that try to end the literal, comment, template or line that they stand in."""
    return PAYLOADS
