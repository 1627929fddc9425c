"""``__all__`` of every module is true: complete, importable, documented. (Ruff sorts it.)"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TREES = {"amgen": ROOT, "asyncmachine": ROOT / "runtime", "amstates": ROOT / "generated"}


def every_module() -> Iterator[tuple[str, Path]]:
    for package, base in TREES.items():
        for path in sorted((base / package).rglob("*.py")):
            name = ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")
            if not name.endswith("__main__"):
                yield name, path


MODULES = dict(every_module())


def defined(tree: ast.Module) -> list[str]:
    """Public classes and functions that the module defines itself."""
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
    ]


@pytest.mark.parametrize("name", MODULES)
def test_all_is_true(name: str) -> None:
    tree = ast.parse(MODULES[name].read_text("utf-8"))
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", None)
    if exported is None:
        assert defined(tree) == [], "a module with public names says so in __all__"
        return
    assert len(set(exported)) == len(exported)
    assert [n for n in defined(tree) if n not in exported] == [], "public, but not in __all__"
    if name == "amstates":
        return  # its __all__ names modules
    missing = [n for n in exported if not hasattr(module, n)]
    assert missing == []


@pytest.mark.parametrize("name", [n for n in MODULES if not n.startswith("amstates.")])
def test_module_and_exports_have_docstrings(name: str) -> None:
    tree = ast.parse(MODULES[name].read_text("utf-8"))
    if tree.body:
        assert ast.get_docstring(tree), "a module says what it is for"
    bare = [
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert bare == []
