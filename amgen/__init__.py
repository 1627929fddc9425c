"""am-gen, the compiler of asyncmachine: from YAML schemas to typed Python modules.

``compile_tree`` turns texts into texts; ``amgen.write`` puts them on disk or compares them with it.
"""

from amgen.errors import AmgenError, Diagnostic, Span
from amgen.pipeline import Outcome, compile_tree

__all__ = ["AmgenError", "Diagnostic", "Outcome", "Span", "compile_tree"]
