"""Questions about a history file: was a state active between two times, and when was it last like this?

Times are seconds since 1970 (``time.time()``) or aware datetimes. A machine that was restarted under the same
id is one machine here; each question looks at all of its lives.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from os import PathLike, fspath
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from asyncmachine._core.snapshot import Snapshot
from asyncmachine.errors import AsyncMachineError, did_you_mean

__all__ = [
    "FORMAT",
    "Condition",
    "HistoryError",
    "HistoryReader",
    "MachineRow",
    "Record",
    "Time",
    "pack_ticks",
    "unpack_ticks",
]

FORMAT: Final = 1
"""``user_version`` of the file."""

_OF: Final = "move WHERE machine = ? AND state = ?"

Time: TypeAlias = "float | datetime"


class HistoryError(AsyncMachineError):
    """A history file that cannot be written or read, or a question about what is not in it."""


def pack_ticks(ticks: Sequence[int]) -> bytes:
    """Ticks as text of numbers: small, and readable by any tool."""
    return ",".join(map(str, ticks)).encode()


def unpack_ticks(data: bytes) -> tuple[int, ...]:
    """The reverse."""
    return tuple(map(int, data.decode().split(","))) if data else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineRow:
    """One life of a machine: from when its history began.

    Attributes:
        key: of the file. ``ticks``: at the beginning.
    """

    key: int
    id: str
    kind: str
    digest: str
    states: tuple[str, ...]
    machine_tick: int
    since: float
    ticks: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One transition.

    Attributes:
        at: when it ended, seconds since 1970.
        source: id of the transition that caused it, possibly in another machine.
        queue_len: mutations that waited; queue_tick: its own.
        ticks: of all states afterwards.
    """

    seq: int
    machine: MachineRow
    transition_id: str
    at: float
    type: str
    auto: bool
    accepted: bool
    called: tuple[str, ...]
    args: dict[str, Any]
    stopped_by: str
    source: str | None
    queue_len: int
    queue_tick: int
    ticks: tuple[int, ...]

    @property
    def active(self) -> tuple[str, ...]:
        """States that were active afterwards."""
        return tuple(n for n, t in zip(self.machine.states, self.ticks, strict=True) if t & 1)

    def snapshot(self) -> Snapshot:
        """For ``machine.restore``: a fresh machine that goes on from here."""
        return Snapshot(
            machine=self.machine.id,
            schema=self.machine.kind,
            digest=self.machine.digest,
            ticks=self.ticks,
            queue_tick=max(1, self.queue_tick),
            machine_tick=self.machine.machine_tick,
        )

    def as_dict(self) -> dict[str, Any]:
        """For export, as JSON."""
        machine = self.machine
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "machine": machine.id,
            "kind": machine.kind,
            "called": list(self.called),
            "active": list(self.active),
            "ticks": {n: t for n, t in zip(machine.states, self.ticks, strict=True) if t},
        }


