"""``am-gen compile`` and ``am-gen check``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import click

from amgen import memo, write
from amgen.cli.load import Sources, read, run
from amgen.cli.report import DIFFERENT, INVALID, near, report
from amgen.config import Config
from amgen.errors import ConfigError, Rejected

__all__ = ["build", "check_command", "compile_command"]

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


@click.command(
    "compile",
    epilog="""\b
Examples:
  am-gen compile                        folders as in pyproject.toml:
                                          [tool.amgen]
                                          schemas = "schemas"
                                          output = "src/app/states"
  am-gen compile schemas -o states      folders as said here
  am-gen compile schemas/lamp.yaml      one schema; the other modules stay as they are
  am-gen compile --format github        for annotations in a pull request""",
)
@_SCHEMAS
@_OUTPUT
@_FORMAT
@click.option("--force", is_flag=True, help="Overwrite files that were edited by hand or are not ours.")
def compile_command(schemas: Path | None, output: Path | None, style: str, force: bool) -> int:
    """Compile SCHEMAS, a folder or one file, to Python modules.

    Files that would not change are not touched, modules whose schema is gone are removed, and files that are
    not ours or were edited by hand are left alone unless --force is given.
    Exit codes: 0 done, 1 a file could not be written, 2 a schema has errors, 3 wrong usage.
    """
    return build(Config.load(Path.cwd(), schemas, output), style, force=force)


def build(config: Config, style: str = "text", *, force: bool = False) -> int:
    """Compile once, write and report; the exit code."""
    known = _Known.of(config)
    outcome = run(config, known.sources if known else None)
    if outcome.failed:
        report(config, outcome, style, [])
        return INVALID
    files = {n: t for n, t in outcome.files.items() if not (config.only and n == "__init__.py")}
    done = write.apply(files, Path(near(config.output)), force=force, prune=not config.only)
    write.mark(config.output)
    report(config, outcome, style, [])
    if known is not None and not outcome.diagnostics:
        memo.remember(known.memo, known.key, files)
    if style == "text":
        for verb, names in (("wrote", done.written), ("removed", done.removed)):
            for name in names:
                click.echo(f"{verb} {near(config.output / name)}")
        click.echo(
            f"{len(done.written)} written, {len(done.removed)} removed, {len(done.unchanged)} unchanged"
        )
    return 0


@click.command(
    "check",
    epilog="""\b
Examples:
  am-gen check                          in CI, or before a commit
  am-gen check schemas/lamp.yaml        only this module
  am-gen check --format github          for annotations in a pull request
  am-gen check --format json | jq -r '.files[].path'""",
)
@_SCHEMAS
@_OUTPUT
@_FORMAT
@click.option("--no-cache", is_flag=True, help="Compile, even if nothing can have changed.")
def check_command(schemas: Path | None, output: Path | None, style: str, no_cache: bool) -> int:
    """Say whether the generated modules are as SCHEMAS would be compiled now. Writes nothing.

    Shows a diff of every module that is missing, stale, edited by hand, orphaned (its schema is gone) or
    foreign (not ours, but in the way). When neither schemas, nor the compiler, nor modules have changed since
    they were compiled here without a warning, nothing is compiled again.
    Exit codes: 0 all is fresh, 1 something differs, 2 a schema has errors, 3 wrong usage.
    """
    config = Config.load(Path.cwd(), schemas, output)
    known = None if no_cache else _Known.of(config)
    if style == "text" and known is not None and not write.unmarked(config.output):
        count = memo.fresh(known.memo, known.key, config.output)
        if count is not None:
            click.echo(f"{count} files are up to date")
            return 0
    outcome = run(config, known.sources if known else None)
    if outcome.failed:
        report(config, outcome, style, [])
        return INVALID
    files = {n: t for n, t in outcome.files.items() if not (config.only and n == "__init__.py")}
    findings = write.compare(files, Path(near(config.output)), prune=not config.only)
    findings = findings or write.unmarked(config.output)
    report(config, outcome, style, findings)
    if findings:
        return DIFFERENT
    if style == "text":
        click.echo(f"{len(files)} files are up to date")
    return 0


@dataclass(frozen=True, slots=True)
class _Known:
    """Where the memo about a folder is, what it says when all is fresh, and what that was made of."""

    memo: Path
    key: str
    sources: Sources

    @classmethod
    def of(cls, config: Config) -> _Known | None:
        """None when there can be no memo; what is wrong is said by whatever reads the sources next."""
        if config.only:
            return None
        try:
            cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
            sources = read(config)
            return cls(memo.place(cache, config.output), memo.fingerprint(*sources), sources)
        except (Rejected, ConfigError, OSError, RuntimeError, PackageNotFoundError):
            return None
