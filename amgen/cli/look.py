"""``am-gen explain`` and ``am-gen graph``."""

from __future__ import annotations

from pathlib import Path

import click

from amgen import render, view
from amgen.cli.load import find_machine, loaded
from amgen.cli.report import shown
from asyncmachine.errors import did_you_mean

__all__ = ["explain_command", "graph_command"]


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


@click.command("graph")
@click.argument("machine")
@click.option(
    "--schemas", type=click.Path(exists=True, path_type=Path), help="Folder of schemas, or one file."
)
@click.option(
    "--format", "style", type=click.Choice(["mermaid"]), default="mermaid", help="Language of the diagram."
)
@click.option("--group", help="Only the states of this group.")
@click.option("--state", help="Only this state and what is near it.")
@click.option("--distance", type=click.IntRange(0, 20), default=1, help="How near, in relations.")
def graph_command(
    machine: str, schemas: Path | None, style: str, group: str | None, state: str | None, distance: int
) -> int:
    """Draw MACHINE as a diagram."""
    _, outcome = loaded(schemas)
    one = find_machine(outcome, machine)
    states: tuple[str, ...] = ()
    if group is not None:
        if group not in one.schema.groups:
            raise click.UsageError(
                f"{machine} has no group {group!r}{did_you_mean(group, one.schema.groups)}"
            )
        states = one.schema.groups[group]
    elif state is not None:
        if state not in one.model.states:
            raise click.UsageError(f"{machine} has no state {state!r}{did_you_mean(state, one.model.states)}")
        states = view.neighbours(one.model, state, distance)
    click.echo(render.mermaid(view.graph(one.model, states)), nl=False)
    return 0
