"""``am-gen graph``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from amgen import write
from amgen.cli.load import find_machine, loaded
from amgen.cli.report import near
from amgen.graphs import d2, dot, graph, mermaid, svg, text
from amgen.graphs.graph import Graph
from amgen.model import SchemaModel
from asyncmachine.errors import did_you_mean

__all__ = ["graph_command"]

_STYLES: Mapping[str, Callable[[Graph], str]] = {
    "mermaid": mermaid.draw,
    "dot": dot.draw,
    "d2": d2.draw,
    "svg": svg.draw,
    "text": text.draw,
}


@click.command(
    "graph",
    epilog="""\b
Examples:
  am-gen graph Lamp                        a Mermaid flowchart, for Markdown
  am-gen graph Lamp --format text          to read in a terminal
  am-gen graph Lamp --format svg -o lamp.svg
  am-gen graph Worker --group WorkStatus   the states of one group
  am-gen graph Worker --state Idle --distance 2""",
)
@click.argument("machine")
@click.option(
    "--schemas", type=click.Path(exists=True, path_type=Path), help="Folder of schemas, or one file."
)
@click.option(
    "--format",
    "style",
    type=click.Choice(list(_STYLES)),
    default="mermaid",
    help="Language of the diagram; svg needs Graphviz.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file, which is replaced.",
)
@click.option("--group", help="Only the states of this group.")
@click.option("--state", help="Only this state and what is near it.")
@click.option("--distance", type=click.IntRange(0, 20), default=1, help="How near, in relations.")
def graph_command(machine: str, schemas: Path | None, style: str, output: Path | None, **part: Any) -> int:
    """Draw MACHINE, or a part of it, as a diagram.

    Auto states are dashed, Multi states doubled, errors red, inherited states grey. Two states
    that remove each other are joined by one line.
    """
    _, outcome = loaded(schemas)
    drawing = _part(find_machine(outcome, machine).model, **part)
    if output is not None:
        write.save(output, _STYLES[style](drawing))
        click.echo(f"wrote {near(output)}")
    elif style == "text" and not _can_print("├⇄"):
        click.echo(text.draw(drawing, ascii_only=True), nl=False)
    else:
        click.echo(_STYLES[style](drawing), nl=False)
    return 0


def _part(model: SchemaModel, *, group: str | None, state: str | None, distance: int) -> Graph:
    """What was asked for; a usage error when there is no such thing."""
    if group is not None and state is not None:
        raise click.UsageError("give --group or --state, not both")
    if group is not None:
        if group not in model.groups:
            raise click.UsageError(f"{model.name} has no group {group!r}{did_you_mean(group, model.groups)}")
        members = [m.text for m in model.groups[group].members]
        if not members:
            raise click.UsageError(f"group {group} of {model.name} is empty")
        return graph.build(model, members)
    if state is not None:
        if state not in model.states:
            raise click.UsageError(f"{model.name} has no state {state!r}{did_you_mean(state, model.states)}")
        return graph.build(model, graph.neighbours(model, state, distance), focus=state)
    return graph.build(model)


def _can_print(characters: str) -> bool:
    try:
        characters.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