_PLAIN: Final = (
    *("seq", "transition_id", "at", "type", "auto", "accepted", "args", "stopped_by", "source"),
    *("queue_len", "queue_tick"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What is looked for: all of it.

    Attributes:
        active, inactive: states that were so after the transition.
        activated, deactivated: states that became so by it.
        match: anything else.
    """

    active: Collection[str] = ()
    inactive: Collection[str] = ()
    activated: Collection[str] = ()
    deactivated: Collection[str] = ()
    match: Callable[[Record], bool] | None = None


class HistoryReader:
    """Reads a history file; it may be written meanwhile.

    Raises:
        HistoryError: there is no such file, or it is something else.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = fspath(path)
        if not Path(self.path).is_file():
            raise HistoryError(f"there is no history file {self.path!r}")
        self._db = sqlite3.connect(f"file:{Path(self.path).resolve().as_posix()}?mode=ro", uri=True)
        try:
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
        except sqlite3.Error as error:
            self._db.close()
            raise HistoryError(f"{self.path!r} is no history file: {error}") from error
        if version != FORMAT:
            self._db.close()
            raise HistoryError(f"{self.path!r} is no history file of format {FORMAT}, but {version}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # -- what there is -------------------------------------------------------------------------

    def machines(self, machine: str | None = None) -> tuple[MachineRow, ...]:
        """Lives of *machine*, or of all machines, oldest first."""
        rows = self._db.execute(
            "SELECT key, id, kind, digest, states, machine_tick, since, ticks FROM machine "
            "WHERE ?1 IS NULL OR id = ?1 ORDER BY key",
            (machine,),
        )
        return tuple(
            MachineRow(
                **dict(zip(("key", "id", "kind", "digest"), row[:4], strict=True)),
                states=tuple(json.loads(row[4])),
                machine_tick=row[5],
                since=row[6],
                ticks=unpack_ticks(row[7]),
            )
            for row in rows
        )

    def records(
        self,
        machine: str | None = None,
        *,
        since: Time | None = None,
        until: Time | None = None,
        newest_first: bool = False,
    ) -> Iterator[Record]:
        """Transitions, in order of time; both bounds are included."""
        lives = {life.key: life for life in self.machines(machine)}
        order = "DESC" if newest_first else "ASC"
        query = (
            "SELECT machine, seq, transition_id, at, type, auto, accepted, called, args, stopped_by, source, "
            "queue_len, queue_tick, ticks FROM record WHERE at BETWEEN ? AND ? ORDER BY seq "
        )
        bounds = (_seconds(since, float("-inf")), _seconds(until, float("inf")))
        for row in self._db.execute(query + order, bounds):
            life = lives.get(row[0])
            if life is not None:
                yield _record(life, row[1:])

    def latest(
        self,
        machine: str,
        condition: Condition | None = None,
        *,
        since: Time | None = None,
        until: Time | None = None,
    ) -> Record | None:
        """The last transition after which *condition* held; None if there was none.

        Raises:
            HistoryError: unknown machine or state.
        """
        condition = condition or Condition()
        wanted = ((condition.active, 1), (condition.inactive, 0))
        became = ((condition.activated, 1), (condition.deactivated, 0))
        self._lives(machine)
        for names, _ in (*wanted, *became):
            for state in names:
                self._lives(machine, state)
        for record in self.records(machine, since=since, until=until, newest_first=True):
            index = {name: i for i, name in enumerate(record.machine.states)}
            so = all(n in index and record.ticks[index[n]] & 1 == odd for names, odd in wanted for n in names)
            so = so and all(self._moved(record, index.get(n), odd) for names, odd in became for n in names)
            if so and (condition.match is None or condition.match(record)):
                return record
        return None

    # -- was it so -----------------------------------------------------------------------------

    def activated_between(self, machine: str, state: str, since: Time, until: Time) -> bool:
        """Whether *state* became active, or was entered again, between the two times."""
        return self._moves(machine, state, since, until, odd=1)

    def deactivated_between(self, machine: str, state: str, since: Time, until: Time) -> bool:
        """Whether *state* became inactive between the two times."""
        return self._moves(machine, state, since, until, odd=0)

    def active_between(self, machine: str, state: str, since: Time, until: Time) -> bool:
        """Whether *state* was active at any moment between the two times."""
        return self._at(machine, state, since) == 1 or self.activated_between(machine, state, since, until)

    def inactive_between(self, machine: str, state: str, since: Time, until: Time) -> bool:
        """Whether *state* was inactive at any moment between the two times."""
        return self._at(machine, state, since) == 0 or self.deactivated_between(machine, state, since, until)

    def _lives(self, machine: str, state: str | None = None) -> list[tuple[MachineRow, int]]:
        """Lives of *machine*, each with the index of *state* in it."""
        lives = self.machines(machine)
        if not lives:
            hint = did_you_mean(machine, [m.id for m in self.machines()])
            raise HistoryError(f"{self.path!r} has no machine {machine!r}{hint}")
        if state is None:
            return [(life, -1) for life in lives]
        found = [(life, life.states.index(state)) for life in lives if state in life.states]
        if not found:
            raise HistoryError(f"{machine} has no state {state!r}{did_you_mean(state, lives[-1].states)}")
        return found

    def _moves(self, machine: str, state: str, since: Time, until: Time, *, odd: int) -> bool:
        query = f"SELECT 1 FROM {_OF} AND at BETWEEN ? AND ? AND tick & 1 = ? LIMIT 1"  # noqa: S608 - constants
        bounds = _seconds(since, 0), _seconds(until, 0)
        return any(
            self._db.execute(query, (life.key, index, *bounds, odd)).fetchone() is not None
            for life, index in self._lives(machine, state)
        )

    def _at(self, machine: str, state: str, when: Time) -> int | None:
        """1 if *state* was active at that time, 0 if not, None if the machine was not known then."""
        at = _seconds(when, 0)
        lives = [(life, index) for life, index in self._lives(machine, state) if life.since <= at]
        if not lives:
            return None
        life, index = lives[-1]
        query = f"SELECT tick FROM {_OF} AND at <= ? ORDER BY at DESC, seq DESC LIMIT 1"  # noqa: S608 - constants
        row = self._db.execute(query, (life.key, index, at)).fetchone()
        return int(row[0] if row is not None else life.ticks[index]) & 1

    def _moved(self, record: Record, index: int | None, odd: int) -> bool:
        query = f"SELECT 1 FROM {_OF} AND seq = ? AND tick & 1 = ?"  # noqa: S608 - constants
        row = self._db.execute(query, (record.machine.key, index, record.seq, odd)).fetchone()
        return row is not None

    # -- elsewhere -----------------------------------------------------------------------------

    def export(self, path: str | PathLike[str], machine: str | None = None) -> int:
        """Write records as JSON lines; the number of them. The first line says what it is."""
        count = 0
        with Path(path).open("w", encoding="utf-8") as file:
            file.write(json.dumps({"format": "asyncmachine-history", "version": FORMAT}) + "\n")
            for record in self.records(machine):
                file.write(json.dumps(record.as_dict()) + "\n")
                count += 1
        return count


def _record(life: MachineRow, row: Sequence[Any]) -> Record:
    return Record(
        seq=row[0],
        machine=life,
        transition_id=row[1],
        at=row[2],
        type=row[3],
        auto=bool(row[4]),
        accepted=bool(row[5]),
        called=tuple(json.loads(row[6])),
        args=json.loads(row[7]),
        stopped_by=row[8],
        source=row[9],
        queue_len=row[10],
        queue_tick=row[11],
        ticks=unpack_ticks(row[12]),
    )


def _seconds(when: Time | None, default: float) -> float:
    if when is None:
        return default
    if isinstance(when, datetime):
        if when.tzinfo is None:
            raise HistoryError(f"{when!r} has no time zone; use an aware datetime or seconds since 1970")
        return when.timestamp()
    return float(when)
