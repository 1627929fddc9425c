"""``am-gen new``."""

from __future__ import annotations

from pathlib import Path

import click

from amgen import pipeline, source, starter
from amgen.cli.report import INVALID, near, report
from amgen.config import Config
from amgen.errors import AmgenError, Rejected
from amgen.pipeline import Outcome
from asyncmachine.schema import snake_case

__all__ = ["new_command"]


@click.command(
    "new",
    epilog="""\b
Examples:
  am-gen new Door --states "Open:remove(Shut),Shut:auto:remove(Open)"
  am-gen new Door --states "Open:remove(_Leaf),Shut:remove(_Leaf),Knock:multi" \\
                  --groups "Leaf(Open;Shut)"
  am-gen new Press --states "Pressing:require(Ready)" --extends basic
  am-gen new Squarer --states "WorkRequested" --extends node/worker -o schemas

\b
A state is NAME[:auto][:multi][:RELATION(A;B)]..., a relation one of require, add,
remove and after. A group is written _Leaf or, in single quotes, $Leaf.""",
)
@click.argument("name")
@click.option("-s", "--states", required=True, help="States, separated by commas; see below.")
@click.option("-g", "--groups", default="", help="Groups, as NAME(A;B), separated by commas.")
@click.option("-e", "--extends", default="", help="Parents, separated by commas: basic, node/worker, ...")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder of schemas to write it to.")
def new_command(name: str, states: str, groups: str, extends: str, output: Path | None) -> int:
    """Write a first schema for a machine called NAME, to be completed by hand.

    It compiles as it is; what is left to do are the docs, for which there are warnings. A file that
    is there already is never overwritten.
    """
    config = Config.load(Path.cwd(), output, Path("unused"))
    folder = config.schemas
    path = folder / f"{snake_case(name)}.yaml"
    if folder.exists() and not folder.is_dir():
        raise click.UsageError(f"{near(folder)} is no folder; give one with -o")
    if path.exists() or path.is_symlink():
        raise AmgenError(f"{near(path)} is there already, and is not overwritten")
    try:
        text = _text(config, name, starter.states_of(states), starter.groups_of(groups), extends)
    except starter.StarterError as error:
        raise click.UsageError(str(error)) from None
    outcome = _compiled(config, path.name, text)
    if outcome.failed:
        report(config, outcome, "text", [])
        return INVALID
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise AmgenError(f"{near(path)} cannot be written: {error.strerror or error}") from None
    click.echo(f"wrote {near(path)}; fill in what follows each `doc:`, then run am-gen compile")
    return 0


def _text(
    config: Config,
    name: str,
    states: tuple[starter.Starting, ...],
    groups: tuple[starter.Group, ...],
    extends: str,
) -> str:
    parents = [parent.strip() for parent in extends.split(",") if parent.strip()]
    inherited: set[str] = set()
    if parents:
        # What the parents have is known from a machine that has nothing of its own.
        bare = starter.starter(name, states[:0], (), parents) + "  {}\n"
        outcome = _compiled(config, f"{snake_case(name)}.yaml", bare)
        inherited = {s for one in outcome.compiled.values() for s in one.model.states}
    return starter.starter(name, states, groups, parents, inherited)


def _compiled(config: Config, file: str, text: str) -> Outcome:
    """The new schema among those that are there; what is wrong with others does not matter here."""
    try:
        sources = source.read_tree(config.root) if config.root.is_dir() else {}
        builtin = (
            {} if config.builtin.resolve() == config.root.resolve() else source.read_tree(config.builtin)
        )
    except Rejected as error:
        return Outcome({}, error.diagnostics)
    return pipeline.compile_tree({**sources, file: text.encode()}, builtin, only=[file])
