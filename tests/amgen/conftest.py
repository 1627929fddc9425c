"""Plain values as YAML, for tests that make documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


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
