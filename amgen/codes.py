"""What the codes of diagnostics mean: the sections of ``docs/errors.md``, which are also help texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from amgen.errors import ConfigError

__all__ = ["CODE", "page", "sections"]

CODE: Final = re.compile(r"AM[0-9]{3}\Z")
_SECTION = re.compile(r"^### (?P<code>AM[0-9]{3}): .*?(?=^###? |\Z)", re.MULTILINE | re.DOTALL)
_TITLE = re.compile(r'^```[a-z]+ (?:wrong )?title="[^"/]*/(?P<name>[^"]*)"$', re.MULTILINE)


def page() -> str:
    """The whole page, which is part of the installation.

    Raises:
        ConfigError: it is missing.
    """
    package = Path(__file__).resolve().parent
    for path in (package / "errors.md", package.parent / "docs" / "errors.md"):
        if path.is_file():
            return path.read_text("utf-8")
    raise ConfigError(f"{package} has no file 'errors.md'; install asyncmachine again")


@cache
def sections() -> Mapping[str, str]:
    """Code -> its section for a terminal, in order: files are named in front of what is in them."""
    found = {m["code"]: m[0] for m in _SECTION.finditer(page())}
    return {code: _plain(text) for code, text in found.items()}


def _plain(text: str) -> str:
    text = _TITLE.sub(lambda m: f"{m['name']}:\n```", text).removeprefix("### ")
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("```"):
            inside = not inside
        else:
            lines.append(f"    {line}".rstrip() if inside else re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", line))
    return "\n".join(lines).strip() + "\n"
