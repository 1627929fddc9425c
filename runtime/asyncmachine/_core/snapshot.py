"""Snapshots: the clock of a machine as a value, and a fresh machine that goes on from there.

A snapshot holds no args, no queue and no tasks: states are all that lasts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Self, cast

from asyncmachine._core.clock import active_mask
from asyncmachine._core.effects import CancelScope
from asyncmachine._core.mutation import ADD
from asyncmachine.errors import MachineDisposed, SchemaMismatch, SnapshotError, did_you_mean
from asyncmachine.schema import iter_bits

if TYPE_CHECKING:
    from asyncmachine._core.engine import Engine

__all__ = ["RESTORED", "Snapshot", "restore", "take"]

RESTORED: Final = "MachineRestored"
"""The state that is added after a restoration, in schemas that have it."""

_MAX_TICK: Final = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The clock of a machine at one moment.

    Attributes:
        machine: id of the machine; a machine with another id may be restored from it.
        schema, digest: of the machine; only one with the same digest can be restored.
        ticks: in index order.
        queue_tick: of the machine, for information: a restored one counts from 1.
        machine_tick: how many times the machine had been restored.
    """

    machine: str
    schema: str
    digest: str
    ticks: tuple[int, ...]
    queue_tick: int = 1
    machine_tick: int = 0

    def as_dict(self) -> dict[str, Any]:
        """A map of text, numbers and one list, for JSON or CBOR. :meth:`from_dict` reads it."""
        return {**asdict(self), "ticks": list(self.ticks)}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """Read what :meth:`as_dict` has written, possibly long ago and elsewhere.

        Raises:
            SnapshotError: a key is missing or unknown, or a value is of another type. Nothing is coerced.
        """
        known = [f.name for f in fields(cls)]
        for key in values:
            if key not in known:
                raise SnapshotError(f"a snapshot has no {key!r}{did_you_mean(str(key), known)}")
        texts = {k: _text(values, k) for k in ("machine", "schema", "digest")}
        ticks = values.get("ticks")
        if not isinstance(ticks, list | tuple):
            raise SnapshotError(f"ticks: expected a list of numbers, got {type(ticks).__name__}")
        numbers = [_number(n, f"ticks[{i}]") for i, n in enumerate(cast("Sequence[object]", ticks))]
        return cls(
            **texts,
            ticks=tuple(numbers),
            queue_tick=_number(values.get("queue_tick"), "queue_tick"),
            machine_tick=_number(values.get("machine_tick"), "machine_tick"),
        )


def _text(values: Mapping[str, object], key: str) -> str:
    value = values.get(key)
    if type(value) is not str:
        raise SnapshotError(f"{key}: expected text, got {type(value).__name__}")
    return value


def _number(value: object, where: str) -> int:
    if type(value) is not int or not 0 <= value < _MAX_TICK:
        raise SnapshotError(f"{where}: expected a number from 0 on, got {value!r}")
    return value


def take(engine: Engine) -> Snapshot:
    """The snapshot of this moment; inside a handler it is that of the running transition."""
    return Snapshot(
        machine=engine.machine_id,
        schema=engine.schema.name,
        digest=engine.schema.digest,
        ticks=tuple(engine.ticks),
        queue_tick=engine.queue.tick,
        machine_tick=engine.machine_tick,
    )


def restore(engine: Engine, snapshot: Snapshot) -> None:
    """Make *engine*, which must be fresh, go on from *snapshot*. Waits see it, handlers do not run.

    Raises:
        SchemaMismatch: the snapshot is of another schema.
        MachineDisposed: it is gone.
        SnapshotError: the engine is not fresh, or the active states contradict their relations.
    """
    schema, machine = engine.schema, engine.machine_id
    if snapshot.digest != schema.digest:
        raise SchemaMismatch(f"snapshot of {snapshot.machine}", schema.digest, snapshot.digest)
    if len(snapshot.ticks) != len(schema):
        raise SnapshotError(f"{schema.name} has {len(schema)} states, got {len(snapshot.ticks)} ticks")
    if engine.disposed:
        raise MachineDisposed(machine)
    if engine.draining or engine.queue.tick != 1 or any(engine.ticks):
        raise SnapshotError(f"machine {machine} is in use already; restore a new one before anything else")
    mask = active_mask(snapshot.ticks)
    active = tuple(iter_bits(mask))
    kept = engine.cache.resolver.resolve(active, (), ADD).states
    if lost := mask & ~active_mask(1 if i in kept else 0 for i in range(len(schema))):
        names = ", ".join(schema.names_of(lost))
        raise SnapshotError(f"the relations of {schema.name} do not allow {names} among the active states")
    engine.ticks[:] = snapshot.ticks
    engine.node = engine.cache.node(active)
    engine.machine_tick = snapshot.machine_tick + 1
    moved = sum(1 << i for i, tick in enumerate(snapshot.ticks) if tick)
    engine.effects += map(CancelScope, engine.scopes.expire(moved))
    engine.wake(engine.waits.changed(moved, engine.ticks))
    engine.refresh()
    engine.tracers.emit("clock_moved")
    engine.flush()
