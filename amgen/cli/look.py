"""``am-gen explain``."""

from __future__ import annotations

from pathlib import Path

import click

from amgen import codes, view
from amgen.cli.load import loaded
from amgen.cli.report import shown
from asyncmachine.errors import did_you_mean

__all__ = ["explain_command"]


@click.command(
    "explain",
    epilog="""\b
Examples:
  am-gen explain Idle                 every machine that has this state
  am-gen explain Idle -m Worker       of one machine
  am-gen explain AM301                what an error means, and the way out""",
)
@click.argument("name", metavar="STATE|CODE")
@click.option("-m", "--machine", help="Of this machine only.")
@click.option(
    "--schemas", type=click.Path(exists=True, path_type=Path), help="Folder of schemas, or one file."
)
def explain_command(name: str, machine: str | None, schemas: Path | None) -> int:
    """Show all relations of STATE, both ways, with the lines that say so; or what an error CODE means."""
    if codes.CODE.match(name):
        if name not in codes.sections():
            raise click.UsageError(f"there is no code {name!r}{did_you_mean(name, codes.sections())}")
        click.echo(codes.sections()[name], nl=False)
        return 0
    state = name
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
