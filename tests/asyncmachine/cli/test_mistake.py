from __future__ import annotations

import click
from click.testing import CliRunner

from asyncmachine.cli.mistake import Mistake


def test_a_mistake_is_one_line_and_exit_code_two() -> None:
    @click.command()
    def command() -> None:
        raise Mistake("there is no such thing")

    done = CliRunner().invoke(command)
    assert (done.exit_code, done.output) == (2, "Error: there is no such thing\n")
