"""``am-node map``: a function over many inputs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from asyncmachine.cli import start
from asyncmachine.cli.mistake import Mistake
from asyncmachine.errors import AsyncMachineError
from asyncmachine.node.targets import load_function, load_path, parse_address

__all__ = ["map_command"]


@click.command("map")
@click.argument("target", metavar="PKG.MOD:FUNC")
@click.argument("inputs", nargs=-1)
@click.option(
    "--glob", "globs", multiple=True, metavar="G", help="Add the paths that match, e.g. 'src/**/*.py'."
)
@click.option("--stdin", "from_stdin", is_flag=True, help="Add every line of the standard input.")
@click.option("--json", "as_json", is_flag=True, help="Inputs are JSON values, not text.")
@click.option(
    "--workers", type=click.IntRange(1, 256), default=None, help="Worker processes; default: one per CPU."
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write results here, else to stdout."
)
@click.option("--supervisor", metavar="HOST:PORT", help="Use this pool instead of one of our own.")
@click.option(
    "--launcher",
    type=click.Choice(start.LAUNCHERS),
    default=start.default_launcher(),
    show_default=True,
    help="How workers of our own start: as forks of a clean process, or each as a new interpreter.",
)
@click.option(
    "--idempotent", is_flag=True, help="An input whose worker died may be run again (at most twice)."
)
@click.option("--deadline", type=click.FloatRange(0.001), help="Seconds that one input may take.")
def map_command(
    target: str,
    workers: int | None,
    out: Path | None,
    supervisor: str | None,
    launcher: str,
    **options: Any,
) -> None:
    r"""Run FUNC on every input, in a pool of worker processes.

    Inputs are arguments, matches of --glob, and lines of --stdin, in this order. Results are written as
    JSON lines, as they come: {"index", "input", "value"} or {"index", "input", "error"}.

    \b
    Exit code: 0 all done, 1 some failed, 2 nothing was started, 130 interrupted (what is done is kept).

    \b
    Examples:
      am-node map math:sqrt 2 3 4 --json
      am-node map os.path:getsize --glob '/usr/lib/python3*/*.py' --workers 4 --out sizes.jsonl
      ls | am-node map os.path:abspath --stdin
    """
    load_path()
    try:
        load_function(target)
        if supervisor is not None:
            parse_address(supervisor)
        values = _inputs(**{name: options.pop(name) for name in ("inputs", "globs", "from_stdin", "as_json")})
    except (AsyncMachineError, ValueError) as error:
        raise Mistake(str(error)) from None
    if not values:
        raise click.UsageError("no inputs; give some as arguments, with --glob or with --stdin")
    with ExitStack() as stack:
        stream = stack.enter_context(out.open("w", encoding="utf-8")) if out is not None else sys.stdout
        server = start.begin(launcher) if supervisor is None else None
        from asyncmachine.cli import mapping  # noqa: PLC0415 - slow, so the fork server begins before it

        job = mapping.Job(
            target=target,
            inputs=values,
            workers=min(workers or os.cpu_count() or 1, len(values)),
            out=stream,
            supervisor=supervisor,
            launcher=launcher,
            server=server,
            **options,
        )
        raise SystemExit(mapping.execute(job))


def _inputs(inputs: Sequence[str], globs: Sequence[str], from_stdin: bool, as_json: bool) -> list[Any]:
    def texts() -> Iterator[str]:
        yield from inputs
        for pattern in globs:
            root = Path(pattern).anchor
            matches = Path(root or ".").glob(pattern.removeprefix(root))
            yield from sorted(str(path) for path in matches)
        if from_stdin:
            yield from (line.rstrip("\n") for line in sys.stdin)

    if not as_json:
        return list(texts())
    values: list[Any] = []
    for text in texts():
        try:
            values.append(json.loads(text))
        except json.JSONDecodeError as error:
            raise ValueError(f"input {text!r} is not JSON: {error}") from None
    return values
