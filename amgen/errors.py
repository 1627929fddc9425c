"""What goes wrong in a compilation: diagnostics are values, collected and sorted, never printed here.

Codes, what they mean and the way out are in ``docs/errors.md``, which ``am-gen explain`` prints: AM0xx the
file as text, AM1xx the shape of a document, AM2xx inheritance, AM3xx the meaning of states and
relations, AM8xx files to write, AM9xx a defect of the compiler itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal
from unicodedata import combining, east_asian_width

from asyncmachine.errors import AsyncMachineError

__all__ = [
    "AmgenError",
    "ConfigError",
    "Diagnostic",
    "Flood",
    "Rejected",
    "Related",
    "Report",
    "Span",
    "WriteError",
    "as_github",
    "as_json",
    "as_text",
    "moved",
]

Severity = Literal["error", "warning"]
EXCERPT: Final = 120
MAX_ERRORS: Final = 1000


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A place in a source file; line and column count from 1, length is in characters."""

    path: str
    line: int = 1
    column: int = 1
    length: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Related:
    """Another place that belongs to a diagnostic, and what is there."""

    span: Span
    message: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing that is wrong, and where.

    Attributes:
        code: ``AM`` and three digits; stable.
        message: names the bad value and the way out.
        related: other places that belong to it.
        severity: an error stops the compilation, a warning does not.
    """

    code: str
    message: str
    span: Span
    related: tuple[Related, ...] = ()
    severity: Severity = "error"


class AmgenError(AsyncMachineError):
    """Root of what the compiler raises."""


class ConfigError(AmgenError):
    """An option or the ``[tool.amgen]`` table is wrong."""


class WriteError(AmgenError):
    """A file could not be written, or is not ours to overwrite."""


class Rejected(AmgenError):
    """A document that cannot be read any further. Carries its diagnostics."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(f"{d.span}: {d.code}: {d.message}" for d in diagnostics))


class Flood(AmgenError):
    """There are more errors than anybody reads; the report says so and is complete enough."""


class Report:
    """Collects the diagnostics of one run.

    Raises:
        Flood: by whatever adds the last error of :data:`MAX_ERRORS`.
    """

    def __init__(self) -> None:
        self._found: dict[Diagnostic, None] = {}
        self._errors = 0

    def error(self, code: str, message: str, span: Span, *related: Related) -> None:
        """Add an error."""
        self._add(Diagnostic(code, message, span, related))

    def warn(self, code: str, message: str, span: Span, *related: Related) -> None:
        """Add a warning."""
        self._add(Diagnostic(code, message, span, related, "warning"))

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Add diagnostics found elsewhere; the same one is kept once."""
        for diagnostic in diagnostics:
            self._add(diagnostic)

    def _add(self, diagnostic: Diagnostic) -> None:
        if diagnostic in self._found:
            return
        self._found[diagnostic] = None
        if diagnostic.severity == "error":
            self._errors += 1
            if self._errors == MAX_ERRORS:
                text = f"{MAX_ERRORS} errors; correct these first, the rest was not looked for"
                self._found[Diagnostic("AM019", text, diagnostic.span)] = None
            if self._errors >= MAX_ERRORS:
                raise Flood

    @property
    def errors(self) -> int:
        """Number of errors so far."""
        return self._errors

    @property
    def failed(self) -> bool:
        """Whether there is an error among them."""
        return self._errors > 0

    def sorted(self) -> tuple[Diagnostic, ...]:
        """All of them, by place, then by code."""
        return tuple(sorted(self._found, key=lambda d: (d.span, d.code, d.message)))


def moved(diagnostic: Diagnostic, move: Callable[[str], str]) -> Diagnostic:
    """The same with all paths changed, for a reader who stands in another folder."""
    related = tuple(replace(r, span=replace(r.span, path=move(r.span.path))) for r in diagnostic.related)
    return replace(
        diagnostic, span=replace(diagnostic.span, path=move(diagnostic.span.path)), related=related
    )


def as_text(diagnostic: Diagnostic, texts: Mapping[str, str]) -> str:
    """``path:line:col: error[AM301]: message``, then the line with a caret, then related places.

    *texts* holds the sources by the paths that the diagnostic names; others are shown without line.
    """
    lines = [f"{diagnostic.span}: {diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}"]
    lines += _excerpt(diagnostic.span, texts)
    for place in diagnostic.related:
        lines += [f"{place.span}: note: {place.message}", *_excerpt(place.span, texts)]
    return "\n".join(lines)


def _excerpt(span: Span, texts: Mapping[str, str]) -> list[str]:
    source = texts.get(span.path, "").split("\n")
    if not (0 < span.line <= len(source) and source[span.line - 1].strip()):
        return []
    whole = source[span.line - 1].replace("\t", " ")
    start = max(0, span.column - 60) if len(whole) > EXCERPT else 0  # a long line is shown around its column
    line = whole[start : start + EXCERPT]
    column = span.column - 1 - start
    marked = line[column : column + span.length]
    number = str(span.line)
    caret = "^" * max(1, _width(marked))
    return [f" {number} | {line}", f" {' ' * len(number)} | {' ' * _width(line[:column])}{caret}"]


def _width(text: str) -> int:
    """Columns of a terminal that *text* takes."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def as_json(diagnostic: Diagnostic) -> dict[str, object]:
    """Plain values with the fields of a diagnostic."""
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        **_place(diagnostic.span),
        "related": [{"message": r.message, **_place(r.span)} for r in diagnostic.related],
    }


def _place(span: Span) -> dict[str, object]:
    return {"path": span.path, "line": span.line, "column": span.column, "length": span.length}


def as_github(diagnostic: Diagnostic) -> str:
    """A workflow command, which GitHub shows at the line in a pull request; related places are named."""
    span = diagnostic.span
    end = span.column + span.length - 1
    place = f"file={_property(span.path)},line={span.line},col={span.column},endColumn={end}"
    notes = [f"{place.span}: {place.message}" for place in diagnostic.related]
    text = _data("\n".join([diagnostic.message, *notes]))
    return f"::{diagnostic.severity} {place},title={diagnostic.code}::{text}"


def _data(text: str) -> str:
    """What GitHub reads as *text* behind ``::``."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """The same for a value in front of it, where commas and colons mean something, too."""
    return _data(text).replace(",", "%2C").replace(":", "%3A")
