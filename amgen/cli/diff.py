"""``am-gen diff``."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import click

from amgen import pipeline, source
from amgen.changes import ADVICE, Change, Version, compare, worst
from amgen.cli.report import DIFFERENT, INVALID, near, report, shown
from amgen.config import Config
from amgen.errors import AmgenError, ConfigError, Rejected, Span
from amgen.pipeline import Outcome

__all__ = ["diff_command"]

SECONDS = 60.0
_ABSENT = ("working directory is untracked", "did not match any files")
"""What git says when the folder was not there at that revision."""

_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./~^@{}-]{0,199}\Z")


@click.command(
    "diff",
    epilog="""\b
Examples:
  am-gen diff old/oven.yaml schemas/oven.yaml
  am-gen diff released/schemas schemas     two folders, machine by machine
  am-gen diff --git v1.2 schemas           a folder, then and now
  am-gen diff --git origin/main            the schemas of the project; for CI

\b
Exit codes: 0 old and new work together, 1 something breaks or denies,
2 a schema has errors, 3 wrong usage.""",
)
@click.argument("paths", nargs=-1, metavar="[A] [B]", type=click.Path(exists=True, path_type=Path))
@click.option("--git", "revision", help="Compare with this revision of the repository.")
@click.option(
    "--format", "style", type=click.Choice(["text", "json"]), default="text", help="Form of the report."
)
def diff_command(paths: tuple[Path, ...], revision: str | None, style: str) -> int:
    """Say what differs between machines in A and in B, and what that means for peers that run.

    Machines are compared by name, with all that they inherit. A line says "breaks" when a peer with
    the old schema cannot connect any more, "denies" when it can do less than before, and "safe"
    when it notices nothing. Texts of docs are not compared.
    """
    if revision is None and len(paths) == 2:
        before, after = (_config(path) for path in paths)
        old = _compiled(before)
    elif revision is not None and len(paths) <= 1:
        before = after = _config(paths[0] if paths else None)
        old = _at_revision(before, revision)
    else:
        raise click.UsageError("give two files or folders, or --git REVISION and at most one")
    found = _differences(old, _compiled(after))

    def place(change: Change) -> Span:
        span = change.span
        return replace(span, path=shown(before if change.gone else after, span.path))

    if style == "json":
        machines = [_as_json(name, pair, place) for name, pair in found.items()]
        click.echo(json.dumps({"machines": machines}, indent=2))
    else:
        _print(found, place)
    return 0 if all(worst(changes) == "safe" for _, _, changes in found.values()) else DIFFERENT


_Pair = tuple[Version | None, Version | None, tuple[Change, ...]]
"""Old, new, and what is different; a machine that is not there is None."""


def _differences(old: Mapping[str, Version], new: Mapping[str, Version]) -> dict[str, _Pair]:
    found: dict[str, _Pair] = {}
    for name in dict.fromkeys([*new, *old]):
        before, after = old.get(name), new.get(name)
        if before is not None and after is not None:
            if changes := compare(before, after):
                found[name] = (before, after, changes)
        elif after is not None:
            found[name] = (None, after, (Change(name, "machine added", "safe", after.model.span),))
        elif before is not None:
            found[name] = (
                before,
                None,
                (Change(name, "machine removed", "breaks", before.model.span, gone=True),),
            )
    return found


# ---------------------------------------------------------------------------------------------
# Two versions


def _config(path: Path | None) -> Config:
    return Config.load(Path.cwd(), path, Path("unused"))


def _compiled(config: Config) -> dict[str, Version]:
    """The machines of a file or folder. Parents are looked for there, then among those built in."""
    try:
        sources = source.read_tree(config.root)
    except Rejected as error:
        return _machines(Outcome({}, error.diagnostics), config)
    if config.only and config.only[0] not in sources:
        raise ConfigError(f"{config.schemas} does not end with .yaml")
    return _compile(sources, config)


def _compile(sources: Mapping[str, bytes], config: Config) -> dict[str, Version]:
    same = config.builtin.resolve() == config.root.resolve()
    builtin = {} if same else source.read_tree(config.builtin)
    return _machines(pipeline.compile_tree(sources, builtin, only=config.only), config)


def _machines(outcome: Outcome, config: Config) -> dict[str, Version]:
    if outcome.failed:
        report(config, outcome, "text", [])
        raise click.exceptions.Exit(INVALID)
    return {c.model.name: Version(c.model, c.schema) for c in outcome.compiled.values()}


def _at_revision(config: Config, revision: str) -> dict[str, Version]:
    """The machines as they were then."""
    if not _REVISION.match(revision):
        raise click.UsageError(f"{revision!r} is no name of a revision")
    sources = _archived(config.root, revision)
    if not all(path in sources for path in config.only or sources):
        return {}  # a file that was not there then
    return _compile(sources, config)


def _archived(root: Path, revision: str) -> dict[str, bytes]:
    """The schemas in a folder of a repository, at a revision; those of a folder that was not there: none."""
    program = shutil.which("git")
    if program is None:
        raise AmgenError("there is no git to be found on PATH")
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and the revision was checked
            [program, "-C", str(root), "archive", "--format=tar", revision, "--", "."],
            capture_output=True,
            timeout=SECONDS,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        raise AmgenError(f"git took longer than {SECONDS:g} s") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()[-500:]
        if any(absent in said for absent in _ABSENT):
            return {}
        raise AmgenError(f"git archive of {revision} in {near(root)} failed: {said}")
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        for member in tar:
            hidden = any(part.startswith(".") for part in Path(member.name).parts)
            if not member.isfile() or hidden or not member.name.endswith(".yaml"):
                continue
            file = tar.extractfile(member)
            if file is not None:
                found[member.name] = file.read(source.MAX_BYTES + 1)  # too much is refused later
    return found


# ---------------------------------------------------------------------------------------------
# Reports


def _print(found: Mapping[str, _Pair], place: Callable[[Change], Span]) -> None:
    if not found:
        click.echo("no differences")
    for name, (old, new, changes) in found.items():
        click.echo(f"{name}:")
        for change in changes:
            text = change.text if change.subject == name else f"{change.subject}: {change.text}"
            click.echo(f"  {change.effect:<6}  {text:<50}  {place(change)}")
        if old is not None and new is not None and old.schema.digest != new.schema.digest:
            click.echo(f"  digest  {old.schema.digest} -> {new.schema.digest}")
        click.echo(f"  {ADVICE[worst(changes)]}")


def _as_json(name: str, pair: _Pair, place: Callable[[Change], Span]) -> dict[str, object]:
    old, new, changes = pair
    rows: list[dict[str, object]] = []
    for change in changes:
        span = place(change)
        row = {"subject": change.subject, "text": change.text, "effect": change.effect}
        rows.append({**row, "path": span.path, "line": span.line, "column": span.column})
    return {
        "machine": name,
        "effect": worst(changes),
        "advice": ADVICE[worst(changes)],
        "old_digest": old.schema.digest if old else None,
        "new_digest": new.schema.digest if new else None,
        "changes": rows,
    }
