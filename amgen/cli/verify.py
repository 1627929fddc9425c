"""``am-gen verify``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from amgen import scripts, write
from amgen.cli.load import find_machine, loaded
from amgen.cli.report import DIFFERENT, near, shown
from amgen.config import Config
from amgen.errors import Span
from amgen.explore import MAX_CONFIGURATIONS, Exploration, Finding, Progress, explore
from amgen.model import SchemaModel
from amgen.pipeline import Compiled, Outcome

__all__ = ["verify_command"]

_MAX_SCRIPT = 1 << 24
_SEVERITIES = {"late": "warning", "dead-end": "note"}


@click.command(
    "verify",
    epilog="""\b
What is reported:
  error    an invariant that is broken, with a shortest way to it
  error    a state that is never active
  error    auto states that never settle
  error    a configuration that nothing leaves
  warning  auto states that come only with the next mutation
  note     a configuration that nothing but a remove leaves

\b
Examples:
  am-gen verify                           all machines of the project
  am-gen verify Oven --pairs              also mutations of two states
  am-gen verify Oven --script broken.txt  keep the ways that were found
  am-gen verify --replay broken.txt       play them, each step shown
  am-gen verify --format json

\b
Exit codes: 0 nothing wrong was found, 1 something was, 2 a schema has errors,
3 wrong usage.""",
)
@click.argument("machines", nargs=-1)
@click.option(
    "--schemas", type=click.Path(exists=True, path_type=Path), help="Folder of schemas, or one file."
)
@click.option(
    "--format", "style", type=click.Choice(["text", "json"]), default="text", help="Form of the report."
)
@click.option(
    "--script", type=click.Path(dir_okay=False, path_type=Path), help="Write the ways to this file."
)
@click.option(
    "--replay",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Play a script, or the mutations of a report in JSON, instead of exploring.",
)
@click.option("--pairs", is_flag=True, help="Add and remove two states at once, too. Slower.")
@click.option("--strict", is_flag=True, help="Exit with 1 also for warnings, and when not all was explored.")
@click.option(
    "--max-configurations",
    type=click.IntRange(1),
    default=MAX_CONFIGURATIONS,
    show_default=True,
    help="Most configurations to explore of a machine.",
)
@click.option("--max-seconds", type=click.FloatRange(0, min_open=True), help="Most time for a machine.")
def verify_command(machines: tuple[str, ...], schemas: Path | None, style: str, **options: Any) -> int:
    """Try everything that can be asked of MACHINES, and say what can go wrong.

    Beginning with nothing active, each state is added and removed in every configuration that is
    found, on the resolver of the runtime; auto states follow as they do there.

    It is about relations only, for mutations that call one state (with --pairs, one or two; an error
    state is also added together with Exception, as add_error does). There are no handlers: these
    may prevent by a veto what is found here, and by a veto of an auto state, or by failing, lead to
    configurations that are not seen here.
    """
    config, outcome = loaded(schemas)
    if options["replay"] is not None:
        if machines or options["script"] is not None:
            raise click.UsageError("--replay takes the machines from its file; give it alone")
        return _replay(options["replay"], outcome, style)
    chosen = [find_machine(outcome, name) for name in dict.fromkeys(machines)] or list(
        outcome.compiled.values()
    )
    results = [(one, _explore(one, options)) for one in chosen]
    if options["script"] is not None:
        every = [scripts.script_of(f, r) for _, r in results for f in r.findings if f.script]
        write.save(options["script"], scripts.as_text(every) or "# nothing was found\n")
    if style == "json":
        click.echo(json.dumps({"machines": [_as_json(config, c, r) for c, r in results]}, indent=2))
    else:
        for one, result in results:
            _print(config, one, result)
    bad = [
        f for _, r in results for f in r.findings if f.is_error or (options["strict"] and f.kind == "late")
    ]
    unfinished = options["strict"] and not all(r.complete for _, r in results)
    return DIFFERENT if bad or unfinished else 0


# ---------------------------------------------------------------------------------------------
# Exploring


def _explore(one: Compiled, options: dict[str, Any]) -> Exploration:
    with _progress(one.model.name, options["max_configurations"], options["max_seconds"]) as progress:
        return explore(
            one.schema,
            pairs=options["pairs"],
            max_configurations=options["max_configurations"],
            progress=progress,
        )


@contextmanager
def _progress(name: str, limit: int, seconds: float | None) -> Iterator[Progress]:
    """What the exploration calls: shows a bar on a terminal, and ends it when its time is over."""
    end = time.monotonic() + seconds if seconds is not None else float("inf")
    if not sys.stderr.isatty():
        yield lambda explored, known: time.monotonic() < end
        return
    with click.progressbar(length=1, label=name, file=sys.stderr) as bar:

        def progress(explored: int, known: int) -> bool:
            bar.length = min(known, limit)
            bar.update(explored - bar.pos)
            return time.monotonic() < end

        yield progress
        bar.update((bar.length or 0) - bar.pos)


def _place(model: SchemaModel, result: Exploration, finding: Finding) -> Span:
    """Where a finding is shown: the invariant, else the last state it is about."""
    if finding.invariant is not None:
        at = result.schema.invariants.index(finding.invariant)
        return model.invariants[at].when[0].span
    names = result.schema.names_of(
        finding.active if finding.kind in ("dead-end", "stuck") else finding.states
    )
    # The last state is the machine's own, if it has any there; inherited ones come first.
    return model.states[names[-1]].span if names else model.span


# ---------------------------------------------------------------------------------------------
# Reports


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _print(config: Config, one: Compiled, result: Exploration) -> None:
    for finding in result.findings:
        span = _place(one.model, result, finding)
        severity = _SEVERITIES.get(finding.kind, "error")
        place = f"{shown(config, span.path)}:{span.line}:{span.column}"
        click.echo(f"{place}: {severity}[{finding.kind}]: {scripts.title(finding, result)}")
        if severity != "note":
            for line in scripts.script_of(finding, result).lines:
                click.echo(f"    {line}  # {line.comment}" if line.comment else f"    {line}")
    click.echo(f"{one.model.name}: {_verdict(result)}")


def _verdict(result: Exploration) -> str:
    kinds = [_SEVERITIES.get(f.kind, "error") for f in result.findings]
    found = [_count(kinds.count(k), k) for k in ("error", "warning", "note") if k in kinds]
    good = ", ".join(
        _count(len(every), what)
        for every, what in ((result.schema.invariants, "invariant"), (result.schema.names, "state"))
        if every
    )
    where = f"{_count(result.explored, 'configuration')}"
    if result.complete:
        parts = f" in {_count(len(result.parts), 'independent part')}" if len(result.parts) > 1 else ""
        verdict = "explored" if "error" in kinds else f"{good}: proved for"
        return "; ".join([*([", ".join(found)] if found else []), f"{verdict} all {where}{parts}"])
    head = ", ".join(found) if "error" in kinds else ", ".join(["no counter-example", *found])
    return f"{head} in {where} of at least {result.known:,}; see --max-configurations"


def _as_json(config: Config, one: Compiled, result: Exploration) -> dict[str, object]:
    names_of = result.schema.names_of
    findings: list[dict[str, object]] = []
    for finding in result.findings:
        span = _place(one.model, result, finding)
        findings.append(
            {
                "kind": finding.kind,
                "severity": _SEVERITIES.get(finding.kind, "error"),
                "message": scripts.title(finding, result),
                "path": shown(config, span.path),
                "line": span.line,
                "column": span.column,
                "states": names_of(finding.states),
                "active": names_of(finding.active),
                "configurations": finding.count,
                "script": scripts.as_json(scripts.script_of(finding, result)),
            }
        )
    return {
        "machine": one.model.name,
        "digest": result.schema.digest,
        "complete": result.complete,
        "explored": result.explored,
        "known": result.known,
        "parts": [
            {
                "states": names_of(p.states),
                "leaves": names_of(p.leaves),
                "explored": p.explored,
                "known": p.known,
            }
            for p in result.parts
        ],
        "findings": findings,
    }


# ---------------------------------------------------------------------------------------------
# Replay


def _replay(path: Path, outcome: Outcome, style: str) -> int:
    """Play every script of a file; 1 when an invariant is broken anywhere."""
    try:
        if path.stat().st_size > _MAX_SCRIPT:
            raise click.UsageError(f"{near(path)} is over {_MAX_SCRIPT} bytes")
        every = scripts.parse(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, scripts.ScriptError) as error:
        raise click.UsageError(f"{near(path)}: {error}") from None
    broken = False
    plays: list[dict[str, object]] = []
    for script in every:
        schema = find_machine(outcome, script.machine).schema
        try:
            steps = list(scripts.play(script, schema))
        except scripts.ScriptError as error:
            raise click.UsageError(f"{near(path)}: {error}") from None
        broken = broken or any(s.broken for s in steps)
        if style == "json":
            plays.append({"machine": script.machine, "steps": [_step_as_json(s) for s in steps]})
        else:
            _print_play(script, steps)
    if style == "json":
        click.echo(json.dumps({"replays": plays}, indent=2))
    return DIFFERENT if broken else 0


def _print_play(script: scripts.Script, steps: list[scripts.Played]) -> None:
    click.echo(f"{script.machine}: {_count(len(steps), 'mutation')}")
    for number, step in enumerate(steps, 1):
        click.echo(f"  {number} {step.line}: {_became(step)}")
        click.echo(f"      {{{', '.join(step.active)}}}")
        for text in step.broken:
            click.echo(f"      broken: `{text}`")


def _became(step: scripts.Played) -> str:
    """``+Foo -Bar, then +Baz``, or why not."""
    if not step.accepted:
        return f"canceled, {'; '.join(step.why)}"
    own, auto = (
        " ".join([*(f"+{n}" for n in came), *(f"-{n}" for n in went)])
        for came, went in ((step.came, step.went), (step.auto_came, step.auto_went))
    )
    text = own or "nothing changes"
    return f"{text}, then {auto}" if auto else text


def _step_as_json(step: scripts.Played) -> dict[str, object]:
    return {
        "mutation": str(step.line),
        "accepted": step.accepted,
        "came": step.came,
        "went": step.went,
        "auto_came": step.auto_came,
        "auto_went": step.auto_went,
        "active": step.active,
        "why": step.why,
        "broken": step.broken,
    }
