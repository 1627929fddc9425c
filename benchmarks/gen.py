"""How long am-gen takes, against its limits, and next to datamodel-code-generator on as big a schema.

Limits are for the time that a core is kept busy, in the best of some rounds; on an idle one the clock next to
it says the same. What an interpreter takes that does nothing tells how fast the core is.

The peer reads a JSON Schema with as many definitions as our schema has states, each with the same two
fields, and writes models of pydantic; ours writes names, masks, handlers, args with decoders and a typed
facade for each, about ten times as many lines. Both run as commands, each in a process of its own, from
nothing. The peer is run as it comes (black and isort), and with its own formatter, which is its fastest.

    python benchmarks/gen.py
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from amgen import compile_tree, source

STATES = 500
SCHEMAS = 100
EACH = 20
ROUNDS = 5


def schema(machine: str, states: int) -> str:
    """A schema with all kinds of relations, groups, rights and args."""
    rng = random.Random(states)
    lines = [
        f"machine: {machine}",
        "doc: Made to be measured.",
        "roles: [client]",
        "groups:",
        "  Work: [S0, S1]",
    ]
    lines.append("states:")
    for i in range(states):
        lines += [f"  S{i}:", f"    doc: State number {i} of many, with a sentence about it."]
        if i % 7 == 0:
            lines.append("    multi: true")
        if i > 3:
            lines.append(f"    require: [S{rng.randrange(i)}]")
        if i > 3 and i % 3 == 0:
            lines.append(f"    after: [S{rng.randrange(i)}]")
        if i > 0 and i % 5 == 0 and i + 1 < states:
            lines.append(f"    add: [S{i + 1}]")
        if i < 2:
            lines.append("    remove: [$Work]")
        if i % 6 == 0:
            lines.append("    rpc: {client: [add, read]}")
        lines += ["    args:", "      count: {type: int, doc: how many}"]
        lines.append('      label: {type: "str | None", default: null, doc: what it is called}')
    return "\n".join(lines) + "\n"


def json_schema(definitions: int) -> str:
    """The args of the same states, for the peer."""
    fields = {
        "count": {"type": "integer", "description": "how many"},
        "label": {"type": ["string", "null"], "default": None, "description": "what it is called"},
    }
    found = {
        f"S{i}Args": {
            "type": "object",
            "description": f"State number {i} of many, with a sentence about it.",
            "properties": fields,
            "required": ["count"],
        }
        for i in range(definitions)
    }
    return json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", "definitions": found})


def busy() -> float:
    """Seconds that this process, and those that it started and that have ended, kept a core busy."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def timed(work: Callable[[], object], rounds: int = ROUNDS) -> tuple[float, float]:
    """Seconds of a core, and of the clock: of the best round each."""
    found: list[tuple[float, float]] = []
    for _ in range(rounds):
        began = busy(), time.perf_counter()
        work()
        found.append((busy() - began[0], time.perf_counter() - began[1]))
    return min(cpu for cpu, _ in found), min(clock for _, clock in found)


def show(what: str, took: tuple[float, float], limit: float | None = None, minus: float = 0.0) -> None:
    """One line, and the limit, which is for the core without *minus*."""
    cpu, clock = (seconds - minus for seconds in took)
    verdict = "" if limit is None else f"   at most {limit:g} s, {'met' if cpu < limit else 'MISSED'}"
    print(f"{what:54} {cpu:8.3f} s {clock:8.3f} s{verdict}")


class Project:
    """A folder of schemas, and am-gen run in it as a command."""

    def __init__(self, folder: Path, files: dict[str, str]) -> None:
        self.folder = folder
        for name, text in files.items():
            path = folder / "schemas" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        self.env = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}

    def run(self, *command: str) -> None:
        """Run a command, which must end with 0."""
        args = [sys.executable, "-m", "amgen", *command, "schemas", "-o", "made"]
        subprocess.run(args, cwd=self.folder, env=self.env, check=True, capture_output=True)

    def compile(self) -> None:
        """From nothing."""
        shutil.rmtree(self.folder / "made", ignore_errors=True)
        self.run("compile")


def functions() -> None:
    """The compiler as a function."""
    big = {"big.yaml": schema("Big", STATES).encode()}
    many = {f"m{i}.yaml": schema(f"Machine{i}", EACH).encode() for i in range(SCHEMAS)}
    assert compile_tree(big).diagnostics == compile_tree(many).diagnostics == ()
    assert len(compile_tree(big).files) == 2
    assert len(compile_tree(many).files) == SCHEMAS + 1
    show(f"compile a schema of {STATES} states", timed(lambda: compile_tree(big)), 1.0)
    show(f"compile {SCHEMAS} schemas of {EACH} states", timed(lambda: compile_tree(many)), 3.0)


def checks(folder: Path, start: float) -> None:
    """``am-gen check`` where nothing has changed, without what an interpreter takes to start."""
    own = source.read_tree(Path(__file__).parents[1] / "schemas")
    projects = {
        f"{len(own)} built-in schemas": {n: t.decode() for n, t in own.items()},
        f"a schema of {STATES} states": {"big.yaml": schema("Big", STATES)},
        f"{SCHEMAS} schemas of {EACH} states": {
            f"m{i}.yaml": schema(f"Machine{i}", EACH) for i in range(SCHEMAS)
        },
    }
    for number, (what, files) in enumerate(projects.items()):
        project = Project(folder / str(number), files)
        project.compile()
        show(f"check, unchanged: {what}", timed(lambda p=project: p.run("check")), 0.5, start)  # type: ignore[misc]
        show(
            "  compiled anew: --no-cache",
            timed(lambda p=project: p.run("check", "--no-cache"), 3),
            None,
            start,
        )  # type: ignore[misc]


def peers(folder: Path) -> None:
    """Both as commands, from nothing."""
    project = Project(folder / "ours", {"big.yaml": schema("Big", STATES)})
    definitions, target = folder / "big.json", folder / "big.py"
    definitions.write_text(json_schema(STATES), "utf-8")
    peer = [
        str(Path(sys.executable).parent / "datamodel-codegen"),
        "--input",
        str(definitions),
        "--output",
        str(target),
    ]
    peer += ["--input-file-type", "jsonschema"]

    def theirs(*options: str) -> None:
        subprocess.run([*peer, *options], check=True, capture_output=True)

    ours = timed(project.compile)
    lines = (project.folder / "made" / "big.py").read_text("utf-8").count("\n")
    show(f"am-gen compile, {STATES} states, {lines:,} lines", ours)
    for how, options in {"as it comes": (), "--formatters builtin": ("--formatters", "builtin")}.items():
        found = timed(lambda options=options: theirs(*options), 3)  # type: ignore[misc]
        lines = target.read_text("utf-8").count("\n")
        show(f"datamodel-codegen, {how}, {lines:,} lines", found)
        print(f"{'':54} {found[0] / ours[0]:8.2f} x our time")


def main() -> None:
    """Print all figures."""
    start = timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))
    print(f"{'':54} {'core':>10} {'clock':>10}")
    show("an interpreter that does nothing", start)
    functions()
    with tempfile.TemporaryDirectory() as name:
        checks(Path(name), start[0])
        peers(Path(name))


if __name__ == "__main__":
    main()
