"""Links within the documentation lead somewhere; diagrams and help texts on a page are the present ones."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from amgen.cli.main import main as am_gen
from asyncmachine.cli.main import main as am_node

ROOT = Path(__file__).parents[2]
PAGES = [
    *("README.md", "CHANGELOG.md", "SECURITY.md"),
    *sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").rglob("*.md")),
]
FENCED = re.compile(r"^(`{3,}).*?^\1[ ]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
DIAGRAM = re.compile(r"<!-- am-gen (graph [^>]+?) -->\n```\w+\n(.*?)```\n<!-- end -->", re.DOTALL)
COMMANDS = {
    "am-node": (am_node, ("map", "supervisor", "worker", "status")),
    "am-gen": (
        am_gen,
        ("compile", "check", "explain", "graph", "grafana", "schema", "verify", "diff", "new", "watch"),
    ),
}


def prose(name: str) -> str:
    return FENCED.sub("", (ROOT / name).read_text("utf-8"))


def anchors(text: str) -> set[str]:
    """Anchors of the headings, as forges make them."""
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in heads}


def broken(name: str) -> list[str]:
    found: list[str] = []
    for target in LINK.findall(prose(name)):
        if target.startswith(("https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        there = file.exists() and file.resolve().is_relative_to(ROOT)
        if not there or (anchor and anchor not in anchors(FENCED.sub("", file.read_text("utf-8")))):
            found.append(target)
    return found


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    assert broken(name) == []


def test_broken_links_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "a.md").write_text(
        "# One two\n[x](#one-two) [y](b.md) [z](a.md#three)\n[w](https://example.org)"
    )
    assert broken("a.md") == ["b.md", "a.md#three"]


def test_diagrams_are_what_the_schemas_say() -> None:
    seen = 0
    for name in PAGES:
        for command, drawn in DIAGRAM.findall((ROOT / name).read_text("utf-8")):
            done = subprocess.run(
                [sys.executable, "-m", "amgen", *command.split()],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=True,
                timeout=50,
            )
            assert drawn == done.stdout, f"{name}: draw it again with `am-gen {command}`"
            seen += 1
    assert seen >= 1


@pytest.mark.parametrize("program", sorted(COMMANDS))
def test_the_page_of_commands_names_each_option(program: str) -> None:
    """docs/manual/cli.md names every command and option there is, and none that is not."""
    page = (ROOT / "docs" / "manual" / "cli.md").read_text("utf-8")
    main, names = COMMANDS[program]
    for name in names:
        helped = CliRunner().invoke(main, [name, "--help"])
        assert helped.exit_code == 0
        options = set(re.findall(r"^\s+(?:-\w, )?(--[a-z-]+)", helped.output, re.MULTILINE)) - {"--help"}
        heading = re.search(rf"^### {program} {name}\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)
        assert heading is not None, f"no heading for {program} {name}"
        told = set(re.findall(r"^\| `(?:-\w, )?(--[a-z-]+)", heading[1], re.MULTILINE))
        assert told == options, f"{program} {name}"


def test_every_command_has_its_place() -> None:
    for main, names in COMMANDS.values():
        assert set(main.list_commands(None)) == set(names)  # type: ignore[arg-type]  # neither looks at it


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def modules(folder: Path) -> set[str]:
    """Modules and packages in *folder*, without the ones in them."""
    return {p.stem for p in folder.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()} - {
        "__init__",
        "__main__",
    }


def test_the_diagram_of_layers_is_complete() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    drawn = re.search(r"<!-- layers -->(.*?)<!-- end -->", page, re.DOTALL)
    assert drawn is not None
    runtime, compiler = drawn[1].split("subgraph compiler")
    assert modules(ROOT / "runtime" / "asyncmachine") - words(runtime) == set()
    assert modules(ROOT / "runtime" / "asyncmachine" / "_core") - words(runtime) == set()
    assert modules(ROOT / "amgen") - words(compiler) == set()
    assert against_the_layers(runtime) == []


def against_the_layers(diagram: str) -> list[tuple[str, str]]:
    """Arrows that do not lead downwards in the import contract of the runtime."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = config["tool"]["importlinter"]["contracts"]
    (layers,) = (c["layers"] for c in contracts if c["id"] == "runtime-exhaustive")
    height = {name: -i for i, layer in enumerate(layers) for name in words(layer)}
    found: list[tuple[str, str]] = []
    for row in diagram.splitlines():
        nodes = [part.split("[")[0].split(":")[0].strip() for part in row.split("-->")]
        arrows = [(a, b) for a, b in pairwise(nodes) if a in height and b in height]
        found += [(a, b) for a, b in arrows if height[a] <= height[b]]
    return found


def test_an_arrow_upwards_is_found() -> None:
    assert against_the_layers('cli --> node["node<br>x"]\nviews --> _core --> machine') == [
        ("_core", "machine")
    ]


def test_the_changelog_knows_the_version() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    versions = re.findall(r"^## (\S+) - \d{4}-\d\d-\d\d$", prose("CHANGELOG.md"), re.MULTILINE)
    assert versions[0] == config["project"]["version"]
    assert f"Version {versions[0]}" in prose("README.md")


def test_files_that_are_named_exist() -> None:
    """A path in backquotes, such as ``node/pool.py``, is there: from the root, or from a package."""
    roots = (ROOT, ROOT / "runtime" / "asyncmachine", ROOT / "runtime", ROOT / "generated")
    for name in ("README.md", "docs/architecture.md", "docs/contributing.md"):
        for path in re.findall(r"`([\w.-]+(?:/[\w.-]+)+/?)`", prose(name)):
            found = [r / p for r in roots for p in (path, f"{path}.py") if (r / p).exists()]
            assert found, f"{name} names {path}"


def test_the_map_of_the_repository_is_complete() -> None:
    """Every folder at the top is in the README's table of where everything is."""
    made = {"build", "dist", "__pycache__"}
    folders = {p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith(".")} - made
    folders = {f for f in folders if not f.endswith(".egg-info")}
    readme = (ROOT / "README.md").read_text("utf-8")
    assert {f for f in folders if f"`{f}/" not in readme} == set()
