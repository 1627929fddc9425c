"""Flags and the ``[tool.amgen]`` table."""

from __future__ import annotations

from pathlib import Path

import pytest

from amgen.config import Config, builtin_folder
from amgen.errors import ConfigError

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "schemas" / "sub").mkdir(parents=True)
    (tmp_path / "schemas" / "sub" / "a.yaml").write_text("machine: A\n", "utf-8")
    table(tmp_path, 'schemas = "schemas"\noutput = "made"\n')
    return tmp_path


def table(folder: Path, text: str) -> None:
    (folder / "pyproject.toml").write_text(f"[tool.amgen]\n{text}", "utf-8")


def test_the_table_is_found_from_below(project: Path) -> None:
    config = Config.load(project / "schemas" / "sub")
    assert (config.schemas, config.output, config.only) == (project / "schemas", project / "made", ())
    assert config.root == project / "schemas"
    assert config.builtin.resolve() == REPOSITORY / "schemas"


def test_flags_win(project: Path) -> None:
    config = Config.load(project, project / "schemas" / "sub", project / "other")
    assert (config.root, config.output) == (project / "schemas" / "sub", project / "other")


def test_one_file_of_the_project_keeps_its_place(project: Path) -> None:
    config = Config.load(project, project / "schemas" / "sub" / "a.yaml")
    assert (config.root, config.only) == (project / "schemas", ("sub/a.yaml",))


def test_one_file_elsewhere_stands_alone(project: Path) -> None:
    (project / "b.yaml").write_text("machine: B\n", "utf-8")
    config = Config.load(project, project / "b.yaml")
    assert (config.root, config.only) == (project, ("b.yaml",))


def test_a_table_without_ours_is_passed_over(project: Path) -> None:
    inner = project / "inner"
    inner.mkdir()
    (inner / "pyproject.toml").write_text("[tool.other]\n", "utf-8")
    assert Config.load(inner).output == project / "made"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('schema = "x"\n', "no key 'schema'; did you mean 'schemas'"),
        ("schemas = 1\n", "schemas under .* must be a path, not 1"),
        ('schemas = ""\n', "must be a path"),
        ('schemas = "../x"\noutput = "made"\n', "schemas under .* leaves the project"),
        ('schemas = "schemas"\noutput = "/tmp/made"\n', "output under .* leaves the project"),
        ('schemas = "schemas"\n', "no output folder"),
        ('output = "made"\n', "no schemas folder"),
        ('schemas = "schemas"\noutput = "json"\n', "hide the module of that name"),
        ('schemas = "schemas"\noutput = "types"\n', "hide the module of that name"),
        ('schemas = "schemas"\noutput = "class"\n', "no package name"),
        ('schemas = "schemas"\noutput = "my-states"\n', "no package name"),
        ("schemas = [\n", "cannot be read"),
    ],
)
def test_wrong_tables(project: Path, text: str, message: str) -> None:
    table(project, text)
    with pytest.raises(ConfigError, match=message):
        Config.load(project)


def test_a_table_that_is_no_table(project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool]\namgen = 1\n", "utf-8")
    with pytest.raises(ConfigError, match="must be a table"):
        Config.load(project)


def test_builtins_are_found() -> None:
    assert (builtin_folder() / "basic.yaml").is_file()
