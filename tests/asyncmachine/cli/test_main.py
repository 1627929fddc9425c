from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import click
import pytest
from click.testing import CliRunner

from asyncmachine.cli.main import main

COMMANDS = ["map", "supervisor", "worker", "status"]


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    listed = [
        line.split()[0] for line in result.output.partition("Commands:")[2].splitlines() if line.strip()
    ]
    assert listed == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_help(name: str) -> None:
    result = CliRunner().invoke(main, [name, "-h"])
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: main {name} ")
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.name == name


def test_a_command_that_does_not_exist() -> None:
    result = CliRunner().invoke(main, ["mapp"])
    assert result.exit_code == 2
    assert "No such command 'mapp'" in result.output


def test_no_command_shows_the_help() -> None:
    result = CliRunner().invoke(main, [])
    assert "Commands:" in result.output
    assert "A first try" in result.output


def test_version() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert result.exit_code == 0
    assert version("asyncmachine") in result.output


def test_commands_are_loaded_when_they_are_used() -> None:
    """In a process of its own, since this one has loaded them already."""
    code = """
import sys
from asyncmachine.cli.main import main
assert main.list_commands(None) == ["map", "supervisor", "worker", "status"]
loaded = [m for m in sys.modules if m.startswith("asyncmachine.") and not m.startswith("asyncmachine.cli")]
assert "asyncmachine.node.supervisor" not in loaded and "asyncmachine.node.client" not in loaded, loaded
assert "asyncmachine.cli.map_cmd" not in sys.modules and "asyncmachine.cli.node_cmds" not in sys.modules
assert main.get_command(None, "status").name == "status"
assert "asyncmachine.cli.node_cmds" in sys.modules and "asyncmachine.cli.map_cmd" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
