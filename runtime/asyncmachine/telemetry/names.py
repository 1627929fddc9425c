"""Names, types and labels of all metrics, in the one place that exporters and dashboards read.

Pure values without imports of the runtime, so that ``am-gen grafana`` asks for exactly what is exported.
All metrics have the labels ``kind`` and ``machine``; ``machine`` is empty unless ids are asked for.
Seconds are the only unit of time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = [
    "ERRORS",
    "HANDLER_SECONDS",
    "METRICS",
    "POOL_EXITS",
    "POOL_JOB_SECONDS",
    "POOL_LEASES",
    "POOL_STARTS",
    "POOL_WAITING",
    "POOL_WORKERS",
    "QUEUE_DEPTH",
    "RPC_BYTES",
    "RPC_RECONNECTS",
    "RPC_ROUND_TRIP_SECONDS",
    "RPC_SESSIONS",
    "SHARED",
    "STATE_ACTIVATIONS",
    "STATE_ACTIVE",
    "TRANSITIONS",
    "TRANSITION_SECONDS",
    "Metric",
]

SHARED: Final = ("kind", "machine")
"""Labels of every metric: the name of the schema, and the id of the machine or nothing."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: as it is stored; that of a counter ends with ``_total``.
        labels: after the shared ones.
    """

    name: str
    type: Literal["counter", "gauge", "histogram"]
    doc: str
    labels: tuple[str, ...] = ()


TRANSITIONS: Final = Metric(
    "am_transitions_total",
    "counter",
    "Transitions, by result (executed, canceled) and type (add, remove, set, auto).",
    ("result", "type"),
)
TRANSITION_SECONDS: Final = Metric(
    "am_transition_seconds", "histogram", "Time of a transition with its handlers."
)
HANDLER_SECONDS: Final = Metric(
    "am_handler_seconds", "histogram", "Time of a handler, by name.", ("handler",)
)
QUEUE_DEPTH: Final = Metric("am_queue_depth", "gauge", "Mutations that wait.")
STATE_ACTIVE: Final = Metric("am_state_active", "gauge", "1 while the state is active, else 0.", ("state",))
STATE_ACTIVATIONS: Final = Metric(
    "am_state_activations_total", "counter", "Activations of a state.", ("state",)
)
ERRORS: Final = Metric("am_errors_total", "counter", "Errors, by the state that stands for them.", ("state",))

POOL_WORKERS: Final = Metric(
    "am_pool_workers", "gauge", "Workers, by phase (starting, idle, leased, draining).", ("phase",)
)
POOL_WAITING: Final = Metric("am_pool_waiting", "gauge", "Requests for a worker that wait.")
POOL_STARTS: Final = Metric("am_pool_worker_starts_total", "counter", "Workers that were started.")
POOL_EXITS: Final = Metric(
    "am_pool_worker_exits_total", "counter", "Workers that ended, by reason.", ("reason",)
)
POOL_LEASES: Final = Metric(
    "am_pool_leases_total", "counter", "Answers to requests, by result (granted, busy, denied).", ("result",)
)
POOL_JOB_SECONDS: Final = Metric(
    "am_pool_job_seconds", "histogram", "Time of a job, by result (done, error, timeout, lost).", ("result",)
)

RPC_SESSIONS: Final = Metric(
    "am_rpc_sessions", "gauge", "Open sessions, by side (client, server).", ("side",)
)
RPC_BYTES: Final = Metric("am_rpc_bytes_total", "counter", "Bytes, by direction (in, out).", ("direction",))
RPC_RECONNECTS: Final = Metric("am_rpc_reconnects_total", "counter", "Sessions that were opened again.")
RPC_ROUND_TRIP_SECONDS: Final = Metric(
    "am_rpc_round_trip_seconds", "histogram", "Time from a request to its answer."
)

METRICS: Final = (
    *(TRANSITIONS, TRANSITION_SECONDS, HANDLER_SECONDS, QUEUE_DEPTH, STATE_ACTIVE, STATE_ACTIVATIONS, ERRORS),
    *(POOL_WORKERS, POOL_WAITING, POOL_STARTS, POOL_EXITS, POOL_LEASES, POOL_JOB_SECONDS),
    *(RPC_SESSIONS, RPC_BYTES, RPC_RECONNECTS, RPC_ROUND_TRIP_SECONDS),
)
"""All of them."""
