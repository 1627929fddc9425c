"""``am-gen explain``."""

from __future__ import annotations

from pathlib import Path

import click

from amgen import view
from amgen.cli.load import loaded
from amgen.cli.report import shown
from asyncmachine.errors import did_you_mean

__all__ = ["explain_command"]


@click.command("explain")
@click.argument("state")
@click.option("-m", "--machine", help="Of this machine only.")
@click.option(
    "--schemas", type=click.Path(exists=True, path_type=Path), help="Folder of schemas, or one file."
)
def explain_command(state: str, machine: str | None, schemas: Path | None) -> int:
    """Show all relations of STATE, both ways, with the lines that say so."""
    config, outcome = loaded(schemas)
    chosen = [c for c in outcome.compiled.values() if machine in (None, c.model.name)]
    found = [c for c in chosen if state in c.model.states]
    if not found:
        known = [s for c in chosen for s in c.model.states]
        raise click.UsageError(f"no machine has a state {state!r}{did_you_mean(state, known)}")
    for one in found:
        for text, place in view.explain(one.model, state):
            click.echo(f"{text:<50}  {shown(config, place) if place else ''}".rstrip())
    return 0
