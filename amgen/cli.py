"""``am-gen``: the only file that prints, exits or reads the environment.

Exit codes: 0 fine, 1 files differ or could not be written, 2 a schema has errors, 3 wrong usage.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from amgen import pipeline, render, source, view, write
from amgen.config import Config
from amgen.errors import (
    AmgenError,
    ConfigError,
    Diagnostic,
    Rejected,
    as_github,
    as_json,
    as_text,
    moved,
)
from amgen.pipeline import Compiled, Outcome
from amgen.resolve import BUILTIN
from asyncmachine.errors import did_you_mean

__all__ = ["main"]

DIFFERENT, INVALID, USAGE = 1, 2, 3


class _Group(click.Group):
    """A group whose usage errors exit with 3, since 2 is for schemas."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except click.ClickException as error:
            error.show()
            sys.exit(USAGE)
        except ConfigError as error:
            click.echo(f"am-gen: error[AM001]: {error}", err=True)
            sys.exit(USAGE)
        except AmgenError as error:
            click.echo(f"am-gen: {error}", err=True)
            sys.exit(DIFFERENT)
        except click.Abort:
            sys.exit(130)
        sys.exit(code if isinstance(code, int) else 0)


@click.group(cls=_Group)
@click.version_option(package_name="asyncmachine")
def main() -> None:
    """Compile state schemas in YAML to typed Python."""


_SCHEMAS = click.argument("schemas", required=False, type=click.Path(exists=True, path_type=Path))
_OUTPUT = click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Folder of the generated package."
)
_FORMAT = click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    help="Form of the report.",
)


@main.command("compile")
@_SCHEMAS
@_OUTPUT
@_FORMAT
@click.option("--force", is_flag=True, help="Overwrite files that were edited by hand or are not ours.")
def _compile_command(schemas: Path | None, output: Path | None, style: str, force: bool) -> int:
    """Compile SCHEMAS, a folder or one file, to Python modules."""
    config = Config.load(Path.cwd(), schemas, output)
    outcome = _run(config)
    if outcome.failed:
        _report(config, outcome, style, [])
        return INVALID
    files = {n: t for n, t in outcome.files.items() if not (config.only and n == "__init__.py")}
    done = write.apply(files, config.output, force=force, prune=not config.only)
    _report(config, outcome, style, [])
    if style == "text":
        for verb, names in (("wrote", done.written), ("removed", done.removed)):
            for name in names:
                click.echo(f"{verb} {_near(config.output / name)}")
        click.echo(
            f"{len(done.written)} written, {len(done.removed)} removed, {len(done.unchanged)} unchanged"
        )
    return 0


@main.command("check")
@_SCHEMAS
@_OUTPUT
@_FORMAT
def _check_command(schemas: Path | None, output: Path | None, style: str) -> int:
    """Say whether the generated modules are as SCHEMAS would be compiled now. Writes nothing."""
    config = Config.load(Path.cwd(), schemas, output)
    outcome = _run(config)
    if outcome.failed:
        _report(config, outcome, style, [])
        return INVALID
    files = {n: t for n, t in outcome.files.items() if not (config.only and n == "__init__.py")}
    findings = write.compare(files, config.output, prune=not config.only)
    _report(config, outcome, style, findings)
    if findings:
        return DIFFERENT
    if style == "text":
        click.echo(f"{len(files)} files are up to date")
    return 0


@main.command("explain")
@click.argument("state")
@click.option("-m", "--machine", help="Of this machine only.")
@click.option(
    "--schemas", type=click.Path(exists=True, path_type=Path), help="Folder of schemas, or one file."
)
def _explain_command(state: str, machine: str | None, schemas: Path | None) -> int:
    """Show all relations of STATE, both ways, with the lines that say so."""
    config, outcome = _loaded(schemas)
    chosen = [c for c in outcome.compiled.values() if machine in (None, c.model.name)]
    found = [c for c in chosen if state in c.model.states]
    if not found:
        known = [s for c in chosen for s in c.model.states]
        raise click.UsageError(f"no machine has a state {state!r}{did_you_mean(state, known)}")
    for one in found:
        for text, place in view.explain(one.model, state):
            shown = _shown(config, place) if place else ""
            click.echo(f"{text:<50}  {shown}".rstrip())
    return 0


