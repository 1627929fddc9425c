"""``am-gen verify``."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from amgen.cli import verify
from amgen.cli.main import main

Run = Callable[..., Result]
REPOSITORY = Path(__file__).parents[3]

OVEN = """\
machine: Oven
doc: Bakes.
states:
  Open: {doc: d, remove: [Shut]}
  Shut: {doc: d, auto: true, remove: [Open]}
  Power: {doc: d}
  Baking: {doc: d, require: [Power]}
invariants:
  - never: [Open, Baking]
"""


@pytest.fixture
def oven(project: Path) -> Path:
    (project / "schemas" / "oven.yaml").write_text(OVEN, "utf-8")
    return project


def test_a_sound_machine(project: Path, run: Run) -> None:
    done = run("verify")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "Lamp: 9 states: proved for all 10 configurations in 4 independent parts\n"


def test_a_broken_invariant_is_shown_where_it_stands(oven: Path, run: Run) -> None:
    done = run("verify", "Oven")
    assert done.exit_code == 1
    assert done.stdout == (
        "schemas/oven.yaml:9:13: error[invariant]: "
        "invariant `never: [Open, Baking]` is broken after 3 mutations\n"
        "    add Open\n    add Power\n    add Baking\n"
        "Oven: 1 error; explored all 9 configurations in 2 independent parts\n"
    )


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_was_found_is_played_again(oven: Path, run: Run, form: str) -> None:
    path = oven / "way"
    done = run("verify", "Oven", "--format", form, *(["--script", str(path)] if form == "text" else []))
    if form == "json":
        path.write_text(done.stdout, "utf-8")
    done = run("verify", "--replay", str(path))
    assert done.exit_code == 1
    assert done.stdout == (
        "Oven: 3 mutations\n"
        "  1 add Open: +Open\n      {Open}\n"
        "  2 add Power: +Power\n      {Open, Power}\n"
        "  3 add Baking: +Baking\n      {Open, Power, Baking}\n"
        "      broken: `never: [Open, Baking]`\n"
    )
    mended = OVEN.replace("Baking: {doc: d, require: [Power]}", "Baking: {doc: d, require: [Power, Shut]}")
    (oven / "schemas" / "oven.yaml").write_text(mended, "utf-8")
    done = run("verify", "--replay", str(path))
    assert done.exit_code == 0
    assert "  3 add Baking: canceled, Baking requires Shut\n" in done.stdout


def test_replay_tells_what_auto_states_do(oven: Path, run: Run) -> None:
    (oven / "way").write_text("machine Oven\nadd Power\nadd Power\n", "utf-8")
    done = run("verify", "--replay", "way")
    assert done.stdout == (
        "Oven: 2 mutations\n"
        "  1 add Power: +Power, then +Shut\n      {Shut, Power}\n"
        "  2 add Power: nothing changes\n      {Shut, Power}\n"
    )
    steps = json.loads(run("verify", "--replay", "way", "--format", "json").stdout)["replays"][0]["steps"]
    assert [s["auto_came"] for s in steps] == [["Shut"], []]


def test_json(oven: Path, run: Run) -> None:
    done = run("verify", "--format", "json")
    assert done.exit_code == 1
    lamp, oven_ = json.loads(done.stdout)["machines"]
    assert (lamp["machine"], lamp["complete"], lamp["findings"]) == ("Lamp", True, [])
    assert (oven_["explored"], oven_["known"], len(oven_["parts"])) == (9, 9, 2)
    (finding,) = oven_["findings"]
    assert (finding["kind"], finding["severity"], finding["line"]) == ("invariant", "error", 9)
    assert finding["active"] == ["Open", "Power", "Baking"]
    assert finding["script"][-1] == {"kind": "add", "states": ["Baking"]}


def test_a_bound_is_told(oven: Path, run: Run) -> None:
    done = run("verify", "Lamp", "--max-configurations", "3")
    assert done.exit_code == 0
    assert re.fullmatch(
        r"Lamp: no counter-example in 3 configurations of at least \d+; see --max-configurations\n",
        done.stdout,
    )
    assert run("verify", "Lamp", "--max-configurations", "3", "--strict").exit_code == 1
    assert run("verify", "Lamp", "--max-seconds", "0.000001").stdout.startswith(
        "Lamp: no counter-example in 0 "
    )


def test_warnings_and_notes(project: Path, run: Run) -> None:
    (project / "schemas" / "late.yaml").write_text(
        "machine: Late\nstates:\n"
        "  Cold: {doc: d, remove: [Warm]}\n"
        "  Fire: {doc: d, auto: true, require: [Wood], remove: [Cold]}\n"
        "  Wood: {doc: d}\n"
        "  Warm: {doc: d, auto: true, require: [Fire]}\n",
        "utf-8",
    )
    done = run("verify", "Late")
    assert done.exit_code == 0
    assert "late.yaml:6:3: warning[late]: auto states have not settled: Warm moves" in done.stdout
    assert "note[dead-end]: only a remove leaves {Fire, Wood, Warm}" in done.stdout
    assert "Late: 1 warning, 1 note; 5 states: proved for all" in done.stdout
    assert run("verify", "Late", "--strict").exit_code == 1


def test_pairs(project: Path, run: Run) -> None:
    (project / "schemas" / "pairs.yaml").write_text(
        "machine: Pairs\nstates:\n"
        "  A: {doc: d}\n"
        "  Drop: {doc: d, auto: true, remove: [A]}\n"
        "  Keep: {doc: d, remove: [Drop], require: [A]}\n"
        "  Kept: {doc: d, require: [Keep]}\n",
        "utf-8",
    )
    done = run("verify", "Pairs")
    assert done.exit_code == 1
    assert (
        "schemas/pairs.yaml:5:3: error[unreachable]: state Keep is never active; it requires A, "
        in done.stdout
    )
    assert "state Kept is never active; it requires Keep, which never is either" in done.stdout
    done = run("verify", "Pairs", "--pairs")
    assert (done.exit_code, "Keep is never" in done.stdout) == (0, False)


def test_wrong_usage(oven: Path, run: Run) -> None:
    done = run("verify", "Ovne")
    assert (done.exit_code, "did you mean 'Oven'?" in done.stderr) == (3, True)
    (oven / "way").write_text("machine Oven\nadd Opne\n", "utf-8")
    done = run("verify", "--replay", "way")
    assert (done.exit_code, "way: line 2: machine Oven has no state 'Opne'" in done.stderr) == (3, True)
    assert run("verify", "Oven", "--replay", "way").exit_code == 3
    (oven / "way").write_bytes(b"\xff")
    assert run("verify", "--replay", "way").exit_code == 3
    (oven / "way").write_text("machine Stove\n", "utf-8")
    assert run("verify", "--replay", "way").exit_code == 3
    (oven / "schemas" / "oven.yaml").write_text("machine: Oven\nstates: {A: {require: [B]}}\n", "utf-8")
    assert run("verify").exit_code == 2


class Terminal(io.StringIO):
    """A stderr that says it is one."""

    def isatty(self) -> bool:
        return True


def test_a_bar_is_shown_on_a_terminal(oven: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(verify.sys, "stderr", screen)
    with pytest.raises(SystemExit) as done:
        main(["verify", "Oven"])
    assert done.value.code == 1
    assert "Oven" in screen.getvalue()
    assert "100%" in screen.getvalue()


def test_the_built_in_machines_are_sound(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    done = run("verify", "--strict")
    assert done.exit_code == 0, done.output
    verdicts = [line for line in done.stdout.splitlines() if "note[" not in line]
    assert len(verdicts) == len(list((REPOSITORY / "schemas").rglob("*.yaml")))
    assert [v for v in verdicts if "proved for all" not in v] == []
