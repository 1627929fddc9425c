"""How a command says that it was asked for something that cannot be."""

from __future__ import annotations

import click

__all__ = ["Mistake"]


class Mistake(click.ClickException):
    """What was asked for cannot be done: one line says why, nothing was started, the exit code is 2."""

    exit_code = 2
