"""Scripts of mutations: written, read and played."""

from __future__ import annotations

import json

import pytest

from amgen.explore import explore
from amgen.scripts import Line, Script, ScriptError, as_json, as_text, parse, play, script_of, title
from amgen.steps import ADD, REMOVE, SET
from asyncmachine.schema import EXCEPTION, Invariant, Schema, State

OVEN = Schema(
    "Oven",
    {
        "Open": State(remove=("Shut",)),
        "Shut": State(auto=True, remove=("Open",)),
        "Power": State(),
        "Baking": State(require=("Power",), add=("Light",)),
        "Light": State(require=("Bulb",)),
        "Bulb": State(),
    },
    invariants=[Invariant("never", ("Open", "Baking"))],
)


def test_what_is_written_is_read() -> None:
    scripts = (
        Script("Oven", (Line(ADD, ("Open",), number=3), Line(REMOVE, ("Open", "Shut"), number=4))),
        Script("Oven", (Line(SET, ("Open",), number=7),)),
    )
    text = "machine Oven\n# why\nadd Open\nremove Open Shut # both\n\nmachine Oven\nset Open\n"
    assert parse(text) == scripts
    titled = Script("Oven", (Line(ADD, ("Open",), "why"),), "broken")
    assert as_text([titled]) == "machine Oven\n# broken\nadd Open  # why\n"
    assert parse(as_text([titled, titled]))[1].lines == (Line(ADD, ("Open",), number=7),)


def test_a_report_in_json_is_read() -> None:
    lines = as_json(Script("Oven", (Line(ADD, ("Open",)), Line(REMOVE, ("Open",)))))
    report = {
        "machines": [{"machine": "Oven", "findings": [{"message": "m", "script": lines}, {"script": []}]}]
    }
    assert parse(json.dumps(report)) == (
        Script("Oven", (Line(ADD, ("Open",)), Line(REMOVE, ("Open",))), "m"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no script"),
        ("# only a comment", "there is no script"),
        ("add Open", "line 1: of which machine"),
        ("machine Oven\nad Open", "line 2: 'ad Open' is no mutation; did you mean 'add'"),
        ("machine Oven\nadd", "line 2: 'add' is no mutation"),
        ("machine", "line 1: 'machine' is no mutation"),
        ("machine Oven\n" * 10_001, "at most 10000"),
        ("{", "not a report"),
        ('{"machines": 1}', "not a report"),
        ("{" * 100_000, "not a report"),
        (
            '{"machines": [{"machine": "M", "findings": [{"script": [{"kind": "x", "states": []}]}]}]}',
            "not a report",
        ),
        (
            '{"machines": [{"machine": "M", "findings": [{"message": "", "script": [{"states": "A"}]}]}]}',
            "states must be a list",
        ),
    ],
)
def test_what_is_no_script_is_refused(text: str, message: str) -> None:
    with pytest.raises(ScriptError, match=message):
        parse(text)


def test_each_step_is_played_and_explained() -> None:
    (script,) = parse("machine Oven\nadd Baking\nadd Power\nadd Baking\nadd Open\nremove Power Open\n")
    steps = list(play(script, OVEN))
    first, second, third, fourth, last = steps
    assert (first.accepted, first.why) == (False, ("Baking requires Power", "Light requires Bulb"))
    assert (second.came, second.auto_came) == (("Power",), ("Shut",))
    assert (third.came, third.why) == (("Baking",), ("Light requires Bulb",))
    assert (fourth.came, fourth.went, fourth.auto_came) == (("Open",), ("Shut",), ())
    assert fourth.broken == ("never: [Open, Baking]",)
    assert fourth.active == ("Open", "Power", "Baking")
    assert (last.went, last.auto_came, last.active) == (("Open", "Power", "Baking"), ("Shut",), ("Shut",))
    assert str(fourth.line) == "add Open"


def test_unknown_states_name_their_line() -> None:
    (script,) = parse("machine Oven\nadd Opne\n")
    with pytest.raises(ScriptError, match="line 2: machine Oven has no state 'Opne'; did you mean 'Open'"):
        list(play(script, OVEN))


def test_the_script_of_a_finding_plays_to_it() -> None:
    result = explore(OVEN)
    (finding,) = [f for f in result.findings if f.is_error]
    script = script_of(finding, result)
    assert script.title == "invariant `never: [Open, Baking]` is broken after 3 mutations"
    assert list(play(script, OVEN))[-1].broken == ("never: [Open, Baking]",)


def test_titles() -> None:
    schema = Schema(
        "All",
        {
            "Rock": State(auto=True, remove=("Scissors",)),
            "Paper": State(auto=True, remove=("Rock",)),
            "Scissors": State(auto=True, remove=("Paper",)),
            "Trap": State(auto=True, remove=("Never",)),
            "Never": State(),
            "Neither": State(require=("Never",)),
            "Gone": State(remove=("Work",)),
            "Work": State(require=("Tool",)),
            "Tool": State(require=("Work2",)),
            "Work2": State(),
            "Cold": State(remove=("Warm",)),
            "Fire": State(auto=True, require=("Wood",), remove=("Cold",)),
            "Wood": State(),
            "Warm": State(auto=True, require=("Fire",)),
        },
    )
    result = explore(schema)
    titles = {f.kind: title(f, result) for f in reversed(result.findings)}
    assert titles["oscillation"].startswith("auto states Rock, Paper, Scissors never settle")
    assert titles["stuck"].startswith("nothing leaves {")
    assert titles["unreachable"] == "state Never is never active"
    assert "state Neither is never active; it requires Never, which never is either" in [
        title(f, result) for f in result.findings
    ]
    assert "Warm moves only with the next mutation, after 2 mutations" in titles["late"]
    gone = Schema("Ends", {"Gone": State(remove=("A", "B")), "A": State(remove=("B",)), "B": State()})
    (finding,) = explore(gone).findings
    assert title(finding, explore(gone)) == (
        "only a remove leaves {Gone}: every add is rejected or undone, after 1 mutation"
    )
    nudged = [f for f in result.findings if f.nudges]
    for finding in nudged:
        assert "only lets auto states follow" in [line.comment for line in script_of(finding, result).lines]
    assert EXCEPTION in schema.names
