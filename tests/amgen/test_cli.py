"""The command line: what it prints and how it exits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from amgen.cli import main

REPOSITORY = Path(__file__).parents[2]
LAMP = "machine: Lamp\nextends: [basic]\ngroups: {Light: [Lit, Dark]}\nstates:\n"
LAMP += "  Lit: {doc: It is lit., require: [Start], remove: [$Light]}\n"
LAMP += "  Dark: {doc: It is not., auto: true, remove: [$Light], args: {why: str}}\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "lamp.yaml").write_text(LAMP, "utf-8")
    (tmp_path / "pyproject.toml").write_text('[tool.amgen]\nschemas = "schemas"\noutput = "made"\n', "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args: str) -> Result:
    return CliRunner().invoke(main, list(args))


def test_compile_then_check(project: Path) -> None:
    done = run("compile")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "wrote made/__init__.py\nwrote made/lamp.py\n2 written, 0 removed, 0 unchanged\n"
    assert run("check").exit_code == 0
    assert run("compile").stdout == "0 written, 0 removed, 2 unchanged\n"


def test_check_says_what_differs_and_writes_nothing(project: Path) -> None:
    found = run("check")
    assert found.exit_code == 1
    assert "made/lamp.py: missing" in found.stdout
    assert not (project / "made").exists()
    run("compile")
    path = project / "made" / "lamp.py"
    path.write_text(path.read_text("utf-8") + "# mine\n", "utf-8")
    found = run("check")
    assert found.exit_code == 1
    assert "made/lamp.py: edited" in found.stdout
    assert "-# mine" in found.stdout
    assert run("compile").exit_code == 1
    assert run("compile", "--force").exit_code == 0
    assert run("check").exit_code == 0


def test_check_finds_orphans(project: Path) -> None:
    run("compile")
    (project / "schemas" / "lamp.yaml").rename(project / "schemas" / "door.yaml")
    text = LAMP.replace("Lamp", "Door")
    (project / "schemas" / "door.yaml").write_text(text, "utf-8")
    found = run("check", "--format", "json")
    assert found.exit_code == 1
    files = {f["path"]: f["kind"] for f in json.loads(found.stdout)["files"]}
    assert files == {"made/__init__.py": "stale", "made/door.py": "missing", "made/lamp.py": "orphaned"}
    assert "removed made/lamp.py" in run("compile").stdout


def test_schema_errors_exit_with_2_and_write_nothing(project: Path) -> None:
    (project / "schemas" / "bad.yaml").write_text(
        "machine: Bad\nstates:\n  A: {doc: d, require: [B]}\n", "utf-8"
    )
    done = run("compile")
    assert done.exit_code == 2
    assert done.stderr == (
        "schemas/bad.yaml:3:25: error[AM301]: A: require names unknown state 'B'\n"
        " 3 |   A: {doc: d, require: [B]}\n"
        "   |                         ^\n"
        "1 error, 0 warnings\n"
    )
    assert not (project / "made").exists()
    assert run("check").exit_code == 2
    assert run("graph", "Lamp").exit_code == 2


def test_reports_for_programs(project: Path) -> None:
    (project / "schemas" / "bad.yaml").write_text("machine: Bad\nstates:\n  A: {require: [B]}\n", "utf-8")
    found = run("check", "--format", "json")
    assert found.exit_code == 2
    first = json.loads(found.stdout)["diagnostics"][1]
    assert (first["code"], first["path"], first["line"], first["column"]) == (
        "AM301",
        "schemas/bad.yaml",
        3,
        17,
    )
    found = run("check", "--format", "github")
    assert "::error file=schemas/bad.yaml,line=3,col=17,title=AM301::A%3A require names" in found.stdout
    assert "::warning file=schemas/bad.yaml,line=3,col=3,title=AM311::" in found.stdout


@pytest.mark.parametrize(
    "args",
    [
        ["compil"],
        ["compile", "--nope"],
        ["compile", "nowhere"],
        ["graph"],
        ["graph", "Lanp"],
        ["explain", "Lti"],
    ],
)
def test_wrong_usage_exits_with_3(project: Path, args: list[str]) -> None:
    assert run(*args).exit_code == 3


def test_wrong_usage_says_what_was_meant(project: Path) -> None:
    assert "did you mean 'Lamp'?" in run("graph", "Lanp").stderr
    assert "did you mean 'Lit'?" in run("explain", "Lti").stderr


def test_nothing_to_compile_is_wrong_usage(project: Path) -> None:
    (project / "schemas" / "lamp.yaml").unlink()
    done = run("compile")
    assert (done.exit_code, "holds no .yaml file" in done.stderr) == (3, True)


def test_without_a_table_folders_must_be_given(project: Path) -> None:
    (project / "pyproject.toml").unlink()
    assert run("compile").exit_code == 3
    assert run("compile", "schemas", "-o", "made").exit_code == 0
    assert run("check", "schemas", "-o", "made").exit_code == 0


def test_one_file_leaves_the_others_alone(project: Path) -> None:
    run("compile")
    (project / "schemas" / "door.yaml").write_text(LAMP.replace("Lamp", "Door"), "utf-8")
    done = run("compile", "schemas/door.yaml")
    assert done.stdout == "wrote made/door.py\n1 written, 0 removed, 0 unchanged\n"
    assert run("check", "schemas/door.yaml").exit_code == 0
    assert run("check").exit_code == 1  # the index of the package does not know it


def test_a_file_that_cannot_be_read_is_a_diagnostic(project: Path) -> None:
    (project / "schemas" / "old.yml").write_text(LAMP, "utf-8")
    done = run("compile")
    assert done.exit_code == 2
    assert "schemas/old.yml:1:1: error[AM010]: 'old.yml' would be overlooked" in done.stderr


def test_explain_shows_both_directions_with_places(project: Path) -> None:
    done = run("explain", "Dark")
    assert done.exit_code == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines == [
        "Lamp.Dark: index 8, auto schemas/lamp.yaml:6:3",
        "It is not.",
        "remove Lit (from $Light) schemas/lamp.yaml:6:48",
        "removed by Lit schemas/lamp.yaml:5:53",
        "arg why: str schemas/lamp.yaml:6:64",
        "in group Light schemas/lamp.yaml:3:10",
    ]


def test_graph_of_a_group(project: Path) -> None:
    done = run("graph", "Lamp", "--group", "Light")
    assert done.exit_code == 0
    assert '    s0["Lit"]:::plain\n    s1["Dark"]:::auto\n    s0 x--x|remove| s1\n' in done.stdout
    assert run("graph", "Lamp", "--group", "Ligth").exit_code == 3


def test_graph_near_a_state(project: Path) -> None:
    assert run("graph", "Lamp", "--state", "Dark", "--distance", "0").stdout.count("[") == 1
    near = run("graph", "Lamp", "--state", "Dark").stdout
    assert ('"Lit"' in near, '"Start"' in near) == (True, False)
    assert '"Start"' in run("graph", "Lamp", "--state", "Dark", "--distance", "2").stdout


def test_no_color(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "schemas" / "bad.yaml").write_text("machine: bad\nstates: {}\n", "utf-8")
    assert "\x1b[" in CliRunner().invoke(main, ["compile"], color=True).stderr
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in CliRunner().invoke(main, ["compile"], color=True).stderr


def test_this_repository_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    done = run("check")
    assert (done.exit_code, done.stderr) == (0, ""), done.output
