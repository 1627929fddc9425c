"""Alert rules, in the form of Prometheus's rule files, which Mimir, Thanos and VictoriaMetrics read too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from amgen.model import SchemaModel
from asyncmachine.schema import EXCEPTION
from asyncmachine.telemetry import names

__all__ = ["Alert", "alerts", "as_yaml"]


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule: it fires when *expression* has had results for *lasting*."""

    name: str
    expression: str
    lasting: str
    severity: str
    summary: str


def alerts(models: Iterable[SchemaModel]) -> list[Alert]:
    """Rules for these machines: two that know their states, and the ones that hold for all."""
    every = sorted(models, key=lambda m: m.name)
    found = [alert for model in every for alert in _of(model)]
    return [*found, *_shared("|".join(m.name for m in every))]


def _of(model: SchemaModel) -> Iterable[Alert]:
    active, kind = names.STATE_ACTIVE.name, f'kind="{model.name}"'
    errors = _errors(model)
    if errors:
        yield Alert(
            "AsyncMachineErrorState",
            f'{active}{{{kind}, state=~"{"|".join(errors)}"}} == 1',
            "1m",
            "warning",
            "{{ $labels.kind }} {{ $labels.machine }} has been in {{ $labels.state }} for a minute",
        )
    if {"Start", "Ready"} <= set(model.states):
        ready = f'{active}{{{kind}, state="Ready"}} == 1'
        yield Alert(
            "AsyncMachineNotReady",
            f'{active}{{{kind}, state="Start"}} == 1 unless on (kind, machine, instance) {ready}',
            "5m",
            "critical",
            "{{ $labels.kind }} {{ $labels.machine }} was started and is not ready",
        )


def _errors(model: SchemaModel) -> Sequence[str]:
    """States that are only active while ``Exception`` is, and that one itself."""
    found = {EXCEPTION}
    while more := {n for n, s in model.states.items() if found & set(s.targets("require"))} - found:
        found |= more
    return [n for n in model.states if n in found]


def _shared(kinds: str) -> Iterable[Alert]:
    kind = f'kind=~"{kinds}"'
    by = "kind, machine, instance"
    slow = f"sum by (le, {by}, handler) (rate({names.HANDLER_SECONDS.name}_bucket{{{kind}}}[5m]))"
    yield Alert(
        "AsyncMachineErrors",
        f"sum by ({by}, state) (rate({names.ERRORS.name}{{{kind}}}[5m])) > 0",
        "5m",
        "warning",
        "{{ $labels.kind }} {{ $labels.machine }} keeps failing with {{ $labels.state }}",
    )
    yield Alert(
        "AsyncMachineQueueLong",
        f"{names.QUEUE_DEPTH.name}{{{kind}}} > 100",
        "5m",
        "warning",
        "{{ $labels.kind }} {{ $labels.machine }} has {{ $value }} mutations waiting",
    )
    yield Alert(
        "AsyncMachineHandlerSlow",
        f"histogram_quantile(0.95, {slow}) > 1",
        "10m",
        "warning",
        "{{ $labels.handler }} of {{ $labels.kind }} takes over a second in one call of twenty",
    )
    yield Alert(
        "AsyncMachinePoolStarved",
        f"{names.POOL_WAITING.name}{{{kind}}} > 0",
        "5m",
        "critical",
        "{{ $value }} requests wait for a worker of {{ $labels.kind }} {{ $labels.machine }}",
    )


def as_yaml(rules: Iterable[Alert]) -> str:
    """A rule file. A JSON string is a YAML string in double quotes, so nothing in it is more than text."""
    lines = ["groups:", "  - name: asyncmachine", "    rules:"]
    for rule in rules:
        lines += [
            f"      - alert: {rule.name}",
            f"        expr: {json.dumps(rule.expression)}",
            f"        for: {rule.lasting}",
            "        labels:",
            f"          severity: {rule.severity}",
            "        annotations:",
            f"          summary: {json.dumps(rule.summary)}",
        ]
    return "\n".join(lines) + "\n"