@main.command("graph")
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
def _graph_command(
    machine: str, schemas: Path | None, style: str, group: str | None, state: str | None, distance: int
) -> int:
    """Draw MACHINE as a diagram."""
    _, outcome = _loaded(schemas)
    one = _machine(outcome, machine)
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


def _machine(outcome: Outcome, name: str) -> Compiled:
    machines = {c.model.name: c for c in outcome.compiled.values()}
    if name not in machines:
        raise click.UsageError(f"there is no machine {name!r}{did_you_mean(name, machines)}")
    return machines[name]


def _loaded(schemas: Path | None) -> tuple[Config, Outcome]:
    """Schemas for a command that only looks at them; ends the run when they have errors."""
    # Such a command writes nothing, so a missing output folder must not stop it.
    config = Config.load(Path.cwd(), schemas, Path("unused"))
    outcome = _run(config)
    if outcome.failed:
        _report(config, outcome, "text", [])
        raise click.exceptions.Exit(INVALID)
    return config, outcome


def _run(config: Config) -> Outcome:
    """Read and compile; files that cannot be read become diagnostics like any other."""
    try:
        sources = _sources(config)
        same = config.builtin.resolve() == config.root.resolve()
        builtin = {} if same else source.read_tree(config.builtin)
    except Rejected as error:
        return Outcome({}, error.diagnostics)
    if not sources:
        raise ConfigError(f"{config.schemas} holds no .yaml file")
    return pipeline.compile_tree(sources, builtin, only=config.only)


def _sources(config: Config) -> dict[str, bytes]:
    if config.schemas.is_dir():
        return source.read_tree(config.schemas)
    if config.schemas.suffix != ".yaml":
        raise ConfigError(f"{config.schemas} does not end with .yaml")
    return source.read_tree(config.root)


def _shown(config: Config, path: str) -> str:
    """A path relative to the folder of schemas, as seen from where the user stands."""
    if path.startswith(BUILTIN):
        return path
    return _near(config.root / path)


def _near(path: Path) -> str:
    """A path as seen from where the user stands."""
    return os.path.relpath(path).replace(os.sep, "/")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _report(config: Config, outcome: Outcome, style: str, findings: list[write.Finding]) -> None:
    diagnostics = [moved(d, lambda p: _shown(config, p)) for d in outcome.diagnostics]
    if style == "json":
        plain = [
            {"kind": f.kind, "path": _near(config.output / f.name), "edited": f.edited, "diff": f.diff}
            for f in findings
        ]
        click.echo(json.dumps({"diagnostics": [as_json(d) for d in diagnostics], "files": plain}, indent=2))
        return
    if style == "github":
        for diagnostic in diagnostics:
            click.echo(as_github(diagnostic))
        for finding in findings:
            path = _near(config.output / finding.name)
            click.echo(f"::error file={path},line=1,title=am-gen::{finding.kind}; run am-gen compile")
        return
    _report_text(config, outcome, diagnostics, findings)


def _report_text(
    config: Config, outcome: Outcome, diagnostics: list[Diagnostic], findings: list[write.Finding]
) -> None:
    texts = {_shown(config, path): text for path, text in outcome.texts.items()}
    color = False if os.environ.get("NO_COLOR") else None
    for diagnostic in diagnostics:
        first, *rest = as_text(diagnostic, texts).split("\n")
        click.secho(first, err=True, color=color, fg="red" if diagnostic.severity == "error" else "yellow")
        for line in rest:
            click.echo(line, err=True, color=color)
    errors = sum(d.severity == "error" for d in diagnostics)
    if diagnostics:
        click.echo(f"{_count(errors, 'error')}, {_count(len(diagnostics) - errors, 'warning')}", err=True)
    for finding in findings:
        note = ", edited by hand" if finding.edited and finding.kind != "edited" else ""
        click.secho(f"{_near(config.output / finding.name)}: {finding.kind}{note}", bold=True, color=color)
        click.echo(finding.diff, nl=False)
