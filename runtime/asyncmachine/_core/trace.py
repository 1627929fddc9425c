"""Fan-out to tracers. A tracer that raises is detached and reported to the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from asyncmachine.api import Tracer

__all__ = ["Tracers"]


class Tracers:
    """The tracers of one machine, in order of attachment.

    Args:
        machine: what the hooks are given.
        log: hears every report, even when no tracer is left.
    """

    __slots__ = ("_log", "_machine", "items")

    def __init__(self, machine: Any, log: Callable[[str, Mapping[str, Any]], None]) -> None:
        self._machine = machine
        self._log = log
        self.items: tuple[Tracer, ...] = ()

    def attach(self, tracer: Tracer) -> None:
        """Add at the end and tell it about the machine."""
        self.items = (*self.items, tracer)
        self._call(tracer, "machine_init", ())

    def detach(self, tracer: Tracer) -> None:
        """Remove; harmless when it is not attached."""
        self.items = tuple(t for t in self.items if t is not tracer)

    def emit(self, hook: str, *args: object) -> None:
        """Call one hook of every tracer."""
        for tracer in self.items:
            self._call(tracer, hook, args)

    def report(self, kind: str, **details: object) -> None:
        """Tell the log and the tracers about something that is worth a line."""
        self._log(kind, details)
        self.emit("report", kind, details)

    def _call(self, tracer: Tracer, hook: str, args: tuple[object, ...]) -> None:
        try:
            getattr(tracer, hook)(self._machine, *args)
        except Exception as error:
            self.detach(tracer)
            self.report("tracer-detached", tracer=repr(tracer), hook=hook, error=error)
