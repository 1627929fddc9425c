"""Machines as traces of OpenTelemetry. Needs the extra ``traces`` (opentelemetry-api).

What becomes of the spans is up to the SDK that the program has set up.

::

    spans.attach(machine)                    # a span per transition
    spans.attach(machine, states=True)       # and one per stay in a state

A transition that another one caused is its child, whatever machine it was in: a mutation carries the context
of the transition that made it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
)
from opentelemetry.trace import Tracer as OtelTracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from asyncmachine.api import MachineApi, Tracer

__all__ = ["SpanTracer", "attach", "traceparent"]

_W3C: Final = TraceContextTextMapPropagator()


class SpanTracer(Tracer):
    """Makes spans of what a machine does.

    A span is named ``<kind> <type> <states>``, such as ``Worker add WorkRequested``. Its attributes are
    ``am.machine``, ``am.kind``, ``am.transition``, ``am.type``, ``am.called``, ``am.result``, ``am.entered``,
    ``am.exited``, and ``am.source``, the transition that caused it; a canceled one says by whom in
    ``am.stopped_by``, and one in which a handler failed has the exception and the status ERROR. Handlers are
    events of it.

    Args:
        tracer: of OpenTelemetry; None: the one of the global provider.
        args: names of args whose values become attributes ``am.arg.<name>``.
        states: a span for each stay in a state, too, as a child of the transition that began it.
        skip: a mutation of nothing but these states makes no span.
    """

    def __init__(
        self,
        tracer: OtelTracer | None = None,
        *,
        args: Collection[str] = (),
        states: bool = False,
        skip: Collection[str] = (),
    ) -> None:
        self._tracer = tracer if tracer is not None else trace.get_tracer("asyncmachine")
        self._args = frozenset(args)
        self._states = states
        self._skip = frozenset(skip)
        self._open: dict[
            int, Span
        ] = {}  # by number of the transition: they nest when a check is made inside one
        self._stays: dict[str, Span] = {}

    def transition_start(self, machine: Any, transition: Any) -> None:
        mutation = transition.mutation
        if mutation.check or (self._skip and self._skip.issuperset(transition.called)):
            return
        kind = f"{transition.kind}:auto" if mutation.auto else transition.kind
        attributes: dict[str, Any] = {
            "am.machine": machine.id,
            "am.kind": machine.schema.name,
            "am.transition": transition.id,
            "am.type": kind,
            "am.called": transition.called,
            "am.queue_len": transition.queue_len,
        }
        for name in self._args & mutation.args.keys():
            value = mutation.args[name]
            attributes[f"am.arg.{name}"] = (
                value if isinstance(value, bool | int | float | str) else repr(value)
            )
        source = mutation.source
        span = self._tracer.start_span(
            f"{machine.schema.name} {kind} {' '.join(transition.called)}",
            context=_parent(source.trace) if source is not None and source.trace else None,
            kind=SpanKind.INTERNAL,
            attributes=attributes,
        )
        if source is not None:
            span.set_attribute("am.source", source.transition)
        transition.trace = traceparent(span.get_span_context())
        self._open[transition.number] = span

    def handler_end(self, machine: Any, transition: Any, name: str, seconds: float) -> None:
        span = self._open.get(transition.number)
        if span is not None:
            span.add_event(name, {"seconds": seconds})

    def transition_end(self, machine: Any, transition: Any) -> None:
        span = self._open.pop(transition.number, None)
        if span is None:
            return
        span.set_attribute("am.result", "executed" if transition.accepted else "canceled")
        if transition.accepted:
            span.set_attribute("am.entered", transition.enters)
            span.set_attribute("am.exited", transition.exits)
        elif transition.stopped_by:
            span.set_attribute("am.stopped_by", transition.stopped_by)
        if transition.error is not None:
            span.record_exception(transition.error)
            span.set_status(
                Status(StatusCode.ERROR, f"{type(transition.error).__name__} in {transition.stopped_by}")
            )
        if self._states:
            self._follow(machine, transition, span)
        span.end()

    def _follow(self, machine: Any, transition: Any, span: Span) -> None:
        for name, old, new in zip(
            machine.schema.names, transition.time_before, transition.time_after, strict=True
        ):
            if old == new:
                continue
            if (stay := self._stays.pop(name, None)) is not None:
                stay.end()
            if new & 1:
                self._stays[name] = self._tracer.start_span(
                    f"{machine.schema.name} {name}",
                    context=trace.set_span_in_context(span),
                    attributes={"am.machine": machine.id, "am.state": name, "am.tick": new},
                )

    def machine_dispose(self, machine: Any) -> None:
        for span in (*self._stays.values(), *self._open.values()):
            span.end()
        self._stays.clear()
        self._open.clear()


def traceparent(context: SpanContext) -> str:
    """The context of a span in the form of W3C: what mutations carry."""
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _parent(text: str) -> Context:
    return _W3C.extract({"traceparent": text})


def attach(machine: MachineApi, tracer: OtelTracer | None = None, **options: Any) -> SpanTracer:
    """Make spans of what *machine* does; see :class:`SpanTracer` for the options."""
    found = SpanTracer(tracer, **options)
    machine.trace(found)
    return found
