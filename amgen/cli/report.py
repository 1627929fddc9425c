"""What a run found, as text for people, JSON, or annotations of GitHub; and the exit codes."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amgen import write
from amgen.config import Config
from amgen.errors import Diagnostic, as_github, as_json, as_text, moved
from amgen.resolve import BUILTIN

if TYPE_CHECKING:
    from amgen.pipeline import Outcome

__all__ = ["DIFFERENT", "INVALID", "USAGE", "near", "report", "shown"]

DIFFERENT, INVALID, USAGE = 1, 2, 3


def shown(config: Config, path: str) -> str:
    """A path relative to the folder of schemas, as seen from where the user stands."""
    if path.startswith(BUILTIN):
        return path
    return near(config.root / path)


def near(path: Path) -> str:
    """A path as seen from where the user stands."""
    return os.path.relpath(path).replace(os.sep, "/")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def report(config: Config, outcome: Outcome, style: str, findings: list[write.Finding]) -> None:
    """Print diagnostics and findings in one of the styles text, json and github."""
    diagnostics = [moved(d, lambda p: shown(config, p)) for d in outcome.diagnostics]
    if style == "json":
        plain = [
            {"kind": f.kind, "path": near(config.output / f.name), "edited": f.edited, "diff": f.diff}
            for f in findings
        ]
        click.echo(json.dumps({"diagnostics": [as_json(d) for d in diagnostics], "files": plain}, indent=2))
        return
    if style == "github":
        for diagnostic in diagnostics:
            click.echo(as_github(diagnostic))
        for finding in findings:
            path = near(config.output / finding.name)
            click.echo(f"::error file={path},line=1,title=am-gen::{finding.kind}; run am-gen compile")
        return
    _report_text(config, outcome, diagnostics, findings)


def _report_text(
    config: Config, outcome: Outcome, diagnostics: list[Diagnostic], findings: list[write.Finding]
) -> None:
    texts = {shown(config, path): text for path, text in outcome.texts.items()}
    color = False if os.environ.get("NO_COLOR") else None
    for diagnostic in diagnostics:
        for line in as_text(diagnostic, texts).split("\n"):
            click.echo(_painted(line), err=True, color=color)
    errors = sum(d.severity == "error" for d in diagnostics)
    if diagnostics:
        click.echo(f"{_count(errors, 'error')}, {_count(len(diagnostics) - errors, 'warning')}", err=True)
    for finding in findings:
        note = ", edited by hand" if finding.edited and finding.kind != "edited" else ""
        click.secho(f"{near(config.output / finding.name)}: {finding.kind}{note}", bold=True, color=color)
        for line in finding.diff.splitlines():
            click.secho(line, color=color, fg={"+": "green", "-": "red", "@": "cyan"}.get(line[:1]))


_HEAD = re.compile(
    r"(?P<place>.*?:\d+:\d+: )(?P<word>error|warning|note)(?P<code>(?:\[AM\d{3}\])?: )(?P<text>.*)"
)
_EXCERPT = re.compile(r"(?P<gutter> [ \d]+ \| )(?P<caret> *\^+)?(?P<text>.*)")
_WORDS = {"error": "red", "warning": "yellow", "note": "cyan"}


def _painted(line: str) -> str:
    """A line of a diagnostic in colours; without them it is the same text."""
    if match := _EXCERPT.fullmatch(line):
        caret = click.style(match["caret"], fg="red", bold=True) if match["caret"] else ""
        return click.style(match["gutter"], fg="blue") + caret + match["text"]
    if match := _HEAD.fullmatch(line):
        word = click.style(match["word"] + match["code"], fg=_WORDS[match["word"]], bold=True)
        return match["place"] + word + click.style(match["text"], bold=match["word"] != "note")
    return line
