"""Machines in the log: what changed, what was asked, what stood in the way; as text or as JSON.

::

    logs.setup("changes")            # a handler for the log of everything here, once per process
    logs.attach(machine, "ops")      # this machine writes to asyncmachine.machine.<id>

A line is made of a record with fields, never the other way round: ``record.am`` holds them, and
:class:`JsonFormatter` writes them. Values of args are shown only where their names are allowed.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Collection, Mapping
from enum import IntEnum
from typing import Any, Final, TextIO

from asyncmachine.api import MachineApi, Tracer

__all__ = ["JsonFormatter", "Level", "LogTracer", "TextFormatter", "attach", "level_of", "logger_of", "setup"]

_WIDTH: Final = 120
"""Most characters of a value in a line."""


class Level(IntEnum):
    """How much a machine tells, as levels of ``logging``: each one includes those before it."""

    CHANGES = logging.INFO
    """States that came and went, and errors."""
    OPS = logging.DEBUG
    """Mutations, as they are asked for."""
    DECISIONS = logging.DEBUG - 3
    """Who stopped one, and what was asked in vain."""
    EVERYTHING = logging.DEBUG - 5
    """Handlers and their times, dry runs, and ticks of health states."""


for _level in (Level.DECISIONS, Level.EVERYTHING):
    logging.addLevelName(_level, _level.name)


def level_of(name: str | int) -> int:
    """A number for ``changes``, ``ops``, ``decisions``, ``everything``, or a level of ``logging``.

    Raises:
        ValueError: with the names there are.
    """
    if isinstance(name, int):
        return name
    known = {level.name.lower(): int(level) for level in Level}
    known |= {text.lower(): number for text, number in logging.getLevelNamesMapping().items()}
    if name.lower() not in known:
        raise ValueError(f"log level {name!r} is none of {', '.join(known)}")
    return known[name.lower()]


def logger_of(machine_id: str) -> logging.Logger:
    """The logger of one machine. Dots in its id do not make a hierarchy."""
    return logging.getLogger(f"asyncmachine.machine.{machine_id.replace('.', '_')}")


class LogTracer(Tracer):
    """Writes what a machine does to its logger.

    Args:
        level: what is written at most; the logger's own level limits it further.
        args: names of args whose values may be shown; the others are only named.
        skip: states that are not mentioned, for those that tick all the time.
    """

    def __init__(
        self, level: str | int = "changes", *, args: Collection[str] = (), skip: Collection[str] = ()
    ) -> None:
        self._level = level_of(level)
        self._args = frozenset(args)
        self._skip = frozenset(skip)
        self._logger = logging.getLogger("asyncmachine.machine")

    def machine_init(self, machine: Any) -> None:
        self._logger = logger_of(machine.id)

    def _on(self, level: int) -> bool:
        return level >= self._level and self._logger.isEnabledFor(level)

    def _write(self, machine: Any, level: int, text: str, **fields: Any) -> None:
        am = {"machine": machine.id, "kind": machine.schema.name, **fields}
        self._logger.log(level, "%s", text, extra={"am": am})

    def mutation_queued(self, machine: Any, mutation: Any) -> None:
        if self._on(Level.OPS):
            names = [machine.schema.names[i] for i in mutation.called]
            kind = ("add", "remove", "set")[mutation.kind]
            text = f"[queue:{kind}] {' '.join(names)}{self._shown(mutation.args)}"
            self._write(machine, Level.OPS, text, event="queued", called=names, type=kind)

    def transition_start(self, machine: Any, transition: Any) -> None:
        level = Level.EVERYTHING if transition.mutation.check else Level.OPS
        if self._on(level):
            text = (
                f"[{_type(transition)}] {' '.join(transition.called)}{self._shown(transition.mutation.args)}"
            )
            self._write(machine, level, text, event="start", **_fields(transition))

    def handler_end(self, machine: Any, transition: Any, name: str, seconds: float) -> None:
        if self._on(Level.EVERYTHING):
            text = f"[handler] {name} {seconds * 1e3:.3f} ms"
            self._write(machine, Level.EVERYTHING, text, event="handler", handler=name, seconds=seconds)

    def transition_end(self, machine: Any, transition: Any) -> None:
        if transition.mutation.check:
            return
        if not transition.accepted:
            self._canceled(machine, transition)
        elif self._on(Level.CHANGES):
            names = machine.schema.names
            before, after = transition.time_before, transition.time_after
            moved = [(n, b, a) for n, b, a in zip(names, before, after, strict=True) if a != b]
            shown = [f"{'+' if a & 1 else '-'}{n}" for n, _, a in moved if n not in self._skip]
            if shown:
                text = f"[state{':auto' if transition.mutation.auto else ''}] {' '.join(shown)}"
                ticks = {n: a for n, _, a in moved}
                text += self._shown(transition.mutation.args)
                self._write(machine, Level.CHANGES, text, event="changed", ticks=ticks, **_fields(transition))

    def _canceled(self, machine: Any, transition: Any) -> None:
        if not self._on(Level.DECISIONS) or (transition.mutation.auto and not transition.stopped_by):
            return
        by = transition.stopped_by or "relations"
        text = f"[cancel] {_type(transition)} {' '.join(transition.called)}: by {by}"
        if transition.error is not None:
            text += f", {type(transition.error).__name__}: {transition.error}"
        self._write(
            machine, Level.DECISIONS, text[: _WIDTH * 4], event="canceled", by=by, **_fields(transition)
        )

    def report(self, machine: Any, kind: str, details: Mapping[str, Any]) -> None:
        if self._on(Level.DECISIONS):
            plain = {name: _short(value) for name, value in details.items()}
            text = " ".join(f"{name}={value}" for name, value in plain.items())
            self._write(machine, Level.DECISIONS, f"[{kind}] {text}", event=kind, details=plain)

    def machine_dispose(self, machine: Any) -> None:
        if self._on(Level.CHANGES):
            self._write(machine, Level.CHANGES, "[dispose]", event="disposed")

    def _shown(self, args: Mapping[str, Any]) -> str:
        if not args:
            return ""
        shown = (f"{n}={_short(v)}" if n in self._args else f"{n}=..." for n, v in args.items())
        return f" ({', '.join(shown)})"


def _type(transition: Any) -> str:
    return f"{transition.kind}:auto" if transition.mutation.auto else str(transition.kind)


def _fields(transition: Any) -> dict[str, Any]:
    source = transition.mutation.source
    return {
        "transition": transition.id,
        "type": _type(transition),
        "called": list(transition.called),
        "source": source.transition if source is not None else None,
    }


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def attach(machine: MachineApi, level: str | int = "changes", **options: Any) -> LogTracer:
    """Let *machine* write to its logger; see :class:`LogTracer` for the options."""
    tracer = LogTracer(level, **options)
    machine.trace(tracer)
    return tracer


# -- where it goes -------------------------------------------------------------------------------------


class TextFormatter(logging.Formatter):
    """Time, level, machine or logger, text. Control characters are escaped: text may come from afar."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        am = getattr(record, "am", None)
        name = am["machine"] if am is not None else record.name.removeprefix("asyncmachine.")
        text = _escaped(record.getMessage())
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return f"{at}.{int(record.msecs):03d} {record.levelname:<8} {name}: {text}"


