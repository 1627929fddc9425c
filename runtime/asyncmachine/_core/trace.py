"""Fan-out to tracers. A tracer that raises is detached and reported to the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from asyncmachine.api import Tracer

__all__ = ["Tracers"]


_COUNTS: Final = frozenset({"transition_counted", "handler_counted"})
_SILENT: Final = _COUNTS | {"machine_init", "clock_moved", "machine_dispose", "report"}
"""Hooks that need no record of a transition."""


_NO_HOOKS: Final[Mapping[str, tuple[Tracer, ...]]] = {}
"""Of a machine without tracers."""


class Tracers:
    """The tracers of one machine, in order of attachment.

    Args:
        machine: what the hooks are given.
        log: hears every report, even when no tracer is left.

    Attributes:
        items: all of them.
        recording: whether one of them wants to see transitions, handlers or the queue.
        counting: whether one of them wants to count transitions or handlers.
        movers: those that want to hear of the clock.
    """

    __slots__ = ("_hooks", "_log", "_machine", "counting", "items", "movers", "recording")

    def __init__(self, machine: Any, log: Callable[[str, Mapping[str, Any]], None]) -> None:
        self._machine = machine
        self._log = log
        self._hooks: Mapping[str, tuple[Tracer, ...]] = _NO_HOOKS
        self.items: tuple[Tracer, ...] = ()
        self.movers: tuple[Tracer, ...] = ()
        self.recording = False
        self.counting = False

    def attach(self, tracer: Tracer) -> None:
        """Add at the end and tell it about the machine."""
        self.items = (*self.items, tracer)
        self._sort()
        self._call(tracer, "machine_init", ())

    def detach(self, tracer: Tracer) -> None:
        """Remove; harmless when it is not attached."""
        self.items = tuple(t for t in self.items if t is not tracer)
        self._sort()

    def _sort(self) -> None:
        """Know for each hook who overrides it, so that the others are never called."""
        self._hooks = {
            name: tuple(t for t in self.items if _overrides(t, name, base))
            for name, base in vars(Tracer).items()
            if not name.startswith("_")
        }
        self.movers = self._hooks["clock_moved"]
        self.recording = any(who for name, who in self._hooks.items() if name not in _SILENT)
        self.counting = any(self._hooks[name] for name in _COUNTS)

    def emit(self, hook: str, *args: object) -> None:
        """Call one hook of every tracer that has it."""
        for tracer in self._hooks.get(hook, ()):
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


def _overrides(tracer: Tracer, name: str, base: object) -> bool:
    hook = getattr(tracer, name, None)
    return hook is not None and getattr(hook, "__func__", hook) is not base
