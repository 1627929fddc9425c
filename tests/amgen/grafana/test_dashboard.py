"""The dashboard: as it was accepted, and asking only for what is exported.

After an intended change run ``python tests/amgen/grafana/test_dashboard.py`` and read the diff.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from amgen.grafana.dashboard import dashboard
from asyncmachine.telemetry.names import METRICS, SHARED

GOLDEN = Path(__file__).parent / "dashboard.json"
METRIC = re.compile(r"\bam_[a-z_]+")


def text() -> str:
    return json.dumps(dashboard(), indent=2) + "\n"


def panels() -> Iterator[dict[str, Any]]:
    for panel in dashboard()["panels"]:
        yield from (panel.get("panels") or [panel])


def queries() -> list[str]:
    return [t["expr"] for p in panels() for t in p.get("targets", ())]


def test_it_is_as_it_was_accepted() -> None:
    assert text() == GOLDEN.read_text("utf-8")


def test_every_metric_is_shown_and_no_other() -> None:
    known = {m.name: m for m in METRICS}
    suffixed = {f"{m.name}_bucket": m for m in METRICS if m.type == "histogram"}
    used = {name for query in queries() for name in METRIC.findall(query)}
    assert used <= {*known, *suffixed}
    assert {suffixed.get(n, known.get(n)) for n in used} == set(METRICS)


def test_queries_use_only_labels_that_there_are() -> None:
    labels = {m.name: {*SHARED, *m.labels, "le"} for m in METRICS}
    labels |= {f"{m.name}_bucket": {*SHARED, *m.labels, "le"} for m in METRICS}
    for query in queries():
        there = set.intersection(*(labels[n] for n in METRIC.findall(query)))
        asked = {w for by in re.findall(r"by \(([^)]*)\)", query) for w in re.findall(r"\w+", by)}
        asked |= set(re.findall(r'(\w+)=~?"', query))
        assert asked <= there, query


def test_rates_are_of_counters_and_quantiles_of_histograms() -> None:
    kinds = {m.name: m.type for m in METRICS} | {f"{m.name}_bucket": "histogram" for m in METRICS}
    for query in queries():
        for name in METRIC.findall(query):
            counted = re.search(rf"(rate|increase)\({name}\b", query) is not None
            assert counted == (kinds[name] != "gauge"), query
        assert query.count("(") == query.count(")")


def test_every_query_follows_the_variables() -> None:
    names = {v["name"] for v in dashboard()["templating"]["list"]}
    assert names == {"datasource", "kind", "machine", "state"}
    for query in queries():
        assert query.count('{kind=~"$kind", machine=~"$machine"') == len(METRIC.findall(query))
        assert set(re.findall(r"\$(\w+)", query)) <= names | {"__rate_interval", "__range"}


def test_numbers_are_unique_and_panels_do_not_overlap() -> None:
    every = list(panels())
    rows = [p for p in dashboard()["panels"] if p["type"] == "row"]
    numbers = [p["id"] for p in every if p["type"] != "row"] + [p["id"] for p in rows]
    assert len(set(numbers)) == len(numbers)
    taken: set[tuple[int, int]] = set()
    for place in (p["gridPos"] for p in every if p["type"] != "row"):
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_only_some_kinds() -> None:
    kinds = next(v for v in dashboard(["Lamp", "Worker"])["templating"]["list"] if v["name"] == "kind")
    assert (kinds["regex"], "allValue" in kinds) == ("/^(Lamp|Worker)$/", False)


if __name__ == "__main__":
    GOLDEN.write_text(text(), "utf-8")
