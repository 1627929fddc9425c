"""Golden cases: each folder of tests/cases is compiled, and must give what stands in ``expected``.

After an intended change run ``python tests/amgen/test_cases.py`` and read the diff.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from amgen import source
from amgen.errors import as_text
from amgen.pipeline import compile_tree

CASES = Path(__file__).parents[1] / "cases"
BUILTIN = source.read_tree(Path(__file__).parents[2] / "schemas")


def results(folder: Path) -> dict[str, str]:
    """Name of a file in ``expected`` -> its text."""
    outcome = compile_tree(source.read_tree(folder), BUILTIN)
    found = {name: text for name, text in outcome.files.items() if name != "__init__.py"}
    if outcome.diagnostics:
        found["expected.err"] = "\n".join(as_text(d, outcome.texts) for d in outcome.diagnostics) + "\n"
    return found


@pytest.mark.parametrize("name", sorted(p.name for p in CASES.iterdir()))
def test_case(name: str) -> None:
    folder = CASES / name / "expected"
    expected = {p.name: p.read_text("utf-8") for p in sorted(folder.iterdir()) if p.is_file()}
    assert expected, f"run this file to fill {folder}"
    assert results(CASES / name) == expected


def accept() -> None:
    """Make what is compiled now what is expected."""
    for case in sorted(CASES.iterdir()):
        folder = case / "expected"
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for name, text in results(case).items():
            (folder / name).write_text(text, "utf-8")


if __name__ == "__main__":
    accept()
