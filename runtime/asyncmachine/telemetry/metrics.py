"""Machines as metrics of Prometheus. Needs the extra ``metrics`` (prometheus-client).

::

    metrics = Metrics()                   # in a registry of its own, or in yours
    metrics.attach(machine)
    start_http_server(9090, registry=metrics.registry)

The names are in ``telemetry.names``. By default a machine is known by its kind, the name of its schema, so
that the number of series does not grow with the number of machines.

What happens is counted in plain numbers, and becomes samples only when somebody asks for them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator
from typing import Any, Final
from weakref import WeakSet

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import (
    Metric as Family,
)
from prometheus_client.registry import Collector

from asyncmachine._core.mutation import KIND_NAMES
from asyncmachine.api import MachineApi, Tracer
from asyncmachine.schema import EXCEPTION
from asyncmachine.telemetry import names
from asyncmachine.telemetry.names import SHARED, Metric

__all__ = ["Metrics"]

_BUCKETS: Final = (1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 0.1, 0.5, 1.0, 5.0)
"""Seconds: a transition without handlers takes microseconds, one with slow handlers whole seconds."""


class Metrics(Collector):
    """The metrics of the machines that are attached to it.

    Args:
        registry: where they are registered; None: one of its own.
        ids: label series with the id of the machine, too. Only for a few machines that live long.
        states: which states have series of their own; None: all of them.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        ids: bool = False,
        states: Collection[str] | None = None,
    ) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self._ids = ids
        self._states = frozenset(states) if states is not None else None
        self._series: dict[tuple[str, str], _Series] = {}
        self.registry.register(self)

    def attach(self, machine: MachineApi) -> Tracer:
        """Count what *machine* does from now on, until it is disposed of or untraced."""
        key = (machine.schema.name, machine.id if self._ids else "")
        series = self._series.setdefault(key, _Series())
        tracer = _Counting(series, self._states)
        machine.trace(tracer)
        return tracer

    def describe(self) -> Iterator[Family]:
        """What a registry checks for duplicates."""
        return (_family(metric) for metric in _METRICS)

    def collect(self) -> Iterator[Family]:
        """All samples, as they are now. Called by the registry, possibly in a thread of its own."""
        families = {metric.name: _family(metric) for metric in _METRICS}
        for key, series in list(self._series.items()):
            for metric, labels, value in series.samples():
                family: Any = families[metric.name]
                if isinstance(value, _Times):
                    family.add_metric((*key, *labels), *value.cumulative())
                else:
                    family.add_metric((*key, *labels), value)
        return iter(families.values())


_METRICS: Final = (
    *(names.TRANSITIONS, names.TRANSITION_SECONDS, names.HANDLER_SECONDS, names.QUEUE_DEPTH),
    *(names.STATE_ACTIVE, names.STATE_ACTIVATIONS, names.ERRORS),
)


def _family(metric: Metric) -> Family:
    kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
    family: Family = kinds[metric.type](
        metric.name.removesuffix("_total"), metric.doc, labels=(*SHARED, *metric.labels)
    )
    return family


class _Times:
    """A histogram of seconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(_BUCKETS, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> tuple[list[tuple[str, float]], float]:
        """Buckets as the format wants them, and the sum."""
        rows: list[tuple[str, float]] = []
        count = 0
        for bound, here in zip((*map(str, _BUCKETS), "+Inf"), list(self.counts), strict=True):
            count += here
            rows.append((bound, count))
        return rows, self.total


class _Series:
    """The numbers of all machines with the same labels."""

    def __init__(self) -> None:
        self.transitions: dict[tuple[int, bool, bool], int] = {}  # kind, auto, accepted
        self.times = _Times()
        self.handlers: dict[str, _Times] = {}
        self.activations: dict[str, int] = {}  # of machines that are gone
        self.machines: WeakSet[_Counting] = WeakSet()

    def retire(self, machine: _Counting) -> None:
        """Keep the counts of a machine that is disposed of: a counter never goes back."""
        if machine in self.machines:
            self.machines.discard(machine)
            for state, _, count in machine.states():
                self.activations[state] = self.activations.get(state, 0) + count

    def samples(self) -> Iterator[tuple[Metric, tuple[str, ...], float | _Times]]:
        """What there is to tell."""
        for (kind, auto, accepted), count in list(self.transitions.items()):
            labels = ("executed" if accepted else "canceled", "auto" if auto else KIND_NAMES[kind])
            yield names.TRANSITIONS, labels, count
        yield names.TRANSITION_SECONDS, (), self.times
        for handler, times in list(self.handlers.items()):
            yield names.HANDLER_SECONDS, (handler,), times
        machines = list(self.machines)
        yield names.QUEUE_DEPTH, (), sum(m.depth for m in machines)
        active: dict[str, int] = {}
        activations = dict(self.activations)
        for machine in machines:
            for state, is_active, count in machine.states():
                active[state] = active.get(state, 0) + is_active
                activations[state] = activations.get(state, 0) + count
        for state, count in active.items():
            yield names.STATE_ACTIVE, (state,), count
        for state, count in activations.items():
            yield names.STATE_ACTIVATIONS, (state,), count
            if state == EXCEPTION or (state.startswith("Err") and state[3:4].isupper()):
                yield names.ERRORS, (state,), count


class _Counting(Tracer):
    """Counts one machine, by the hooks that cost least. Its series know it weakly: untraced, it is gone."""

    def __init__(self, series: _Series, states: frozenset[str] | None) -> None:
        self._series = series
        self._states = states
        self._machine: Any = None
        self._before: tuple[int, ...] = ()

    def machine_init(self, machine: Any) -> None:
        self._machine = machine
        self._before = tuple(machine.time())
        self._series.machines.add(self)

    def machine_dispose(self, machine: Any) -> None:
        self._series.retire(self)

    def transition_counted(self, machine: Any, plan: Any, auto: bool, accepted: bool, seconds: float) -> None:
        series = self._series
        key = plan.kind, auto, accepted
        counts = series.transitions
        counts[key] = counts.get(key, 0) + 1
        if seconds:
            series.times.observe(seconds)

    def handler_counted(self, machine: Any, name: str, seconds: float) -> None:
        times = self._series.handlers.get(name)
        if times is None:
            times = self._series.handlers[name] = _Times()
        times.observe(seconds)

    @property
    def depth(self) -> int:
        """Mutations that wait now."""
        return int(getattr(self._machine, "queue_len", 0))  # a mirror has no queue

    def states(self) -> Iterator[tuple[str, int, int]]:
        """Each state with series of its own: whether it is active, and how often it was activated here."""
        wanted = self._states
        names, now, before = self._machine.schema.names, self._machine.time(), self._before
        for name, tick, old in zip(names, now, before, strict=True):
            if wanted is None or name in wanted:
                yield name, tick & 1, (tick + 1) // 2 - (old + 1) // 2