class JsonFormatter(logging.Formatter):
    """A JSON object a line: ``time`` (UTC), ``level``, ``logger``, ``text``, and the fields of a machine."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        row: dict[str, Any] = {
            "time": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "text": record.getMessage(),
        }
        row |= getattr(record, "am", {})
        if record.exc_info:
            row["exception"] = self.formatException(record.exc_info)
        return json.dumps(row, default=repr)


def _escaped(text: str) -> str:
    return text.translate(_PRINTABLE)


_PRINTABLE: Final = {n: f"\\x{n:02x}" for n in (*range(9), *range(11, 32), *range(127, 160))} | {
    n: f"\\u{n:04x}" for n in (0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
"""Line feeds and tabs stay, for tracebacks; what moves a cursor or turns the direction of text does not."""


def setup(
    level: str | int = "changes", *, style: str = "text", stream: TextIO | None = None
) -> logging.Handler:
    """Write the log of asyncmachine to *stream* (default: stderr), from *level* on.

    For programs, not libraries: once per process. Only loggers below ``asyncmachine`` are touched.

    Args:
        style: ``text`` or ``json``.

    Raises:
        ValueError: an unknown level or style.
    """
    formatters = {"text": TextFormatter, "json": JsonFormatter}
    if style not in formatters:
        raise ValueError(f"log style {style!r} is none of {', '.join(formatters)}")
    number = level_of(level)
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(formatters[style]())
    logger = logging.getLogger("asyncmachine")
    logger.addHandler(handler)
    logger.setLevel(number)
    logger.propagate = False
    return handler
