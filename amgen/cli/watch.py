"""``am-gen watch``."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amgen.cli.build import build
from amgen.cli.report import near
from amgen.config import Config
from amgen.errors import AmgenError

if TYPE_CHECKING:
    from watchfiles import Change

__all__ = ["follow", "watch_command"]

_FIRST_MS = 200
"""How soon the watcher says that it is there, in milliseconds."""


@click.command(
    "watch",
    epilog="""\b
Examples:
  am-gen watch                         folders as in pyproject.toml
  am-gen watch schemas -o states
  am-gen watch schemas/lamp.yaml       this module only

Needs watchfiles: pip install 'asyncmachine[watch]'. Where file systems tell nothing of changes,
such as network shares, set WATCHFILES_FORCE_POLLING=1.""",
)
@click.argument("schemas", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder of the generated package.")
@click.option(
    "--debounce",
    type=click.IntRange(50, 60_000),
    default=500,
    show_default=True,
    help="Most milliseconds for which changes are gathered before a compilation.",
)
def watch_command(schemas: Path | None, output: Path | None, debounce: int) -> int:
    """Compile SCHEMAS, and again whenever one of them changes, until Ctrl-C.

    It does what compile does, and says what compile says. A schema with errors stops nothing: the
    modules stay as they are until it is mended.
    """
    try:
        from watchfiles import watch  # noqa: PLC0415 - an extra that only this command needs
    except ImportError:
        raise AmgenError(
            "am-gen watch needs watchfiles, which is not installed: pip install 'asyncmachine[watch]'"
        ) from None
    config = Config.load(Path.cwd(), schemas, output)
    root = config.root.resolve()
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell has started it with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    try:
        follow(
            config,
            watch(
                root,
                watch_filter=lambda _, path: _is_schema(Path(path), root),
                debounce=debounce,
                rust_timeout=_FIRST_MS,
                yield_on_timeout=True,
            ),
        )
    except KeyboardInterrupt:
        click.echo("stopped")
    return 0


def _is_schema(path: Path, root: Path) -> bool:
    hidden = path.is_relative_to(root) and any(p.startswith(".") for p in path.relative_to(root).parts)
    return path.suffix in (".yaml", ".yml") and not hidden


def follow(config: Config, changes: Iterable[set[tuple[Change, str]]]) -> None:
    """Compile at the first item, since then the watcher is there and misses nothing, and at changes."""
    root = config.root.resolve()
    watching = False
    for batch in changes:
        if watching and not batch:
            continue
        if watching:
            paths = sorted({near(config.root / Path(p).relative_to(root)) for _, p in batch})
            click.echo(f"changed: {', '.join(paths)}")
        try:
            build(config)
        except AmgenError as error:
            click.echo(f"am-gen: {error}", err=True)
        if not watching:
            watching = True
            click.echo(f"watching {near(config.schemas)}; Ctrl-C ends it")
