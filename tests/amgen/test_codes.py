"""The page of error codes: every code is there, and every example fails as the page says.

Examples in YAML are compiled here; those at a command line are played by ``tests/docs/test_blocks.py``.
After an intended change run ``python tests/amgen/test_codes.py`` and read the diff.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from amgen import codes, source
from amgen.errors import as_text
from amgen.pipeline import compile_tree

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "errors.md"
BUILTIN = source.read_tree(ROOT / "schemas")
WITHOUT_EXAMPLE = {"AM901"}  # nobody knows a schema that does it

_SECTION = re.compile(r"^### (AM\d{3}): ([^\n]+)\n(.*?)(?=^###? |\Z)", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r'^```yaml wrong title="([^/"]+)/([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_OUTPUT = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Section:
    """What the page says about one code; ``files`` is empty where the example is at a command line."""

    code: str
    title: str
    text: str
    files: dict[str, bytes]
    folders: set[str]


def read(page: str) -> Iterator[Section]:
    for code, title, text in _SECTION.findall(page):
        found = _FILE.findall(text) if _OUTPUT.search(text) else []
        files = {name: body.encode() for _, name, body in found}
        yield Section(code, title, text, files, {folder for folder, _, _ in found})


SECTIONS = list(read(PAGE.read_text("utf-8")))
COMPILED = [s for s in SECTIONS if s.files]


def printed(section: Section) -> str:
    outcome = compile_tree(section.files, BUILTIN)
    assert section.code in {d.code for d in outcome.diagnostics}, outcome.diagnostics
    return "\n".join(as_text(d, outcome.texts) for d in outcome.diagnostics) + "\n"


def test_every_code_of_the_compiler_is_on_the_page_and_no_other() -> None:
    texts = (p.read_text("utf-8") for p in sorted((ROOT / "amgen").rglob("*.py")))
    used = {code for text in texts for code in re.findall(r"\bAM\d{3}\b", text)}
    documented = [s.code for s in SECTIONS]
    assert documented == sorted(set(documented)), "in order, each once"
    assert set(documented) - used == set(), "on the page, but nowhere in amgen"
    assert used - set(documented) == set(), "add a section to docs/errors.md, with an example that fails"


@pytest.mark.parametrize("section", COMPILED, ids=[s.code for s in COMPILED])
def test_the_example_fails_as_shown(section: Section) -> None:
    shown = _OUTPUT.search(section.text)
    assert shown is not None
    assert printed(section) == shown[1], "run this file to write the page again"
    assert section.folders == {section.code.lower()}


@pytest.mark.parametrize("section", SECTIONS, ids=[s.code for s in SECTIONS])
def test_a_section_says_what_fails_and_the_way_out(section: Section) -> None:
    parts = re.split(r"^```.*?^```$", section.text, flags=re.MULTILINE | re.DOTALL)
    meaning, way_out = parts[0].strip(), parts[-1].strip()
    assert meaning.endswith(".")
    assert way_out.endswith(".")
    if section.code in WITHOUT_EXAMPLE:
        assert len(parts) == 1
    elif not section.files:
        shown = re.findall(r"^```console exit=[123]\n(.*?)^```$", section.text, re.MULTILINE | re.DOTALL)
        assert len(shown) == 1
        assert f"error[{section.code}]" in shown[0]


@pytest.mark.parametrize("section", COMPILED, ids=[s.code for s in COMPILED])
def test_a_warning_is_called_one(section: Section) -> None:
    found = {d.severity for d in compile_tree(section.files, BUILTIN).diagnostics if d.code == section.code}
    assert found == {"warning" if section.title.startswith("warning: ") else "error"}


def test_sections_for_a_terminal() -> None:
    assert list(codes.sections()) == [s.code for s in SECTIONS]
    text = codes.sections()["AM203"]
    assert text.startswith("AM203: parents that disagree\n\nTwo parents say")
    assert "\nbulb.yaml:\n    machine: Bulb\n    states:\n" in text
    assert "    lamp.yaml:2:17: error[AM203]: two parents disagree" in text
    assert not any("```" in one or "](" in one for one in codes.sections().values())


def accept() -> None:
    """Write the outputs of all examples as they are now."""
    page = PAGE.read_text("utf-8")
    for section in COMPILED:
        new = _OUTPUT.sub(lambda _, s=section: f"```text\n{printed(s)}```", section.text)  # type: ignore[misc]
        page = page.replace(section.text, new)
    PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    accept()
