"""Typed, clock-based state machines, and supervised pools of worker processes made of them.

The names below are loaded when they are first used; ``import asyncmachine.schema`` loads no event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncmachine._lazy import lazy

if TYPE_CHECKING:
    from asyncmachine._core.snapshot import Snapshot
    from asyncmachine.api import CANCELED, EXECUTED, MachineApi, Result, TimeIndex, Tracer
    from asyncmachine.cli.pools import function_pool
    from asyncmachine.machine import Machine
    from asyncmachine.node.client import NodeClient
    from asyncmachine.node.config import PoolConfig, WorkerSpec
    from asyncmachine.node.fleet import FleetConfig, Outcome
    from asyncmachine.node.launchers.forkserver import ForkserverLauncher
    from asyncmachine.node.launchers.process import ProcessLauncher
    from asyncmachine.node.supervisor import Supervisor
    from asyncmachine.schema import Schema, State
    from asyncmachine.watchdog import SlowHandlers

__all__ = [
    "CANCELED",
    "EXECUTED",
    "FleetConfig",
    "ForkserverLauncher",
    "Machine",
    "MachineApi",
    "NodeClient",
    "Outcome",
    "PoolConfig",
    "ProcessLauncher",
    "Result",
    "Schema",
    "SlowHandlers",
    "Snapshot",
    "State",
    "Supervisor",
    "TimeIndex",
    "Tracer",
    "WorkerSpec",
    "function_pool",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "CANCELED": "asyncmachine.api",
        "EXECUTED": "asyncmachine.api",
        "FleetConfig": "asyncmachine.node.fleet",
        "ForkserverLauncher": "asyncmachine.node.launchers.forkserver",
        "Machine": "asyncmachine.machine",
        "MachineApi": "asyncmachine.api",
        "NodeClient": "asyncmachine.node.client",
        "Outcome": "asyncmachine.node.fleet",
        "PoolConfig": "asyncmachine.node.config",
        "ProcessLauncher": "asyncmachine.node.launchers.process",
        "Result": "asyncmachine.api",
        "Schema": "asyncmachine.schema",
        "SlowHandlers": "asyncmachine.watchdog",
        "Snapshot": "asyncmachine._core.snapshot",
        "State": "asyncmachine.schema",
        "Supervisor": "asyncmachine.node.supervisor",
        "TimeIndex": "asyncmachine.api",
        "Tracer": "asyncmachine.api",
        "WorkerSpec": "asyncmachine.node.config",
        "function_pool": "asyncmachine.cli.pools",
    },
)
