"""Schemas for a command: found, read and compiled."""

from __future__ import annotations

from pathlib import Path

import click

from amgen import pipeline, source
from amgen.cli.report import INVALID, report
from amgen.config import Config
from amgen.errors import ConfigError, Rejected
from amgen.pipeline import Compiled, Outcome
from asyncmachine.errors import did_you_mean

__all__ = ["find_machine", "loaded", "run"]


def find_machine(outcome: Outcome, name: str) -> Compiled:
    """The machine of that name, or a usage error that says what is meant."""
    machines = {c.model.name: c for c in outcome.compiled.values()}
    if name not in machines:
        raise click.UsageError(f"there is no machine {name!r}{did_you_mean(name, machines)}")
    return machines[name]


def loaded(schemas: Path | None) -> tuple[Config, Outcome]:
    """Schemas for a command that only looks at them; ends the run when they have errors."""
    # Such a command writes nothing, so a missing output folder must not stop it.
    config = Config.load(Path.cwd(), schemas, Path("unused"))
    outcome = run(config)
    if outcome.failed:
        report(config, outcome, "text", [])
        raise click.exceptions.Exit(INVALID)
    return config, outcome


def run(config: Config) -> Outcome:
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
