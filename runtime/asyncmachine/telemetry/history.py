"""What machines did, kept in a SQLite file: which states were active when, and how it came about.

::

    with History("run.db") as history:
        history.attach(machine)
        ...
        history.flush()
        last = history.read().latest("worker", Condition(active=["Ready"]))

A machine only appends to a list in memory; one thread writes, in batches. What is too much for it is dropped
and counted, never waited for. Other processes may read the file meanwhile, see :class:`HistoryReader`.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Collection, Mapping
from os import PathLike, fspath
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from asyncmachine._core.mutation import KIND_NAMES
from asyncmachine.api import MachineApi, Tracer
from asyncmachine.telemetry.history_reader import FORMAT, HistoryError, HistoryReader, pack_ticks

__all__ = ["History"]

_PAUSE: Final = 0.05
"""Seconds that the writer gathers before it writes."""

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS machine (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL, kind TEXT NOT NULL, digest TEXT NOT NULL,
    states TEXT NOT NULL, machine_tick INTEGER NOT NULL, since REAL NOT NULL, ticks BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS record (
    seq INTEGER PRIMARY KEY, machine INTEGER NOT NULL REFERENCES machine(key), transition_id TEXT NOT NULL,
    at REAL NOT NULL, type TEXT NOT NULL, auto INTEGER NOT NULL, accepted INTEGER NOT NULL,
    called TEXT NOT NULL, args TEXT NOT NULL, stopped_by TEXT NOT NULL, source TEXT,
    queue_len INTEGER NOT NULL, queue_tick INTEGER NOT NULL, ticks BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS record_at ON record(machine, at);
CREATE TABLE IF NOT EXISTS move (
    machine INTEGER NOT NULL, state INTEGER NOT NULL, at REAL NOT NULL, tick INTEGER NOT NULL,
    seq INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS move_at ON move(machine, state, at);
"""


