"""What goes wrong in a compilation: diagnostics are values, collected and sorted, never printed here.

Codes and their meaning are listed in ``docs/spec/schema.md``: AM0xx the file as text, AM1xx the
shape of a document, AM2xx inheritance, AM3xx the meaning of states and relations, AM8xx files to
write, AM9xx a defect of the compiler itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from asyncmachine.errors import AsyncMachineError

__all__ = ["AmgenError", "ConfigError", "Diagnostic", "Rejected", "Related", "Report", "Span", "WriteError"]

Severity = Literal["error", "warning"]


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


class Report:
    """Collects the diagnostics of one run."""

    def __init__(self) -> None:
        self._found: dict[Diagnostic, None] = {}

    def error(self, code: str, message: str, span: Span, *related: Related) -> None:
        """Add an error."""
        self._found[Diagnostic(code, message, span, related)] = None

    def warn(self, code: str, message: str, span: Span, *related: Related) -> None:
        """Add a warning."""
        self._found[Diagnostic(code, message, span, related, "warning")] = None

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Add diagnostics found elsewhere; the same one is kept once."""
        for diagnostic in diagnostics:
            self._found[diagnostic] = None

    @property
    def errors(self) -> int:
        """Number of errors so far."""
        return sum(d.severity == "error" for d in self._found)

    @property
    def failed(self) -> bool:
        """Whether there is an error among them."""
        return any(d.severity == "error" for d in self._found)

    def sorted(self) -> tuple[Diagnostic, ...]:
        """All of them, by place, then by code."""
        return tuple(sorted(self._found, key=lambda d: (d.span, d.code, d.message)))
