from __future__ import annotations

import gc
import threading
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from asyncmachine import Machine
from asyncmachine.schema import Event, Schema, State
from asyncmachine.telemetry.metrics import Metrics
from asyncmachine.telemetry.names import METRICS

OVEN = Schema(
    "Oven",
    {
        "Hot": State(remove=("Cold",)),
        "Cold": State(auto=True, remove=("Hot",)),
        "Baking": State(require=("Hot",)),
        "Knock": State(multi=True),
        "ErrGas": State(require=("Exception",)),
    },
)


class Handlers:
    def hot_enter(self, event: Event[Any]) -> bool:
        return not event.args.get("refuse", False)

    def hot_state(self, event: Event[Any]) -> None:
        if event.args.get("fail"):
            raise RuntimeError("on purpose")

    def exception_state(self, event: Event[Any]) -> None:
        """Nothing is logged."""


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """As a Prometheus server would read them: (name, value of each label that is not empty) -> value."""
    text = generate_latest(metrics.registry).decode()
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = [value for _, value in sorted(sample.labels.items()) if value]
            found[sample.name, *labels] = sample.value
    return found


def test_what_a_machine_does_is_counted() -> None:
    metrics = Metrics()
    oven = Machine(OVEN, Handlers())
    metrics.attach(oven)
    oven.add("Hot", refuse=True)
    oven.add("Hot")
    oven.add("Baking")
    oven.remove("Hot")
    oven.can_add("Hot")
    oven.add("Knock")
    oven.add("Knock")
    found = samples(metrics)
    assert found["am_transitions_total", "Oven", "canceled", "add"] == 1
    assert found["am_transitions_total", "Oven", "executed", "add"] == 4
    assert found["am_transitions_total", "Oven", "executed", "remove"] == 1
    assert found["am_transitions_total", "Oven", "executed", "auto"] == 1
    assert found["am_state_activations_total", "Oven", "Knock"] == 2
    assert found["am_state_activations_total", "Oven", "Hot"] == 1
    assert (found["am_state_active", "Oven", "Cold"], found["am_state_active", "Oven", "Hot"]) == (1, 0)
    assert found["am_handler_seconds_count", "hot_enter", "Oven"] == 3, "a dry run asks it, too"
    assert found["am_transition_seconds_count", "Oven"] == 2, "of those with handlers, and no dry runs"
    assert found["am_queue_depth", "Oven"] == 0


def test_errors_are_counted_by_state() -> None:
    metrics = Metrics()
    oven = Machine(OVEN, Handlers())
    metrics.attach(oven)
    oven.add("Hot", fail=True)
    oven.add_error(ValueError("gas"), "ErrGas")
    found = samples(metrics)
    assert found["am_errors_total", "Oven", "Exception"] == 2, "it stands for all of them"
    assert found["am_errors_total", "Oven", "ErrGas"] == 1


def test_what_was_before_is_not_counted() -> None:
    metrics = Metrics()
    oven = Machine(OVEN)
    oven.add("Knock")
    metrics.attach(oven)
    assert samples(metrics)["am_state_activations_total", "Oven", "Knock"] == 0
    oven.add("Knock")
    assert samples(metrics)["am_state_activations_total", "Oven", "Knock"] == 1


def test_machines_of_a_kind_are_one_series_and_a_counter_never_goes_back() -> None:
    metrics = Metrics()
    for number in range(3):
        oven = Machine(OVEN, id=f"oven{number}")
        metrics.attach(oven)
        oven.add("Knock")
        if number:
            oven.dispose()
    found = samples(metrics)
    assert found["am_state_activations_total", "Oven", "Knock"] == 3
    assert found["am_state_active", "Oven", "Knock"] == 1


def test_ids_are_labels_on_demand() -> None:
    metrics = Metrics(ids=True)
    for number in range(2):
        oven = Machine(OVEN, id=f"oven{number}")
        metrics.attach(oven)
        oven.add("Knock")
        gc.collect()
        assert samples(metrics)["am_transitions_total", "Oven", f"oven{number}", "executed", "add"] == 1


def test_only_some_states_have_series() -> None:
    metrics = Metrics(states={"Hot"})
    oven = Machine(OVEN)
    metrics.attach(oven)
    oven.add("Hot")
    oven.add("Knock")
    shown = {key[2] for key in samples(metrics) if key[0] == "am_state_active"}
    assert shown == {"Hot"}


def test_an_untraced_machine_is_forgotten() -> None:
    metrics = Metrics()
    oven = Machine(OVEN)
    tracer = metrics.attach(oven)
    oven.untrace(tracer)
    del tracer
    gc.collect()
    oven.add("Knock")
    found = samples(metrics)
    assert not any(key[0] == "am_transitions_total" for key in found)
    assert not any(key[0] == "am_state_active" for key in found)


def test_no_records_are_made_for_it() -> None:
    oven = Machine(OVEN)
    Metrics().attach(oven)
    assert not oven._engine.tracers.recording


def test_a_scrape_while_the_machine_works() -> None:
    metrics = Metrics()
    oven = Machine(OVEN, Handlers())
    metrics.attach(oven)
    stop = threading.Event()
    failures: list[BaseException] = []

    def scrape() -> None:
        try:
            while not stop.is_set():
                samples(metrics)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    thread = threading.Thread(target=scrape)
    thread.start()
    for _ in range(3_000):
        oven.add("Hot")
        oven.remove("Hot")
    stop.set()
    thread.join()
    assert failures == []
    assert samples(metrics)["am_transitions_total", "Oven", "executed", "remove"] == 3_000


def test_names_and_types_are_as_dashboards_expect() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.attach(Machine(OVEN))
    types = {m.name.removesuffix("_total"): m.type for m in METRICS}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        assert types[family.name] == family.type


def test_two_sets_of_metrics_do_not_fit_in_one_registry() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        Metrics(registry)
