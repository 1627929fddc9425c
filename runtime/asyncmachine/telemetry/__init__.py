"""What machines tell from outside: metrics. Telemetry attaches to a machine, which never knows of it."""

from __future__ import annotations
