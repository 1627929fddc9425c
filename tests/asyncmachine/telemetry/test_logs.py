from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from asyncmachine import Machine
from asyncmachine.schema import Event, Schema, State
from asyncmachine.telemetry import logs
from asyncmachine.telemetry.logs import Level

LAMP = Schema(
    "Lamp",
    {
        "On": State(remove=("Off",)),
        "Off": State(auto=True, remove=("On",)),
        "Broken": State(require=("On",)),
        "Heartbeat": State(multi=True),
    },
)


class Refuses:
    def on_enter(self, event: Event[Any]) -> bool:
        return event.args.get("power", True) is not False


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """What ``setup`` changes is the logger of the whole library."""
    logger = logging.getLogger("asyncmachine")
    before = logger.level, logger.propagate, list(logger.handlers)
    yield
    logger.setLevel(before[0])
    logger.propagate = before[1]
    logger.handlers = before[2]


def lines(level: str, style: str = "text", **options: Any) -> tuple[Machine, io.StringIO]:
    out = io.StringIO()
    logs.setup(level, style=style, stream=out)
    machine = Machine(LAMP, Refuses(), id="lamp.1")
    logs.attach(machine, level, **options)
    return machine, out


def texts(out: io.StringIO) -> list[str]:
    """Lines without time and level."""
    return [line.split(maxsplit=2)[2] for line in out.getvalue().splitlines()]


def test_changes_are_states_that_came_and_went() -> None:
    machine, out = lines("changes")
    machine.add("On")
    machine.add("Broken")
    machine.remove("On")
    assert texts(out) == [
        "lamp.1: [state] +On",
        "lamp.1: [state] +Broken",
        "lamp.1: [state] -On -Broken",
        "lamp.1: [state:auto] +Off",
    ]
    assert "INFO" in out.getvalue()


def test_ops_are_what_was_asked_with_the_names_of_args_only() -> None:
    machine, out = lines("ops", args={"watts"})
    machine.add("On", watts=40, pin="s3cret")
    assert "lamp.1: [add] On (watts=40, pin=...)" in texts(out)
    assert "s3cret" not in out.getvalue()


def test_long_values_are_cut() -> None:
    machine, out = lines("ops", args={"text"})
    machine.add("On", text="x" * 1_000)
    assert max(map(len, texts(out))) < 200


def test_decisions_say_who_stopped_it() -> None:
    machine, out = lines("decisions")
    machine.add("Broken")
    machine.add("On", power=False)
    found = [t for t in texts(out) if "[cancel]" in t]
    assert found == [
        "lamp.1: [cancel] add Broken: by relations",
        "lamp.1: [cancel] add On: by on_enter",
    ]


def test_everything_has_handlers_and_dry_runs() -> None:
    machine, out = lines("everything")
    machine.can_add("On")
    found = texts(out)
    assert "lamp.1: [add] On" in found
    assert any(t.startswith("lamp.1: [handler] on_enter ") and t.endswith(" ms") for t in found)
    assert not any("[state]" in t for t in found), "a dry run changes nothing"


def test_states_can_be_left_out() -> None:
    machine, out = lines("changes", skip={"Heartbeat"})
    machine.add("Heartbeat")
    machine.remove("Heartbeat")
    assert not any("Heartbeat" in t for t in texts(out))


def test_json_has_the_fields_and_where_it_came_from() -> None:
    machine, out = lines("changes", "json")
    machine.add("On")
    row = json.loads(out.getvalue().splitlines()[0])
    assert row | {"time": "", "transition": ""} == {
        "time": "",
        "level": "info",
        "logger": "asyncmachine.machine.lamp_1",
        "text": "[state] +On",
        "machine": "lamp.1",
        "kind": "Lamp",
        "event": "changed",
        "ticks": {"On": 1},
        "transition": "",
        "type": "add",
        "called": ["On"],
        "source": None,
    }
    assert row["time"].endswith("Z")
    assert row["transition"].startswith("lamp.1/")


def test_text_from_afar_moves_no_cursor() -> None:
    out = io.StringIO()
    logs.setup("info", stream=out)
    logging.getLogger("asyncmachine.rpc").warning("refused %s", "a\x1b[2J\r\u202eb")
    assert out.getvalue().rstrip("\n").endswith("rpc: refused a\\x1b[2J\\x0d\\u202eb")


def test_exceptions_are_in_the_log() -> None:
    out = io.StringIO()
    for style in ("text", "json"):
        logs.setup("info", style=style, stream=out)
    try:
        raise KeyError("mine")
    except KeyError:
        logging.getLogger("asyncmachine.node").exception("failed")
    text, row = out.getvalue().split("\n{")
    assert "KeyError: 'mine'" in text
    assert "KeyError: 'mine'" in json.loads("{" + row)["exception"]


def test_a_logger_that_is_off_costs_no_text(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine(LAMP, id="lamp.2")
    tracer = logs.attach(machine, "everything")
    logs.logger_of("lamp.2").setLevel(logging.ERROR)
    machine.add("On")
    assert caplog.records == []
    machine.untrace(tracer)


@pytest.mark.parametrize(("name", "number"), [("changes", 20), ("DEBUG", 10), ("everything", 5), (33, 33)])
def test_levels_have_names(name: str | int, number: int) -> None:
    assert logs.level_of(name) == number


def test_unknown_names_are_listed() -> None:
    with pytest.raises(ValueError, match="log level 'chages' is none of changes, ops, decisions, everything"):
        logs.level_of("chages")
    with pytest.raises(ValueError, match="log style 'xml' is none of text, json"):
        logs.setup("changes", style="xml")
    assert [level.name for level in Level] == ["CHANGES", "OPS", "DECISIONS", "EVERYTHING"]
