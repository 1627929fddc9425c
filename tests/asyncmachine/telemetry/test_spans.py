from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, Tracer

from asyncmachine import Machine
from asyncmachine.schema import Event, Schema, State
from asyncmachine.telemetry import spans

LAMP = Schema(
    "Lamp",
    {"On": State(remove=("Off",)), "Off": State(auto=True, remove=("On",)), "Broken": State(require=("On",))},
)
DOOR = Schema("Door", {"Open": State(), "Heartbeat": State(multi=True)})


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def otel(exporter: InMemorySpanExporter) -> Tracer:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("test")


def named(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    found: Sequence[ReadableSpan] = exporter.get_finished_spans()
    return {span.name: span for span in found}


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_transition_is_a_span(exporter: InMemorySpanExporter, otel: Tracer) -> None:
    lamp = Machine(LAMP, id="lamp")
    spans.attach(lamp, otel, args={"watts"})
    lamp.add("On", watts=40, secret=1)
    span = named(exporter)["Lamp add On"]
    assert attributes(span) == {
        "am.machine": "lamp",
        "am.kind": "Lamp",
        "am.transition": "lamp/1",
        "am.type": "add",
        "am.called": ("On",),
        "am.queue_len": 0,
        "am.arg.watts": 40,
        "am.result": "executed",
        "am.entered": ("On",),
        "am.exited": (),
    }
    assert (span.parent, span.status.status_code) == (None, StatusCode.UNSET)


def test_what_an_auto_state_adds_is_a_span_of_its_own(exporter: InMemorySpanExporter, otel: Tracer) -> None:
    lamp = Machine(LAMP)
    spans.attach(lamp, otel)
    lamp.add("Broken")
    assert attributes(named(exporter)["Lamp add Broken"])["am.result"] == "canceled"
    lamp.add("On")
    lamp.remove("On")
    assert attributes(named(exporter)["Lamp add:auto Off"])["am.entered"] == ("Off",)


class Refuses:
    def on_enter(self, event: Event[Any]) -> bool:
        return False


def test_a_veto_is_no_error_but_is_named(exporter: InMemorySpanExporter, otel: Tracer) -> None:
    lamp = Machine(LAMP, Refuses())
    spans.attach(lamp, otel)
    lamp.add("On")
    span = named(exporter)["Lamp add On"]
    assert attributes(span)["am.stopped_by"] == "on_enter"
    assert span.status.status_code is StatusCode.UNSET
    assert [event.name for event in span.events] == ["on_enter"]


class Fails:
    def on_state(self, event: Event[Any]) -> None:
        raise ValueError("too bright")

    def exception_state(self, event: Event[Any]) -> None:
        """Nothing is logged."""


def test_a_failure_is_recorded(exporter: InMemorySpanExporter, otel: Tracer) -> None:
    lamp = Machine(LAMP, Fails())
    spans.attach(lamp, otel)
    lamp.add("On")
    span = named(exporter)["Lamp add On"]
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "ValueError in on_state")
    exception = next(event for event in span.events if event.name == "exception")
    assert (exception.attributes or {})["exception.message"] == "too bright"
    caused = named(exporter)["Lamp add Exception"]
    assert caused.parent is not None
    assert caused.parent.span_id == span.context.span_id


def test_what_one_machine_causes_in_another_is_a_child(exporter: InMemorySpanExporter, otel: Tracer) -> None:
    door = Machine(DOOR, id="door")

    class Opens:
        def on_state(self, event: Event[Any]) -> None:
            door.add("Open")

    lamp = Machine(LAMP, Opens(), id="lamp")
    for machine in (lamp, door):
        spans.attach(machine, otel)
    lamp.add("On")
    parent, child = named(exporter)["Lamp add On"], named(exporter)["Door add Open"]
    assert child.parent is not None
    assert child.parent.span_id == parent.context.span_id
    assert child.context.trace_id == parent.context.trace_id
    assert attributes(child)["am.source"] == "lamp/1"


def test_without_a_cause_the_parent_is_what_the_program_is_at(
    exporter: InMemorySpanExporter, otel: Tracer
) -> None:
    door = Machine(DOOR)
    spans.attach(door, otel)
    with otel.start_as_current_span("request") as request:
        door.add("Open")
    child = named(exporter)["Door add Open"]
    assert child.parent is not None
    assert child.parent.span_id == request.get_span_context().span_id


def test_a_stay_in_a_state_is_a_span_on_demand(exporter: InMemorySpanExporter, otel: Tracer) -> None:
    lamp = Machine(LAMP)
    spans.attach(lamp, otel, states=True)
    lamp.add("On")
    assert "Lamp On" not in named(exporter), "it is still on"
    lamp.remove("On")
    stay, began = named(exporter)["Lamp On"], named(exporter)["Lamp add On"]
    assert stay.parent is not None
    assert stay.parent.span_id == began.context.span_id
    assert "Lamp Off" not in named(exporter)
    lamp.dispose()
    assert "Lamp Off" in named(exporter), "it ends with its machine"


def test_dry_runs_and_skipped_states_make_none(exporter: InMemorySpanExporter, otel: Tracer) -> None:
    door = Machine(DOOR)
    spans.attach(door, otel, skip={"Heartbeat"})
    door.can_add("Open")
    door.add("Heartbeat")
    assert named(exporter) == {}
    door.add("Heartbeat", "Open")
    assert list(named(exporter)) == ["Door add Heartbeat Open"]


def test_without_an_sdk_it_does_nothing() -> None:
    door = Machine(DOOR)
    spans.attach(door)
    assert door.add("Open")
    assert spans.traceparent(spans.trace.INVALID_SPAN_CONTEXT) == ""
