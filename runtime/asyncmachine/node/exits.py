"""How workers ended: one report each, with one reason that a program can read.

The supervisor makes the report, keeps the last ones, logs it and sends it to the client that held the worker,
whose ``WorkerLost`` carries it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, ClassVar, Final, Self

from asyncmachine._wire.cbor import CborError, decode, encode
from asyncmachine.errors import ArgsError, StaleDecision
from asyncmachine.node.launchers.base import Exit
from asyncmachine.node.launchers.base import Reason as Seen
from asyncmachine.node.pool import RECYCLED, STARTING, Action, Drain, Kill, Phase, Stop, WorkerRecord
from asyncmachine.schema import (
    Decoder,
    decode_bytes,
    decode_dict,
    decode_enum,
    decode_float,
    decode_int,
    decode_list,
    decode_optional,
    decode_str,
)

__all__ = ["ExitBook", "ExitReason", "ExitReport", "Orders", "check_clock", "ordered", "reason_of"]

OUTPUT: Final = 64 * 1024
"""Bytes of the last output in a report, at most."""

_SIGTERM: Final = 15
_SIGKILL: Final = 9


class ExitReason(StrEnum):
    """Why a worker is gone. A report has exactly one."""

    EXITED = "exited"
    """It ended by itself, and nobody had asked it to."""
    SIGNALLED = "signalled"
    """A signal ended it, and not one of ours."""
    OOM = "oom"
    """The kernel killed it because memory had run out."""
    STALLED = "stalled"
    """It was killed because its work, or its event loop, did not move."""
    RECYCLED = "recycled"
    """It was replaced, being old, worn or of an old version."""
    DRAINED = "drained"
    """It was asked to finish and to end, by the pool or by itself."""
    SURPLUS = "surplus"
    """It was one more than the pool needs."""
    BOOT_FAILED = "boot_failed"
    """It ended, or was killed, before it was ready."""
    LAUNCH_FAILED = "launch_failed"
    """It could not be started at all."""
    HEARTBEAT_LOST = "heartbeat_lost"
    """It was killed because nothing was heard of it."""
    KILLED_BY_SUPERVISOR = "killed_by_supervisor"
    """It was killed on demand, or because it did not end when it was asked to."""
    UNKNOWN = "unknown"
    """It is gone, and how cannot be known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitReport:
    """How one worker ended.

    Attributes:
        reason: for programs; detail: for people, one line.
        code, signal: of the process; None if it has none.
        phase: where it was in its life; age: seconds from its launch to its end.
        user, system: seconds of CPU; max_rss: bytes at most resident; 0: not known.
        jobs: pieces of work asked of it.
        client, lease, request: who held it, and for which of its requests; empty and 0: nobody.
        clock: ticks of its states as the supervisor last saw them; the odd ones were active. Without zeros.
        output: the last 64 KiB of what it wrote to stdout and stderr.
    """

    worker: str
    kind: str
    reason: ExitReason
    detail: str = ""
    code: int | None = None
    signal: int | None = None
    pid: int = 0
    phase: str = ""
    age: float = 0.0
    user: float = 0.0
    system: float = 0.0
    max_rss: int = 0
    jobs: int = 0
    client: str = ""
    lease: int = 0
    request: int = 0
    clock: Mapping[str, int] = field(default_factory=dict[str, int])
    output: bytes = b""
    _decoders: ClassVar[dict[str, Decoder]] = {
        "worker": decode_str,
        "kind": decode_str,
        "reason": decode_enum(ExitReason),
        "detail": decode_str,
        "code": decode_optional(decode_int),
        "signal": decode_optional(decode_int),
        "pid": decode_int,
        "phase": decode_str,
        "age": decode_float,
        "user": decode_float,
        "system": decode_float,
        "max_rss": decode_int,
        "jobs": decode_int,
        "client": decode_str,
        "lease": decode_int,
        "request": decode_int,
        "clock": decode_dict(decode_int),
        "output": decode_bytes,
    }

    @property
    def states(self) -> tuple[str, ...]:
        """The states that were active when it was last seen."""
        return tuple(name for name, tick in self.clock.items() if tick & 1)

    def _plain(self) -> dict[str, Any]:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**values, "reason": self.reason.value, "clock": dict(self.clock)}

    def encode(self) -> bytes:
        """As CBOR."""
        return encode(self._plain())

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raises ``ArgsError``."""
        return cls._of(_decoded(data))

    @classmethod
    def _of(cls, value: object) -> Self:
        where = "exit report"
        values = decode_dict(lambda item, _: item)(value, where)
        if values.keys() != cls._decoders.keys():
            raise ArgsError(f"{where} has fields {sorted(values)}, expected {sorted(cls._decoders)}")
        return cls(**{n: decoder(values[n], f"{where}.{n}") for n, decoder in cls._decoders.items()})

    def as_json(self) -> dict[str, Any]:
        """For ``json.dumps``: the output as text, with escapes for what is no UTF-8 in it."""
        return {**self._plain(), "output": self.output.decode("utf-8", "backslashreplace")}

    def without_output(self) -> Self:
        """For those whom it does not concern what the worker wrote."""
        return replace(self, output=b"")


def _decoded(data: bytes) -> object:
    try:
        return decode(data)
    except CborError as error:
        raise ArgsError(f"exit report is not valid CBOR: {error}") from None


@dataclass(slots=True)
class Orders:
    """What a supervisor has done about one worker.

    Attributes:
        asked: why it was asked to end; killed: why it was killed. None: it was not.
    """

    asked: ExitReason | None = None
    killed: ExitReason | None = None


def ordered(orders: Orders, action: Action, record: WorkerRecord, draining: bool) -> None:
    """Note an action about this worker. The first reason counts, and a kill more than a request.

    Args:
        record: before the action.
        draining: the pool ends.
    """
    match action:
        case Drain(_, text):
            recycled = text.startswith(RECYCLED)
            orders.asked = orders.asked or (ExitReason.RECYCLED if recycled else ExitReason.DRAINED)
        case Stop(_, text):
            recycled = text.startswith(RECYCLED)
            spare = ExitReason.RECYCLED if recycled else ExitReason.SURPLUS
            orders.asked = orders.asked or (ExitReason.DRAINED if draining else spare)
        case Kill():
            if record.phase in STARTING:
                reason = ExitReason.BOOT_FAILED
            elif record.phase == "stopping":
                reason = ExitReason.KILLED_BY_SUPERVISOR
            elif record.stuck:
                reason = ExitReason.STALLED
            else:
                reason = ExitReason.HEARTBEAT_LOST
            orders.killed = orders.killed or reason
        case _:
            pass


def reason_of(end: Exit | None, orders: Orders, phase: Phase, *, booted: bool) -> ExitReason:
    """The one reason.

    Args:
        end: None: there was no process.
        phase: of its record at the end.
        booted: it was ready once.
    """
    if end is None:
        return ExitReason.LAUNCH_FAILED
    if orders.killed is not None and end.reason is not Seen.EXITED:
        return orders.killed
    polite = end.clean or end.signal == _SIGTERM
    if orders.asked is not None and (polite or not booted):
        return orders.asked
    if not booted:
        return ExitReason.BOOT_FAILED
    if end.signal == _SIGKILL and end.oom:
        return ExitReason.OOM
    if phase == "draining" and end.clean:  # by itself, or on a SIGTERM of somebody else
        return ExitReason.DRAINED
    return {
        Seen.EXITED: ExitReason.EXITED,
        Seen.SIGNALLED: ExitReason.SIGNALLED,
        Seen.UNKNOWN: ExitReason.UNKNOWN,
    }[end.reason]


class ExitBook:
    """The reports of the last workers that ended.

    Args:
        keep: how many. With their output they are at most 64 KiB each.
    """

    def __init__(self, keep: int = 64) -> None:
        self._reports: deque[ExitReport] = deque(maxlen=keep)

    def add(self, report: ExitReport) -> None:
        """Keep it, and forget the oldest if there are too many."""
        self._reports.append(replace(report, output=report.output[-OUTPUT:]))

    def __iter__(self) -> Iterator[ExitReport]:
        return iter(tuple(self._reports))

    def __len__(self) -> int:
        return len(self._reports)

    def of(self, worker: str) -> ExitReport | None:
        """The report on this worker, or None."""
        return next((r for r in self._reports if r.worker == worker), None)

    def answer(self, request: int, worker: str, client: str) -> bytes:
        """What *client* gets: of all workers with the end of their output, of one with all of it.

        Output is given of those workers only that this client held, or nobody.
        """
        found = [r for r in self._reports if worker in ("", r.worker)]
        kept = OUTPUT if worker else 2048
        rows = [replace(r, output=r.output[-kept:] if r.client in ("", client) else b"") for r in found]
        return encode([request, [row._plain() for row in rows]], max_items=1 << 16)

    @staticmethod
    def read(data: bytes) -> tuple[int, tuple[ExitReport, ...]]:
        """What :meth:`answer` made: the request, and the reports, oldest first. Raises ``ArgsError``."""
        try:
            row = decode(data, max_items=1 << 16)
        except CborError as error:
            raise ArgsError(f"exit reports are not valid CBOR: {error}") from None
        if not isinstance(row, list) or len(row) != 2:
            raise ArgsError(f"exit reports are {row!r:.200}, not a request and a list")
        reports = decode_list(lambda item, _: ExitReport._of(item))(row[1], "exit reports")
        return decode_int(row[0], "exit reports"), tuple(reports)


def check_clock(worker: str, clock: int, if_clock: int | None) -> None:
    """Refuse a decision that was made on an older picture.

    Args:
        clock: sum of the ticks of the worker, now; if_clock: when it was decided, None: never mind.

    Raises:
        StaleDecision: they differ.
    """
    if if_clock is not None and clock != if_clock:
        raise StaleDecision(worker, if_clock, clock)
