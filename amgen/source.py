"""Safe YAML: bytes to nodes that know their place. The only importer of the YAML library.

Nothing is constructed: a node is a mapping, a list or the text of a scalar, so ``No`` and ``On``
are names like any other. Aliases, anchors, tags, directives, merge keys and duplicate keys are
errors; sizes and depth are bounded before any node is built.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import yaml

from amgen.errors import Diagnostic, Rejected, Related, Report, Span

__all__ = ["ListNode", "MapNode", "Node", "ScalarNode", "decode", "load", "read_file", "read_tree"]

MAX_BYTES = 1 << 20
MAX_DEPTH = 16
MAX_TEXT = 4096
MAX_FILES = 1000
MAX_WALK = 20_000

# Bidirectional controls reorder what a reviewer sees (CVE-2021-42574).
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_SUSPECT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f" + "".join(sorted(_BIDI)) + "\ufeff]")

# Not blocking: opening a named pipe must fail the check of its kind instead of waiting for a writer.
# No link: what was looked at is what is opened, or nothing is.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """Text, and whether it stood there without quotes."""

    value: str
    plain: bool
    span: Span


@dataclass(frozen=True, slots=True)
class ListNode:
    """Nodes in order."""

    items: tuple[Node, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class MapNode:
    """Entries in order; keys are unique scalars."""

    entries: tuple[tuple[ScalarNode, Node], ...]
    span: Span


Node: TypeAlias = "ScalarNode | ListNode | MapNode"


def _reject(code: str, message: str, span: Span) -> Rejected:
    return Rejected([Diagnostic(code, message, span)])


def read_tree(root: Path) -> dict[str, bytes]:
    """All schema files under *root*: relative POSIX path -> content, sorted.

    Raises:
        Rejected: too many files, a file that is no regular one, is too big, leaves *root* by a
            symbolic link, or would be overlooked because it ends with ``.yml``.
    """
    found: dict[str, bytes] = {}
    problems: list[Diagnostic] = []
    for path in sorted(_walk(root)):
        name = path.relative_to(root).as_posix()
        if path.suffix == ".yml":
            problems.append(
                Diagnostic("AM010", f"{name!r} would be overlooked; rename it to .yaml", Span(name))
            )
            continue
        try:
            found[name] = read_file(path, root)
        except Rejected as error:
            problems += error.diagnostics
    if len(found) > MAX_FILES:
        problems.append(
            Diagnostic("AM010", f"{len(found)} schema files, at most {MAX_FILES} are allowed", Span("."))
        )
    if problems:
        raise Rejected(problems)
    return found


def _walk(root: Path) -> Iterator[Path]:
    seen = 0
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        seen += len(files) + len(folders)
        if seen > MAX_WALK:
            raise _reject(
                "AM010", f"more than {MAX_WALK} files; point am-gen at a folder of schemas", Span(".")
            )
        for linked in [f for f in folders if (Path(folder) / f).is_symlink()]:
            name = (Path(folder) / linked).relative_to(root).as_posix()
            raise _reject(
                "AM010", f"{name!r} is a symbolic link to a folder; these are not followed", Span(name)
            )
        yield from (
            Path(folder) / f for f in files if f.endswith((".yaml", ".yml")) and not f.startswith(".")
        )


def read_file(path: Path, root: Path) -> bytes:
    """The content of one schema file.

    Raises:
        Rejected: not a regular file inside *root*, unreadable, or over 1 MiB.
    """
    name = path.relative_to(root).as_posix()
    span = Span(name)
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(root.resolve(strict=True)):
            raise _reject("AM010", f"{name!r} is a symbolic link out of the folder of schemas", span)
        with os.fdopen(os.open(real, _FLAGS), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _reject("AM010", f"{name!r} is not a regular file", span)
            data = file.read(MAX_BYTES + 1)
    except (OSError, RuntimeError) as error:
        raise _reject(
            "AM010", f"{name!r} cannot be read: {getattr(error, 'strerror', None) or error}", span
        ) from None
    if len(data) > MAX_BYTES:
        raise _reject("AM010", f"{name!r} is over {MAX_BYTES} bytes", span)
    return data


def decode(data: bytes, path: str) -> str:
    """Strict UTF-8 with normalised line ends, free of what misleads a reader.

    Raises:
        Rejected: too big, not UTF-8, or with control or bidirectional characters.
    """
    if len(data) > MAX_BYTES:
        raise _reject("AM010", f"{path!r} is over {MAX_BYTES} bytes", Span(path))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _reject(
            "AM010", f"byte {data[error.start]:#04x} is not UTF-8; save the file as UTF-8", Span(path, line)
        ) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if found := _SUSPECT.search(text):
        line = text.count("\n", 0, found.start()) + 1
        column = found.start() - (text.rfind("\n", 0, found.start()) + 1) + 1
        raise _reject("AM016", _suspect_text(found[0]), Span(path, line, column))
    return text


def _suspect_text(char: str) -> str:
    kind = "bidirectional control" if char in _BIDI else "control"
    return f"{kind} character U+{ord(char):04X} ({unicodedata.name(char, 'unnamed')}) is not allowed"


def load(text: str, path: str, report: Report) -> MapNode:
    """Nodes of the only document of *text*, which must be a mapping.

    A key that is given twice is reported, and the first one kept, so that the rest is checked too.

    Raises:
        Rejected: not YAML, or YAML that is not allowed here.
    """
    builder = _Builder(path, report)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.feed(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        span = Span(path, mark.line + 1, mark.column + 1) if mark else Span(path)
        problem = error.problem or error.context or ""
        if mark and text.split("\n")[mark.line][mark.column : mark.column + 1] == "\t":
            problem = "a tab cannot stand here, indent with spaces"
        # libyaml looks ahead, so its own limit may be met before ours.
        code = "AM014" if "nesting depth" in problem else "AM011"
        raise _reject(code, f"not valid YAML: {problem}", span) from None
    except (yaml.YAMLError, ValueError) as error:
        raise _reject("AM011", f"not valid YAML: {error}", Span(path)) from None
    return builder.result()


class _Builder:
    """Builds nodes from events, iteratively."""

    def __init__(self, path: str, report: Report) -> None:
        self.path, self.report = path, report
        self.roots: list[Node] = []
        self.stack: list[tuple[list[Node], bool, Span]] = []

    def feed(self, event: yaml.Event) -> None:
        """Take the next event."""
        span = self._span(event)
        if isinstance(event, yaml.AliasEvent):
            raise _reject("AM012", f"alias *{event.anchor} is not allowed; write the value out", span)
        if getattr(event, "anchor", None):
            raise _reject("AM012", f"anchor &{event.anchor} is not allowed; write the value out", span)  # type: ignore[attr-defined]
        if getattr(event, "tag", None):
            tag = event.tag.replace("tag:yaml.org,2002:", "!!", 1)  # type: ignore[attr-defined]
            raise _reject("AM013", f"tag {tag} is not allowed; types come from the grammar", span)
        match event:
            case yaml.DocumentStartEvent():
                if event.tags or event.version:
                    raise _reject("AM013", "directives are not allowed", span)
                if self.roots:
                    raise _reject("AM017", "a second document; one file holds one schema", span)
            case yaml.ScalarEvent():
                self._add(self._scalar(event.value, event.style in (None, ""), span))
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                if len(self.stack) >= MAX_DEPTH:
                    raise _reject("AM014", f"nested more than {MAX_DEPTH} deep", span)
                self.stack.append(([], isinstance(event, yaml.MappingStartEvent), span))
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                items, mapping, start = self.stack.pop()
                self._add(self._mapping(items, start) if mapping else ListNode(tuple(items), start))
            case _:
                pass

    def _span(self, event: yaml.Event) -> Span:
        mark, end = event.start_mark, event.end_mark
        if mark is None:
            return Span(self.path)
        length = end.column - mark.column if end is not None and end.line == mark.line else 1
        return Span(self.path, mark.line + 1, mark.column + 1, max(1, length))

    def _scalar(self, value: str, plain: bool, span: Span) -> ScalarNode:
        if len(value) > MAX_TEXT:
            raise _reject("AM018", f"a text of {len(value)} characters, at most {MAX_TEXT} are allowed", span)
        if found := _SUSPECT.search(value):
            raise _reject("AM016", _suspect_text(found[0]), span)
        return ScalarNode(value, plain, span)

    def _add(self, node: Node) -> None:
        (self.stack[-1][0] if self.stack else self.roots).append(node)

    def _mapping(self, items: list[Node], span: Span) -> MapNode:
        entries: dict[str, tuple[ScalarNode, Node]] = {}
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, ScalarNode):
                raise _reject("AM101", "a key is a plain word, not a list or a mapping", key.span)
            if key.value == "<<" and key.plain:
                raise _reject("AM012", "merge keys are not allowed; use extends:", key.span)
            if key.value in entries:
                first = Related(entries[key.value][0].span, "first given here")
                self.report.error("AM015", f"key {key.value[:80]!r} is given twice", key.span, first)
            entries.setdefault(key.value, (key, value))
        return MapNode(tuple(entries.values()), span)

    def result(self) -> MapNode:
        """The root, once all events were fed."""
        root = self.roots[0] if self.roots else None
        if not isinstance(root, MapNode):
            span = root.span if root else Span(self.path)
            raise _reject("AM017", "a schema is a mapping that begins with `machine: Name`", span)
        return root
