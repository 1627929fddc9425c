"""What a worker of the census does: measures one Python file."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any


def measure(path: str) -> dict[str, Any]:
    """Counts of one file.

    Returns:
        ``lines``, ``functions``, ``classes``, and ``longest``: ``[lines, name, line]`` of its longest
        function, or None. ``unparsable`` is the reason for a file that is not valid Python, or None: some
        files of the standard library's own tests are broken on purpose.
    """
    source = Path(path).read_bytes()
    found: dict[str, Any] = {
        "lines": source.count(b"\n"),
        "functions": 0,
        "classes": 0,
        "longest": None,
        "unparsable": None,
    }
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError) as error:
        found["unparsable"] = f"{type(error).__name__}: {error}"
        return found
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            found["classes"] += 1
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found["functions"] += 1
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if found["longest"] is None or length > found["longest"][0]:
                found["longest"] = [length, node.name, node.lineno]
    return found
