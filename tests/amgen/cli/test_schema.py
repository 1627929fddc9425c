"""``am-gen schema``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from amgen import json_schema

Run = Callable[..., Result]


def test_it_prints_the_json_schema(run: Run) -> None:
    done = run("schema")
    assert (done.exit_code, json.loads(done.stdout)) == (0, json_schema.document())


def test_it_writes_a_file_and_says_how_to_use_it(run: Run, project: Path) -> None:
    for _ in range(2):  # its own file is written again
        done = run("schema", "-o", "schemas/schema.json")
        assert done.exit_code == 0
        assert done.stdout == (
            "wrote schemas/schema.json; begin schemas with `# yaml-language-server: $schema=schema.json`\n"
        )
    assert (project / "schemas" / "schema.json").read_text("utf-8") == json_schema.text()
    assert run("compile").exit_code == 0  # the file is in nobody's way


def test_it_does_not_overwrite_what_is_not_its_own(run: Run, project: Path) -> None:
    (project / "package.json").write_text("{}", "utf-8")
    done = run("schema", "-o", "package.json")
    assert done.exit_code == 1
    assert "error[AM801]: package.json is no schema of am-gen" in done.stderr
    assert (project / "package.json").read_text("utf-8") == "{}"


def test_a_folder_that_is_not_there_is_an_error(run: Run, project: Path) -> None:
    done = run("schema", "-o", "nowhere/schema.json")
    assert done.exit_code == 1
    assert "error[AM803]: nowhere/schema.json cannot be written" in done.stderr
