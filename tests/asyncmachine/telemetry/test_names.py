"""Names of metrics follow the rules of Prometheus, and none is forgotten in the list."""

from __future__ import annotations

import re

from asyncmachine.telemetry import names
from asyncmachine.telemetry.names import METRICS, SHARED, Metric


def test_every_metric_is_listed_once() -> None:
    declared = [value for value in vars(names).values() if isinstance(value, Metric)]
    assert sorted(declared, key=lambda m: m.name) == sorted(METRICS, key=lambda m: m.name)
    assert len({m.name for m in METRICS}) == len(METRICS)


def test_names_say_type_and_unit() -> None:
    for metric in METRICS:
        assert re.fullmatch(r"am_[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") == (metric.type == "counter"), metric.name
        assert metric.name.endswith("_seconds") == (metric.type == "histogram"), metric.name
        assert metric.doc.endswith(".")


def test_labels_are_words_that_are_not_taken() -> None:
    for metric in METRICS:
        assert all(re.fullmatch(r"[a-z]+", label) for label in metric.labels)
        assert not {"le", "job", "instance", *SHARED} & set(metric.labels)
