"""Places of panels, and the selectors in queries."""

from __future__ import annotations

from amgen.grafana.panels import Panel, Query, Row, arranged, quantile, rate, selected
from asyncmachine.telemetry.names import HANDLER_SECONDS, TRANSITIONS


def panel(title: str, width: int, height: int = 8) -> Panel:
    return Panel(title=title, queries=[Query("a"), Query("b", "{{x}}")], doc="d", width=width, height=height)


def test_panels_are_placed_from_left_to_right_then_below() -> None:
    rows = [
        Row("One", [panel("a", 12, 4), panel("b", 12), panel("c", 6)]),
        Row("Two", [panel("d", 24)], folded=True),
    ]
    found = arranged(rows)
    places = [(p["title"], *(p["gridPos"][k] for k in "xywh")) for p in found]
    assert places == [
        ("One", 0, 0, 24, 1),
        ("a", 0, 1, 12, 4),
        ("b", 12, 1, 12, 8),
        ("c", 0, 9, 6, 8),
        ("Two", 0, 17, 24, 1),
    ]
    assert [p["title"] for p in found[-1]["panels"]] == ["d"]
    assert [t["refId"] for t in found[1]["targets"]] == ["A", "B"]
    assert [t["legendFormat"] for t in found[1]["targets"]] == ["__auto", "{{x}}"]


def test_queries_select_by_label() -> None:
    assert selected(TRANSITIONS) == 'am_transitions_total{kind=~"$kind", machine=~"$machine"}'
    assert rate(TRANSITIONS, "result", more=['type="add"']) == (
        'sum by (result) (rate(am_transitions_total{kind=~"$kind", machine=~"$machine", type="add"}'
        "[$__rate_interval]))"
    )
    assert quantile(HANDLER_SECONDS, 0.95, "handler") == (
        "histogram_quantile(0.95, sum by (le, handler) "
        '(rate(am_handler_seconds_bucket{kind=~"$kind", machine=~"$machine"}[$__rate_interval])))'
    )