class History:
    """Writes what the machines that are attached to it do.

    Args:
        path: of the file; it is made, or continued.
        states: the states whose moves count; a transition that moves none of them is not kept. None: all.
        args: names of args whose values are kept; of the others only the names are.
        rejected: keep canceled transitions, too.
        most: records that may wait for the writer; more are dropped and counted.

    Attributes:
        dropped: records that were too many for the writer.

    Raises:
        HistoryError: the file cannot be opened, or is something else.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        states: Collection[str] | None = None,
        args: Collection[str] = (),
        rejected: bool = False,
        most: int = 100_000,
    ) -> None:
        self.path = fspath(path)
        self.dropped = 0
        self._states = frozenset(states) if states is not None else None
        self._args = frozenset(args)
        self._rejected = rejected
        self._most = most
        self._waiting: deque[_Entry] = deque()
        self._news = threading.Condition()
        self._asked = self._written = 0  # flushes
        self._closing = False
        self._failure: Exception | None = None
        try:
            self._db = _open(self.path)
        except sqlite3.Error as error:
            raise HistoryError(f"cannot write {self.path!r}: {error}") from error
        self._thread = threading.Thread(target=self._write_on, name="asyncmachine-history", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def attach(self, machine: MachineApi) -> Tracer:
        """Keep what *machine* does from now on."""
        tracer = _Recording(self, self._states, self._args, self._rejected)
        machine.trace(tracer)
        return tracer

    def read(self) -> HistoryReader:
        """A reader of what is written. See :meth:`flush`."""
        return HistoryReader(self.path)

    def flush(self, timeout: float = 10.0) -> None:
        """Wait until all that has happened is in the file.

        Raises:
            HistoryError: the writer has failed, or takes longer than *timeout* seconds.
        """
        with self._news:
            self._asked += 1
            wanted = self._asked
            self._news.notify_all()
            done = self._news.wait_for(lambda: self._written >= wanted or self._failure, timeout)
        if self._failure is not None:
            raise HistoryError(f"{self.path!r} is no longer written: {self._failure}") from self._failure
        if not done:
            raise HistoryError(f"{self.path!r} was not written within {timeout} s")

    def close(self) -> None:
        """Write what is left and close the file. Machines that are still attached are no longer kept."""
        with self._news:
            self._closing = True
            self._news.notify_all()
        self._thread.join()

    def put(self, entry: _Entry) -> None:
        """Called by tracers: never waits."""
        if len(self._waiting) >= self._most or self._closing or self._failure is not None:
            self.dropped += 1
        else:
            self._waiting.append(entry)

    # -- in the thread -------------------------------------------------------------------------

    def _write_on(self) -> None:
        writer = _Writer(self._db)
        try:
            while True:
                with self._news:
                    if not (self._closing or self._asked > self._written):
                        self._news.wait(_PAUSE)
                    asked, closing = self._asked, self._closing
                writer.write([self._waiting.popleft() for _ in range(len(self._waiting))])
                with self._news:
                    self._written = asked
                    self._news.notify_all()
                if closing:
                    return
        except sqlite3.Error as error:
            with self._news:
                self._failure = error
                self._news.notify_all()
        finally:
            self._db.close()


def _open(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version != FORMAT and tables:
            raise sqlite3.DatabaseError(f"it has format {version}, not {FORMAT}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.executescript(_TABLES)
        db.execute(f"PRAGMA user_version = {FORMAT}")
    except BaseException:
        db.close()
        raise
    return db


class _Known(NamedTuple):
    """A machine, as its tracer hands it to the writer once."""

    id: str
    kind: str
    digest: str
    states: tuple[str, ...]
    machine_tick: int
    ticks: tuple[int, ...]


class _Entry(NamedTuple):
    """One transition, on its way to the writer."""

    tracer: _Recording
    at: float
    transition_id: str
    type: str
    auto: bool
    accepted: bool
    called: tuple[str, ...]
    args: Mapping[str, Any]
    stopped_by: str
    source: str | None
    queue: tuple[int, int]
    before: tuple[int, ...]
    ticks: tuple[int, ...]


class _Writer:
    """Turns entries into rows."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._keys: dict[_Recording, int] = {}

    def write(self, entries: list[_Entry]) -> None:
        """One transaction."""
        if not entries:
            return
        db = self._db
        db.execute("BEGIN")
        (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM record").fetchone()
        records: list[tuple[Any, ...]] = []
        moves: list[tuple[Any, ...]] = []
        for seq, entry in enumerate(entries, last + 1):
            key = self._key(entry)
            records.append(_row(seq, key, entry))
            moves += (
                (key, state, entry.at, new, seq)
                for state, (old, new) in enumerate(zip(entry.before, entry.ticks, strict=True))
                if old != new
            )
        marks = ",".join("?" * 14)
        db.executemany(f"INSERT INTO record VALUES ({marks})", records)  # noqa: S608 - only marks
        db.executemany("INSERT INTO move VALUES (?,?,?,?,?)", moves)
        db.execute("COMMIT")

    def _key(self, entry: _Entry) -> int:
        key = self._keys.get(entry.tracer)
        if key is None:
            known = entry.tracer.known
            cursor = self._db.execute(
                "INSERT INTO machine (id, kind, digest, states, machine_tick, since, ticks) "
                "VALUES (?,?,?,?,?,?,?)",
                (*known[:3], json.dumps(known.states), known.machine_tick, entry.at, pack_ticks(known.ticks)),
            )
            key = self._keys[entry.tracer] = int(cursor.lastrowid or 0)
        return key


def _row(seq: int, key: int, entry: _Entry) -> tuple[Any, ...]:
    return (
        *(seq, key, entry.transition_id, entry.at, entry.type, entry.auto, entry.accepted),
        *(json.dumps(entry.called), json.dumps(entry.args, default=repr), entry.stopped_by, entry.source),
        *(*entry.queue, pack_ticks(entry.ticks)),
    )


class _Recording(Tracer):
    """Hands the transitions of one machine to the history."""

    def __init__(
        self, history: History, states: frozenset[str] | None, args: frozenset[str], rejected: bool
    ) -> None:
        self.known = _Known("", "", "", (), 0, ())
        self._history = history
        self._states = states
        self._tracked: tuple[int, ...] | None = None
        self._args = args
        self._rejected = rejected

    def machine_init(self, machine: Any) -> None:
        schema = machine.schema
        tick = getattr(machine, "machine_tick", 0)
        self.known = _Known(machine.id, schema.name, schema.digest, schema.names, tick, tuple(machine.time()))
        if self._states is not None:
            self._tracked = tuple(i for i, name in enumerate(schema.names) if name in self._states)

    def transition_end(self, machine: Any, transition: Any) -> None:
        mutation = transition.mutation
        before, after = transition.time_before, transition.time_after
        if mutation.check or not (transition.accepted or self._rejected):
            return
        tracked = self._tracked
        if tracked is not None and transition.accepted and all(before[i] == after[i] for i in tracked):
            return
        source = mutation.source
        self._history.put(
            _Entry(
                tracer=self,
                at=time.time(),
                transition_id=transition.id,
                type=KIND_NAMES[mutation.kind],
                auto=mutation.auto,
                accepted=transition.accepted,
                called=transition.called,
                args={name: value if name in self._args else None for name, value in mutation.args.items()},
                stopped_by=transition.stopped_by,
                source=source.transition if source is not None else None,
                queue=(transition.queue_len, mutation.tick),
                before=before,
                ticks=after,
            )
        )
