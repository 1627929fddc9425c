"""Panels of a Grafana dashboard, and the queries in them, as plain values for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from asyncmachine.telemetry.names import Metric

__all__ = ["Json", "Panel", "Query", "Row", "arranged", "quantile", "rate", "selected"]

Json: TypeAlias = dict[str, Any]
SOURCE: Final[Json] = {"type": "prometheus", "uid": "${datasource}"}
WIDTH: Final = 24


@dataclass(frozen=True, slots=True)
class Query:
    """One line of PromQL, and how its results are called."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel; ``options`` and ``custom`` are Grafana's, for its type."""

    title: str
    queries: Sequence[Query]
    doc: str
    type: str = "timeseries"
    unit: str = "short"
    width: int = 12
    height: int = 8
    format: str = "time_series"
    options: Mapping[str, Any] | None = None
    custom: Mapping[str, Any] | None = None
    mappings: Sequence[Json] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A heading with panels; a folded one asks nothing until it is opened."""

    title: str
    panels: Sequence[Panel]
    folded: bool = False


def selected(metric: Metric, *more: str, suffix: str = "") -> str:
    """The series of *metric* that the variables of the dashboard choose."""
    chosen = ['kind=~"$kind"', 'machine=~"$machine"', *more]
    return f"{metric.name}{suffix}{{{', '.join(chosen)}}}"


def rate(metric: Metric, *by: str, more: Sequence[str] = ()) -> str:
    """Events per second of a counter, summed up by labels."""
    return f"sum by ({', '.join(by)}) (rate({selected(metric, *more)}[$__rate_interval]))"


def quantile(metric: Metric, share: float, *by: str) -> str:
    """The value that *share* of a histogram's observations are below."""
    series = f"rate({selected(metric, suffix='_bucket')}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by ({', '.join(['le', *by])}) ({series}))"


def arranged(rows: Sequence[Row]) -> list[Json]:
    """All rows and panels with their places: from left to right, then below."""
    found: list[Json] = []
    number = 0
    top = 0
    for row in rows:
        number += 1
        head: Json = {
            "collapsed": row.folded,
            "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": top},
            "id": number,
            "panels": [],
            "title": row.title,
            "type": "row",
        }
        found.append(head)
        top += 1
        left = tallest = 0
        for panel in row.panels:
            if left + panel.width > WIDTH:
                left, top, tallest = 0, top + tallest, 0
            number += 1
            place = {"h": panel.height, "w": panel.width, "x": left, "y": top}
            (head["panels"] if row.folded else found).append(_panel(panel, number, place))
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest
    return found


def _panel(panel: Panel, number: int, place: Json) -> Json:
    return {
        "datasource": SOURCE,
        "description": panel.doc,
        "fieldConfig": {
            "defaults": {
                "custom": dict(panel.custom or {}),
                "mappings": list(panel.mappings),
                "min": 0,
                "unit": panel.unit,
            },
            "overrides": [],
        },
        "gridPos": place,
        "id": number,
        "options": dict(panel.options or {}),
        "targets": [
            {
                "datasource": SOURCE,
                "editorMode": "code",
                "expr": query.expression,
                "format": panel.format,
                "legendFormat": query.legend or "__auto",
                "range": True,
                "refId": chr(ord("A") + i),
            }
            for i, query in enumerate(panel.queries)
        ],
        "title": panel.title,
        "type": panel.type,
    }
