"""Without processes; with them: tests/scenarios/test_map_command.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from asyncmachine.cli.main import main
from asyncmachine.cli.map_cmd import _inputs


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["math:sqr", "1"], "has no function 'sqr'; did you mean 'sqrt'"),
        (["no_such_module:f", "1"], "no module named 'no_such_module'"),
        (["math", "1"], "not of the form package.module:function"),
        (["math:sqrt"], "no inputs"),
        (["math:sqrt", "{", "--json"], "input '{' is not JSON"),
        (["math:sqrt", "1", "--supervisor", "nowhere"], "'nowhere' is not HOST:PORT"),
        (["math:sqrt", "1", "--workers", "0"], "0 is not in the range"),
        (["math:sqrt", "1", "--deadline", "0"], "0.0 is not in the range"),
    ],
)
def test_errors_of_usage(args: list[str], says: str) -> None:
    result = CliRunner().invoke(main, ["map", *args])
    assert result.exit_code == 2
    assert says in result.output
    assert "Traceback" not in result.output


def test_inputs_are_arguments_then_matches(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c.log"):
        (tmp_path / name).touch()
    found = _inputs(["x"], [f"{tmp_path}/*.txt"], from_stdin=False, as_json=False)
    assert found == ["x", f"{tmp_path}/a.txt", f"{tmp_path}/b.txt"]


def test_json_inputs() -> None:
    assert _inputs(["1", "[2]", '"x"'], [], False, True) == [1, [2], "x"]
