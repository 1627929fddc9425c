"""Schemas for a command: found, read and compiled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click

from amgen import source
from amgen.cli.report import INVALID, report
from amgen.config import Config
from amgen.errors import ConfigError, Rejected
from asyncmachine.errors import did_you_mean

if TYPE_CHECKING:
    from amgen.pipeline import Compiled, Outcome

__all__ = ["Sources", "find_machine", "loaded", "read", "run"]


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


Sources: TypeAlias = tuple[dict[str, bytes], dict[str, bytes]]


def read(config: Config) -> Sources:
    """Sources and built-in schemas.

    Raises:
        Rejected: a file cannot be read.
        ConfigError: there is none.
    """
    sources = _sources(config)
    if not sources:
        raise ConfigError(f"{config.schemas} holds no .yaml file")
    same = config.builtin.resolve() == config.root.resolve()
    return sources, {} if same else source.read_tree(config.builtin)


def run(config: Config, sources: Sources | None = None) -> Outcome:
    """Read, unless that is done, and compile; files that cannot be read become diagnostics like any other."""
    from amgen import pipeline  # noqa: PLC0415 - loads the template library, which a fresh check does without

    try:
        return pipeline.compile_tree(*(sources or read(config)), only=config.only)
    except Rejected as error:
        return pipeline.Outcome({}, error.diagnostics)


def _sources(config: Config) -> dict[str, bytes]:
    if config.schemas.is_dir():
        return source.read_tree(config.schemas)
    if config.schemas.suffix != ".yaml":
        raise ConfigError(f"{config.schemas} does not end with .yaml")
    return source.read_tree(config.root)
