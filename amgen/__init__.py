"""am-gen, the compiler of asyncmachine: from YAML schemas to typed Python modules.

``compile_tree`` turns texts into texts; ``amgen.write`` puts them on disk or compares them with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncmachine._lazy import lazy

if TYPE_CHECKING:
    from amgen.errors import AmgenError, Diagnostic, Span
    from amgen.pipeline import Outcome, compile_tree

__all__ = ["AmgenError", "Diagnostic", "Outcome", "Span", "compile_tree"]

# Loaded when used: without the extra "gen", the command line can still say what is missing.
__getattr__, __dir__ = lazy(
    __name__,
    {
        "AmgenError": "amgen.errors",
        "Diagnostic": "amgen.errors",
        "Outcome": "amgen.pipeline",
        "Span": "amgen.errors",
        "compile_tree": "amgen.pipeline",
    },
)
