"""Sizes and names of the code, and where it may catch everything. Exceptions to it may only shrink."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).parents[2]
Finding: TypeAlias = tuple[str, str, int]

CAPS = {"file lines": 500, "function lines": 60, "class methods": 25, "parameters": 6}
JUNK = {"utils", "helpers", "common", "misc", "tools", "base_utils", "manager"}

# What is over its cap, and by how much it may be: (place, kind) -> size. Never add, never raise.
ALLOWED: dict[tuple[str, str], int] = {}

# The places that may catch every Exception, and why.
BROAD_EXCEPT = {
    "runtime/asyncmachine/_core/phases.py",  # the call of a handler: a failure becomes a state
    "runtime/asyncmachine/_core/trace.py",  # the tracer fan-out: a raising tracer is detached
    "runtime/asyncmachine/_core/waits.py",  # a query of the user: its failure goes to who waits
    "runtime/asyncmachine/_perform.py",  # the call of an async handler
    "runtime/asyncmachine/node/fleet.py",  # the user's iterator of inputs
    "runtime/asyncmachine/node/functions.py",  # the user's work function
    "runtime/asyncmachine/node/supervisor.py",  # the launch
    "runtime/asyncmachine/rpc/transport.py",  # the connection loop
}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def sizes(where: str, text: str) -> Iterator[Finding]:
    """Everything of a file that is over its cap."""
    tree = ast.parse(text)
    if Path(where).stem in JUNK:
        yield where, "junk-drawer name", 1
    if (lines := text.count("\n")) > CAPS["file lines"]:
        yield where, "file lines", lines
    for node in functions(tree):
        doc = ast.get_docstring(node, clean=False)
        assert node.end_lineno is not None
        size = node.end_lineno - node.lineno + 1 - (doc.count("\n") + 1 if doc else 0)
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        args = [a for a in every if a.arg not in ("self", "cls")]
        if size > CAPS["function lines"]:
            yield f"{where}:{node.name}", "function lines", size
        if len(args) > CAPS["parameters"]:
            yield f"{where}:{node.name}", "parameters", len(args)
    for cls in (n for n in ast.walk(tree) if isinstance(n, ast.ClassDef)):
        count = sum(isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) for n in cls.body)
        if count > CAPS["class methods"]:
            yield f"{where}:{cls.name}", "class methods", count


def broad_excepts(text: str) -> Iterator[tuple[int, str]]:
    """Line and name of every handler that catches Exception, BaseException, or all."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ExceptHandler):
            names = {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)} if node.type else {"all"}
            for name in names & {"Exception", "BaseException", "all"}:
                yield node.lineno, name


def reraises(text: str, line: int) -> bool:
    """Whether the handler at *line* ends with a bare ``raise``."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ExceptHandler) and node.lineno == line:
            last = node.body[-1]
            return isinstance(last, ast.Raise) and last.exc is None
    return False


def verdict(found: list[Finding], allowed: dict[tuple[str, str], int]) -> tuple[list[Finding], list[object]]:
    """What is over what was allowed, and what was allowed but is not needed, or not so much of it."""
    now: dict[tuple[str, str], int] = {}
    for where, kind, size in found:
        now[where, kind] = max(size, now.get((where, kind), 0))
    over = [(w, k, n) for (w, k), n in now.items() if n > allowed.get((w, k), 0)]
    return over, [x for x in allowed if x not in now]


def sources() -> Iterator[tuple[str, str]]:
    for folder in ("amgen", "runtime", "benchmarks", "examples"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8")


def test_sizes_and_names() -> None:
    over, stale = verdict([f for where, text in sources() for f in sizes(where, text)], ALLOWED)
    assert over == []
    assert stale == [], "no longer needed in ALLOWED"


def test_everything_is_caught_only_where_it_is_allowed() -> None:
    found = [
        f"{where}:{line} catches {name}"
        for where, text in sources()
        for line, name in broad_excepts(text)
        if not reraises(text, line) and (where not in BROAD_EXCEPT or name != "Exception")
    ]
    assert found == []


def test_sizes_are_measured() -> None:
    long = "def f():\n" + "    x = 1\n" * 60
    many = "class C:\n" + "".join(f"    def m{i}(self): ...\n" for i in range(26))
    wide = "def g(self, a, b, c, /, d, e, *, f, g): ...\n"
    documented = 'def f():\n    """' + "\n" * 80 + '"""\n'
    assert list(sizes("a/x.py", long)) == [("a/x.py:f", "function lines", 61)]
    assert list(sizes("a/x.py", many)) == [("a/x.py:C", "class methods", 26)]
    assert list(sizes("a/x.py", wide)) == [("a/x.py:g", "parameters", 7)]
    assert list(sizes("a/x.py", documented)) == []
    assert list(sizes("a/utils.py", "\n" * 501)) == [
        ("a/utils.py", "junk-drawer name", 1),
        ("a/utils.py", "file lines", 501),
    ]


def test_broad_excepts_are_seen() -> None:
    text = (
        "try: x\nexcept (ValueError, Exception): y\n"
        "try: x\nexcept: y\n"
        "try: x\nexcept BaseException:\n    raise\n"
    )
    assert list(broad_excepts(text)) == [(2, "Exception"), (4, "all"), (6, "BaseException")]
    assert [reraises(text, n) for n in (2, 4, 6)] == [False, False, True]


def test_verdict_is_a_ratchet() -> None:
    found = [("a.py", "file lines", 600)]
    assert verdict(found, {}) == (found, [])
    assert verdict(found, {("a.py", "file lines"): 600}) == ([], [])
    assert verdict(found, {("a.py", "file lines"): 599}) == (found, [])
    assert verdict([], {("a.py", "file lines"): 600}) == ([], [("a.py", "file lines")])
