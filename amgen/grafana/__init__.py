"""A dashboard for Grafana and alert rules for Prometheus, made from schemas and the names of metrics."""

from __future__ import annotations
