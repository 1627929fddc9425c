"""Scripts of mutations: what a verification found, written down so that it can be played again. Pure.

A script is text. ``machine Oven`` begins with a machine that has nothing active; ``add Open``,
``remove Open Shut`` and ``set Open`` mutate it; the rest of a line behind ``#`` is a comment. A file may
hold several. The report of ``am-gen verify --format json`` is read as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from amgen.errors import AmgenError
from amgen.explore import Exploration, Finding
from amgen.steps import ADD, REMOVE, SET, Decision, Kind, Move, Stepper
from asyncmachine.errors import did_you_mean
from asyncmachine.schema import Schema, iter_bits

__all__ = [
    "Line",
    "Played",
    "Script",
    "ScriptError",
    "as_json",
    "as_text",
    "parse",
    "play",
    "script_of",
    "title",
]

MAX_LINES: Final = 10_000

_KINDS: Final[Mapping[str, Kind]] = {"add": ADD, "remove": REMOVE, "set": SET}
_WORDS: Final = {kind: word for word, kind in _KINDS.items()}


class ScriptError(AmgenError):
    """A script that cannot be read, or does not fit its machine."""


@dataclass(frozen=True, slots=True)
class Line:
    """One mutation; ``number`` is its line in the file, from 1, and 0 where there is none."""

    kind: Kind
    states: tuple[str, ...]
    comment: str = ""
    number: int = 0

    def __str__(self) -> str:
        return " ".join([_WORDS[self.kind], *self.states])


@dataclass(frozen=True, slots=True)
class Script:
    """Mutations of one machine. ``title`` says what they show, or is ""."""

    machine: str
    lines: tuple[Line, ...]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Played:
    """One line as the resolver plays it. States are names.

    Attributes:
        accepted: by relations.
        came, went: states that the mutation activated and deactivated.
        auto_came, auto_went: the same for the auto transition that followed.
        active: what is active then.
        why: why states were rejected or dropped.
        broken: the invariants that do not hold then, as text.
    """

    line: Line
    accepted: bool
    came: tuple[str, ...]
    went: tuple[str, ...]
    auto_came: tuple[str, ...]
    auto_went: tuple[str, ...]
    active: tuple[str, ...]
    why: tuple[str, ...]
    broken: tuple[str, ...]


# ---------------------------------------------------------------------------------------------
# Findings


def _set(schema: Schema, states: int) -> str:
    return "{" + ", ".join(schema.names_of(states)) + "}"


def title(finding: Finding, result: Exploration) -> str:
    """One line that says what was found."""
    schema = result.schema
    names = ", ".join(schema.names_of(finding.states))
    length = len(finding.script)
    after = f"after {length} mutation{'' if length == 1 else 's'}"
    match finding.kind:
        case "invariant":
            return f"invariant `{finding.invariant}` is broken {after}"
        case "unreachable":
            return f"state {names} is never active{_reason(finding, result)}"
        case "oscillation":
            return f"auto states {names} never settle: every transition moves them again, {after}"
        case "stuck":
            return f"nothing leaves {_set(schema, finding.active)}: all is rejected or undone, {after}"
        case "dead-end":
            where = _set(schema, finding.active)
            return f"only a remove leaves {where}: every add is rejected or undone, {after}"
        case "late":
            return f"auto states have not settled: {names} moves only with the next mutation, {after}"


def _reason(finding: Finding, result: Exploration) -> str:
    """Requirements that are never active themselves."""
    never = 0
    for other in result.findings:
        never |= other.states if other.kind == "unreachable" else 0
    (state,) = iter_bits(finding.states)
    lacks = result.schema.names_of(result.schema.masks.require[state] & never)
    return f"; it requires {', '.join(lacks)}, which never is either" if lacks else ""


def script_of(finding: Finding, result: Exploration) -> Script:
    """The script of a finding that has one."""
    names = result.schema.names
    lines = [
        Line(
            move.kind,
            tuple(names[i] for i in move.called),
            "only lets auto states follow" if place in finding.nudges else "",
        )
        for place, move in enumerate(finding.script)
    ]
    return Script(result.schema.name, tuple(lines), title(finding, result))


# ---------------------------------------------------------------------------------------------
# Files


def as_text(scripts: Iterable[Script]) -> str:
    """The scripts as one file."""
    parts: list[str] = []
    for script in scripts:
        rows = [f"machine {script.machine}"]
        if script.title:
            rows.append(f"# {script.title}")
        rows += [f"{line}  # {line.comment}" if line.comment else str(line) for line in script.lines]
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def as_json(script: Script) -> list[dict[str, object]]:
    """The mutations as plain values."""
    return [{"kind": _WORDS[line.kind], "states": list(line.states)} for line in script.lines]


def parse(text: str) -> tuple[Script, ...]:
    """The scripts of a file, at least one.

    Raises:
        ScriptError: with the line that is wrong.
    """
    scripts = tuple(_from_json(text) if text.lstrip().startswith("{") else _from_text(text))
    if not scripts:
        raise ScriptError("there is no script in it; one begins with a line `machine NAME`")
    return scripts


def _from_text(text: str) -> Iterator[Script]:
    rows = text.splitlines()
    if len(rows) > MAX_LINES:
        raise ScriptError(f"{len(rows)} lines, at most {MAX_LINES} are allowed")
    machine = ""
    lines: list[Line] = []
    for number, row in enumerate(rows, 1):
        word, *names = row.partition("#")[0].split() or [""]
        if not word:
            continue
        if word == "machine" and len(names) == 1:
            if machine:
                yield Script(machine, tuple(lines))
            machine, lines = names[0], []
        elif word not in _KINDS or not names:
            hint = did_you_mean(word, [*_KINDS, "machine"]) if word not in _KINDS else ""
            wanted = "a line is `machine NAME`, or `add`, `remove` or `set` with states"
            raise ScriptError(f"line {number}: {row.strip()[:80]!r} is no mutation{hint}; {wanted}")
        elif not machine:
            raise ScriptError(f"line {number}: of which machine? A script begins with `machine NAME`")
        else:
            lines.append(Line(_KINDS[word], tuple(names), number=number))
    if machine:
        yield Script(machine, tuple(lines))


def _from_json(text: str) -> Iterator[Script]:
    try:
        report = json.loads(text)
        for machine in report["machines"]:
            for finding in machine["findings"]:
                if finding["script"]:
                    lines = tuple(map(_line, finding["script"]))
                    yield Script(str(machine["machine"]), lines, str(finding["message"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ScriptError(
            f"not a report of `am-gen verify --format json`: {type(error).__name__}: {error}"
        ) from None


def _line(value: Any) -> Line:
    states = value["states"]
    if not isinstance(states, list) or not all(isinstance(s, str) for s in states):
        raise TypeError(f"states must be a list of names, not {states!r}")
    return Line(_KINDS[value["kind"]], tuple(states))


# ---------------------------------------------------------------------------------------------
# Playing


def play(script: Script, schema: Schema) -> Iterator[Played]:
    """Each line, played by the resolver on a machine without handlers.

    Raises:
        ScriptError: a state that the machine does not have.
    """
    stepper, active = Stepper(schema), 0
    for line in script.lines:
        move = Move(line.kind, tuple(dict.fromkeys(_index(name, line, schema) for name in line.states)))
        step = stepper.step(active, move)
        why = tuple(
            dict.fromkeys(_decision(d, schema) for d in stepper.why(active, move) if d.kind != "implied")
        )
        yield Played(
            line=line,
            accepted=step.accepted,
            came=schema.names_of(step.middle & ~active),
            went=schema.names_of(active & ~step.middle),
            auto_came=schema.names_of(step.after & ~step.middle),
            auto_went=schema.names_of(step.middle & ~step.after),
            active=schema.names_of(step.after),
            why=why,
            broken=tuple(str(i) for i in schema.invariants if not i.holds(step.after)),
        )
        active = step.after


def _index(name: str, line: Line, schema: Schema) -> int:
    if name not in schema.index:
        where = f"line {line.number}: " if line.number else ""
        hint = did_you_mean(name, schema.names)
        raise ScriptError(f"{where}machine {schema.name} has no state {name[:80]!r}{hint}")
    return schema.index[name]


def _decision(decision: Decision, schema: Schema) -> str:
    state = schema.names[decision.state]
    if decision.kind == "unsupported":
        return f"{state} was only added by what is not there"
    other = schema.names[decision.other]
    return f"{state} requires {other}" if decision.kind == "unmet" else f"{other} removes {state}"
