"""The local machine: the pure engine, its tasks and waits on anyio, its error log.

::

    machine = Machine(SCHEMA, Handlers())
    async with machine:                 # owns the tasks of async handlers
        machine.add("Start")            # a plain call, atomic, answered at once
        await machine.when("Ready")
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
import time
from collections.abc import Mapping
from itertools import count
from types import TracebackType
from typing import Any, Final, Self

from asyncmachine._core.effects import Effect
from asyncmachine._core.engine import Engine
from asyncmachine._core.mutation import ADD, REMOVE, SET, Mutation, Source
from asyncmachine._core.plans import plan_cache
from asyncmachine._core.snapshot import RESTORED, Snapshot, restore
from asyncmachine._core.waits import ACTIVE
from asyncmachine._local import LocalView
from asyncmachine._perform import Performer, TaskOwner
from asyncmachine._threads import FromThread, poster
from asyncmachine.api import CANCELED, Result, States, Tracer
from asyncmachine.errors import MachineDisposed, WrongThread
from asyncmachine.guard import InvariantGuard
from asyncmachine.schema import EXCEPTION, Schema
from asyncmachine.views import Pending
from asyncmachine.watchdog import SHARED, Guard, SlowHandlers

__all__ = ["Machine"]

_log = logging.getLogger("asyncmachine.machine")


def _log_report(kind: str, details: Mapping[str, Any]) -> None:
    error = details.get("error")
    text = " ".join(f"{k}={v!r}" for k, v in details.items() if k != "error")
    level = logging.ERROR if error is not None else logging.WARNING
    _log.log(level, "%s %s", kind, text, exc_info=error if isinstance(error, BaseException) else None)


class _Numbers:
    """Numbers for ids, counted from a random one on: never the same one twice in a process."""

    def __init__(self) -> None:
        self.restart()
        if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
            os.register_at_fork(after_in_child=self.restart)

    def restart(self) -> None:
        """Begin elsewhere: a child process must not go on where its parent does."""
        self.next = count(secrets.randbits(24)).__next__


_numbers = _Numbers()


_DEVELOPING: Final = sys.flags.dev_mode


async def _settle(mutation: Mutation) -> None:
    """Wait until this mutation was processed."""
    wait = Pending(ACTIVE, (), mutation.engine)
    mutation.waiters = [*(mutation.waiters or []), wait]
    await wait


class Machine(LocalView):
    """A machine in this process. Implements ``MachineApi``.

    It belongs to the thread that made it. Mutations are plain calls: the queue is drained before
    they return, unless they are made inside a handler, where they are queued. Without
    ``async with`` it works too, as long as no handler is async.

    In Python's development mode (``python -X dev``) the invariants of its schema are asserted, see
    ``asyncmachine.guard``.

    Args:
        schema: compiled or hand-written.
        handlers: objects with methods named after states, see ``asyncmachine._core.handlers``.
        id: default: the schema's name in snake_case and six hex digits, counted from a random number on.
        queue_limit: mutations over it are canceled.
        parent: a machine of the same thread; when it is disposed of, so is this one.
        slow: what to do about plain handlers that take long; default: report those over 100 ms.

    Raises:
        BindError: a handlers object does not fit the schema.
        MachineDisposed: the parent is gone.
    """

    def __init__(
        self,
        schema: Schema,
        *handlers: object,
        id: str | None = None,
        queue_limit: int | None = None,
        parent: Machine | None = None,
        slow: SlowHandlers | None = None,
    ) -> None:
        engine = Engine(
            schema,
            id or f"{plan_cache(schema).id_prefix}{_numbers.next() & 0xFFFFFF:06x}",
            self,
            time.perf_counter,
            _log_report,
        )
        LocalView.__init__(self, engine)  # super() takes longer than all that this does
        engine.perform = self._perform
        engine.settle = _settle
        if queue_limit is not None:
            engine.queue.limit = queue_limit
        if slow is not None:
            engine.slow_after, engine.cancel_slow = slow.timeout, slow.policy == "cancel"
            self._deadline = slow.deadline
        for item in handlers:
            engine.bind(item)
        if _DEVELOPING and schema.invariants:
            engine.trace(InvariantGuard())
        if parent is not None:
            parent.adopt(self)
            self.parent = parent

    parent: Machine | None = None
    """The machine whose disposal ends this one."""

    # Most machines have none of these, so they cost nothing until they are set.
    _children: dict[Machine, None] | None = None
    _performer: Performer | None = None
    _deadline: float | None = None
    _guard: Guard | None = None
    _from_thread: FromThread | None = None

    # -- life ----------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._owner = TaskOwner()
        if self._performer is None:
            self._performer = self._make_performer()
        self._performer.tasks = await self._owner.__aenter__()
        if not self.disposed:
            self._from_thread = FromThread(self)
            if self._deadline is not None:
                self._guard = self._watch(self._deadline)
        return self

    def _perform(self, effects: list[Effect]) -> None:
        self._performer = self._make_performer()
        self._performer.perform(effects)

    def _make_performer(self) -> Performer:
        performer = Performer(self.schema, self.add_error)
        self._engine.perform = performer.perform
        return performer

    def _watch(self, deadline: float) -> Guard:
        engine = self._engine
        guard = Guard(
            self.id,
            deadline,
            poster(),
            describe=lambda: repr(engine.current) if engine.current is not None else "no transition",
            recovered=lambda seconds: engine.tracers.report("blocked", seconds=seconds, limit=deadline),
        )
        SHARED.watch(guard)
        return guard

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self.dispose()
        return await self._owner.__aexit__(kind, error, trace)

    def dispose(self) -> None:
        """End the machine: Start is removed, children end, tasks are cancelled, waits fail. Idempotent."""
        if self.disposed:
            return
        if "Start" in self._index:
            self.remove("Start")
        while self._children:  # one that ends may still leave another one behind
            child, _ = self._children.popitem()
            child.dispose()
        if self.parent is not None and self.parent._children is not None:
            self.parent._children.pop(self, None)
        if self._guard is not None:
            SHARED.unwatch(self._guard)
        if self._from_thread is not None:
            self._from_thread.close()
        self._engine.dispose()
        if self._performer is not None:
            self._performer.cancel_all()
            self._performer.tasks = None
        self._wake_disposed()

    def adopt(self, child: Machine) -> None:
        """Dispose of *child* with this machine, children made last first. See ``parent``.

        Raises:
            MachineDisposed: this machine is gone.
        """
        if self.disposed:
            raise MachineDisposed(self.id)
        if self._children is None:
            self._children = {}
        self._children[child] = None

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from *snapshot*; then ``MachineRestored`` is added, if the schema has it.

        Only the clock is restored. No handler runs for what is active again, except by the mutation
        of ``MachineRestored``: start there what the active states need.

        Raises:
            MachineDisposed: this machine is gone.
            SchemaMismatch: the snapshot is of another schema.
            SnapshotError: this machine has been used, or the snapshot contradicts its relations.
        """
        restore(self._engine, snapshot)
        if RESTORED in self._index:
            self.add(RESTORED)

    @property
    def from_thread(self) -> FromThread:
        """Mutations for other threads: ``machine.from_thread.add("Foo")`` waits for its result.

        Raises:
            WrongThread: the machine is not running: this works within ``async with machine:``.
        """
        if self._from_thread is None:
            raise WrongThread(
                f"machine {self.id} has no event loop for from_thread; use `async with machine:`"
            )
        return self._from_thread

    # -- mutations -----------------------------------------------------------------------------

    def add(self, *states: States, **args: Any) -> Result:
        """Activate *states*, and what they imply."""
        return self._engine.mutate(ADD, states, args)

    def remove(self, *states: States, **args: Any) -> Result:
        """Deactivate *states*, and what requires them."""
        return self._engine.mutate(REMOVE, states, args)

    def set(self, *states: States, **args: Any) -> Result:
        """Make *states*, and what they imply, the only active ones."""
        return self._engine.mutate(SET, states, args)

    def toggle(self, *states: States, **args: Any) -> Result:
        """Remove *states* if all of them are active, else add them."""
        engine, ticks = self._engine, self._ticks
        for i in engine.cache.called(states):
            if not ticks[i] & 1:
                return engine.mutate(ADD, states, args)
        return engine.mutate(REMOVE, states, args)

    def add_error(self, error: BaseException, state: str = EXCEPTION, **args: Any) -> Result:
        """Activate *state* and Exception, with *error* among the args.

        It is logged, unless a handler of Exception is bound, such as ``exception_state``.
        An error that is not an ``Exception``, such as a cancellation, is ignored: canceled.
        """
        if not isinstance(error, Exception):
            return CANCELED
        states = (state,) if state == EXCEPTION else (state, EXCEPTION)
        self._engine.note_error(error, state=state)
        return self._engine.mutate(ADD, states, {**args, "error": error})

    def add_from(self, source: Source, kind: int, states: tuple[str, ...], args: Mapping[str, Any]) -> Result:
        """Mutate on behalf of a transition of another machine: 0 add, 1 remove, 2 set."""
        return self._engine.mutate_from(source, (ADD, REMOVE, SET)[kind], states, args)

    def can_add(self, *states: States, **args: Any) -> Result:
        """What :meth:`add` would answer, without doing it: relations and negotiation handlers."""
        return self._engine.check(ADD, states, args)

    def can_remove(self, *states: States, **args: Any) -> Result:
        """What :meth:`remove` would answer, without doing it."""
        return self._engine.check(REMOVE, states, args)

    async def settled(self, result: Result) -> Result:
        """Wait until the mutation behind *result* was processed; its final result."""
        return await result

    # -- handlers and tracers ------------------------------------------------------------------

    def bind(self, handlers: object) -> None:
        """Bind a handlers object. Raises ``BindError``."""
        self._engine.bind(handlers)

    def unbind(self, handlers: object) -> None:
        """Unbind a handlers object. Raises ``BindError`` when it is not bound."""
        self._engine.unbind(handlers)

    def trace(self, tracer: Tracer) -> None:
        """Attach a tracer."""
        self._engine.trace(tracer)

    def untrace(self, tracer: Tracer) -> None:
        """Detach a tracer; harmless when it is not attached."""
        self._engine.untrace(tracer)
