"""Alert rules."""

from __future__ import annotations

import re

import yaml

from amgen import compile_tree
from amgen.grafana.alerts import Alert, alerts, as_yaml
from asyncmachine.telemetry.names import METRICS

LAMP = b"""
machine: Lamp
states:
  Start: {doc: d}
  Ready: {doc: d, require: [Start]}
  ErrBulb: {doc: d, require: [Exception]}
  ErrBulbOften: {doc: d, require: [ErrBulb]}
"""
DOOR = b"machine: Door\nstates:\n  Open: {doc: d}\n"
MODELS = [c.model for c in compile_tree({"lamp.yaml": LAMP, "door.yaml": DOOR}).compiled.values()]


def found(name: str) -> list[str]:
    return [a.expression for a in alerts(MODELS) if a.name == name]


def test_error_states_are_those_that_need_exception() -> None:
    assert found("AsyncMachineErrorState") == [
        'am_state_active{kind="Door", state=~"Exception"} == 1',
        'am_state_active{kind="Lamp", state=~"ErrBulb|ErrBulbOften|Exception"} == 1',
    ]


def test_a_machine_that_has_ready_must_get_there() -> None:
    (rule,) = found("AsyncMachineNotReady")
    assert rule == (
        'am_state_active{kind="Lamp", state="Start"} == 1 unless on (kind, machine, instance) '
        'am_state_active{kind="Lamp", state="Ready"} == 1'
    )


def test_rules_for_all() -> None:
    names = {a.name for a in alerts(MODELS)}
    assert names == {
        *("AsyncMachineErrorState", "AsyncMachineNotReady", "AsyncMachineErrors"),
        *("AsyncMachineQueueLong", "AsyncMachineHandlerSlow", "AsyncMachinePoolStarved"),
    }
    assert found("AsyncMachineQueueLong") == ['am_queue_depth{kind=~"Door|Lamp"} > 100']


def test_metrics_are_those_that_are_exported() -> None:
    known = {m.name for m in METRICS} | {f"{m.name}_bucket" for m in METRICS if m.type == "histogram"}
    for alert in alerts(MODELS):
        used = re.findall(r"\bam_[a-z_]+", alert.expression)
        assert used
        assert set(used) <= known


def test_the_order_of_schemas_does_not_matter() -> None:
    assert alerts(reversed(MODELS)) == alerts(MODELS)


def test_the_file_says_what_the_rules_say() -> None:
    odd = Alert("Odd", 'a{b="\\"}\n# c', "1m", "info", "{{ $labels.kind }}: \u00e9 'x'")
    (group,) = yaml.safe_load(as_yaml([*alerts(MODELS), odd]))["groups"]
    assert group["name"] == "asyncmachine"
    assert group["rules"] == [
        {
            "alert": a.name,
            "expr": a.expression,
            "for": a.lasting,
            "labels": {"severity": a.severity},
            "annotations": {"summary": a.summary},
        }
        for a in [*alerts(MODELS), odd]
    ]
