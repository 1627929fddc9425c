"""One dashboard for all machines: its variables choose kinds and machines, its queries select by label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from amgen.grafana.panels import SOURCE, Json, Panel, Query, Row, arranged, quantile, rate, selected
from asyncmachine.telemetry import names

__all__ = ["dashboard"]

UID: Final = "asyncmachine"
_CANCELED: Final = 'result="canceled"'
_SHARES: Final = (0.5, 0.95, 0.99)
_STAT: Final = {"colorMode": "value", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}}
_LEGEND: Final = {"legend": {"calcs": ["mean", "max"], "displayMode": "table", "placement": "bottom"}}
_STACKED: Final = {"fillOpacity": 20, "stacking": {"mode": "normal"}}
_ON_OFF: Final[list[Json]] = [
    {
        "options": {
            "0": {"color": "transparent", "index": 0, "text": " "},
            "1": {"color": "green", "index": 1, "text": "active"},
        },
        "type": "value",
    }
]


def dashboard(kinds: Sequence[str] = ()) -> Json:
    """A dashboard as Grafana imports it, in the form of Grafana 10 and later.

    Args:
        kinds: names of machines; the dashboard offers these only, or all there are when empty.
    """
    return {
        "annotations": {"list": [_alerts()]},
        "description": "Machines, pools and connections of asyncmachine.",
        "editable": True,
        "graphTooltip": 1,
        "id": None,
        "links": [],
        "panels": arranged([_overview(), _transitions(), _states(), _pools(), _connections()]),
        "refresh": "10s",
        "schemaVersion": 39,
        "tags": ["asyncmachine", "generated"],
        "templating": {"list": _variables(kinds)},
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "title": "asyncmachine",
        "uid": UID,
    }


def _alerts() -> Json:
    return {
        "datasource": SOURCE,
        "enable": True,
        "expr": 'ALERTS{alertname=~"AsyncMachine.*", alertstate="firing", kind=~"$kind"}',
        "iconColor": "red",
        "name": "Alerts",
        "titleFormat": "{{alertname}}",
    }


def _variables(kinds: Sequence[str]) -> list[Json]:
    active, transitions = names.STATE_ACTIVE.name, names.TRANSITIONS.name
    only = f"/^({'|'.join(kinds)})$/" if kinds else ""
    return [
        {
            "label": "Data source",
            "name": "datasource",
            "query": "prometheus",
            "type": "datasource",
        },
        _variable("kind", f"label_values({transitions}, kind)", only),
        _variable("machine", f'label_values({transitions}{{kind=~"$kind"}}, machine)'),
        _variable("state", f'label_values({active}{{kind=~"$kind", machine=~"$machine"}}, state)'),
    ]


def _variable(name: str, query: str, regex: str = "") -> Json:
    found: dict[str, Any] = {
        "current": {"text": ["All"], "value": ["$__all"]},
        "datasource": SOURCE,
        "definition": query,
        "includeAll": True,
        "label": name.capitalize(),
        "multi": True,
        "name": name,
        "query": {"qryType": 1, "query": query, "refId": name},
        "refresh": 2,
        "regex": regex,
        "sort": 1,
        "type": "query",
    }
    # Without ids the label is missing: only a pattern that matches nothing, too, still finds the series.
    # A dashboard that is for some kinds keeps "all" meaning these.
    return found if regex else {**found, "allValue": ".*"}


def _overview() -> Row:
    total = f"sum(rate({selected(names.TRANSITIONS)}[$__rate_interval]))"
    canceled = f"sum(rate({selected(names.TRANSITIONS, _CANCELED)}[$__rate_interval]))"
    series = selected(names.QUEUE_DEPTH)

    def stat(title: str, expression: str, doc: str, unit: str = "short") -> Panel:
        query = [Query(expression)]
        return Panel(
            title=title, queries=query, doc=doc, type="stat", unit=unit, width=6, height=4, options=_STAT
        )

    return Row(
        "Overview",
        [
            stat("Machines", f"count({series})", "Machines that report."),
            stat("Transitions", total, "Per second, of all machines chosen.", "ops"),
            stat(
                "Canceled",
                f"{canceled} / {total}",
                "The share of transitions that was refused.",
                "percentunit",
            ),
            stat("Errors", f"sum(increase({selected(names.ERRORS)}[$__range]))", "In the time shown."),
        ],
    )


def _transitions() -> Row:
    times = [Query(quantile(names.TRANSITION_SECONDS, s), f"{s:.0%} are faster") for s in _SHARES]
    slow = f"topk(10, {quantile(names.HANDLER_SECONDS, 0.95, 'kind', 'handler')})"
    buckets = selected(names.TRANSITION_SECONDS, suffix="_bucket")
    return Row(
        "Transitions",
        [
            Panel(
                title="Transitions by result",
                queries=[Query(rate(names.TRANSITIONS, "result", "type"), "{{type}} {{result}}")],
                doc=names.TRANSITIONS.doc,
                unit="ops",
                options=_LEGEND,
                custom=_STACKED,
            ),
            Panel(
                title="Time of transitions",
                queries=times,
                doc=names.TRANSITION_SECONDS.doc,
                unit="s",
                options=_LEGEND,
            ),
            Panel(
                title="Time of transitions, all",
                queries=[Query(f"sum by (le) (rate({buckets}[$__rate_interval]))", "{{le}}")],
                doc="How many transitions took how long.",
                type="heatmap",
                format="heatmap",
                options={"calculate": False, "yAxis": {"unit": "s"}},
            ),
            Panel(
                title="Slowest handlers",
                queries=[Query(slow, "{{kind}} {{handler}}")],
                doc="The time that 95% of the calls of a handler are below, of the ten slowest.",
                unit="s",
                options=_LEGEND,
            ),
            Panel(
                title="Queues",
                queries=[
                    Query(f"max by (kind, machine) ({selected(names.QUEUE_DEPTH)})", "{{kind}} {{machine}}")
                ],
                doc=names.QUEUE_DEPTH.doc,
                width=24,
                options=_LEGEND,
            ),
        ],
    )


def _states() -> Row:
    chosen = 'state=~"$state"'
    return Row(
        "States",
        [
            Panel(
                title="Active states",
                queries=[
                    Query(
                        f"max by (kind, machine, state) ({selected(names.STATE_ACTIVE, chosen)})",
                        "{{kind}} {{machine}} {{state}}",
                    )
                ],
                doc=names.STATE_ACTIVE.doc,
                type="state-timeline",
                width=24,
                height=14,
                options={"legend": {"showLegend": False}, "mergeValues": True, "showValue": "never"},
                mappings=_ON_OFF,
            ),
            Panel(
                title="Activations",
                queries=[
                    Query(
                        f"topk(20, {rate(names.STATE_ACTIVATIONS, 'kind', 'state', more=[chosen])})",
                        "{{kind}} {{state}}",
                    )
                ],
                doc=names.STATE_ACTIVATIONS.doc,
                unit="ops",
                options=_LEGEND,
            ),
            Panel(
                title="Errors",
                queries=[Query(rate(names.ERRORS, "kind", "state"), "{{kind}} {{state}}")],
                doc=names.ERRORS.doc,
                unit="ops",
                options=_LEGEND,
                custom=_STACKED,
            ),
        ],
    )


def _pools() -> Row:
    jobs = [
        Query(quantile(names.POOL_JOB_SECONDS, s, "kind"), f"{{{{kind}}}} {s:.0%} are faster")
        for s in _SHARES
    ]
    workers = f"sum by (kind, phase) ({selected(names.POOL_WORKERS)})"
    waiting = f"sum by (kind) ({selected(names.POOL_WAITING)})"
    return Row(
        "Pools",
        [
            Panel(
                title="Workers",
                queries=[Query(workers, "{{kind}} {{phase}}"), Query(waiting, "{{kind}} requests that wait")],
                doc=f"{names.POOL_WORKERS.doc} {names.POOL_WAITING.doc}",
                options=_LEGEND,
            ),
            Panel(
                title="Starts and ends",
                queries=[
                    Query(rate(names.POOL_STARTS, "kind"), "{{kind}} started"),
                    Query(rate(names.POOL_EXITS, "kind", "reason"), "{{kind}} {{reason}}"),
                ],
                doc=f"{names.POOL_STARTS.doc} {names.POOL_EXITS.doc}",
                unit="ops",
                options=_LEGEND,
            ),
            Panel(
                title="Requests for workers",
                queries=[Query(rate(names.POOL_LEASES, "kind", "result"), "{{kind}} {{result}}")],
                doc=names.POOL_LEASES.doc,
                unit="ops",
                options=_LEGEND,
                custom=_STACKED,
            ),
            Panel(
                title="Time of jobs", queries=jobs, doc=names.POOL_JOB_SECONDS.doc, unit="s", options=_LEGEND
            ),
        ],
        folded=True,
    )


def _connections() -> Row:
    return Row(
        "Connections",
        [
            Panel(
                title="Sessions",
                queries=[Query(f"sum by (kind, side) ({selected(names.RPC_SESSIONS)})", "{{kind}} {{side}}")],
                doc=names.RPC_SESSIONS.doc,
                options=_LEGEND,
            ),
            Panel(
                title="Sessions opened again",
                queries=[Query(rate(names.RPC_RECONNECTS, "kind"), "{{kind}}")],
                doc=names.RPC_RECONNECTS.doc,
                unit="ops",
                options=_LEGEND,
            ),
            Panel(
                title="Bytes",
                queries=[Query(rate(names.RPC_BYTES, "kind", "direction"), "{{kind}} {{direction}}")],
                doc=names.RPC_BYTES.doc,
                unit="Bps",
                options=_LEGEND,
            ),
            Panel(
                title="Round trips",
                queries=[
                    Query(
                        quantile(names.RPC_ROUND_TRIP_SECONDS, s, "kind"), f"{{{{kind}}}} {s:.0%} are faster"
                    )
                    for s in _SHARES
                ],
                doc=names.RPC_ROUND_TRIP_SECONDS.doc,
                unit="s",
                options=_LEGEND,
            ),
        ],
        folded=True,
    )
