"""The queue and its only loop.

``mutate`` is the hot path: when nobody watches the states that move, a mutation is a look-up of its
plan, an update of the ticks and one more on the queue tick. Everything else goes through the queue.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from asyncmachine._core.effects import Effect
from asyncmachine._core.handlers import NO_CALLS, Calls
from asyncmachine._core.mutation import ADD, CURRENT, NO_ARGS, REMOVE, Kind, Mutation, Source
from asyncmachine._core.phases import Kernel
from asyncmachine._core.plans import Plan
from asyncmachine._core.queue import MutationQueue
from asyncmachine._core.relations import mask_of
from asyncmachine._core.waits import Wait, Waits
from asyncmachine.api import CANCELED, EXECUTED, Result, Tracer
from asyncmachine.errors import MachineDisposed
from asyncmachine.schema import Schema

__all__ = ["QUEUE_LIMIT", "Engine"]

QUEUE_LIMIT = 1000

_current: Final = CURRENT.get


def _ignore(effects: list[Effect]) -> None:
    """What an engine without a shell does."""


class Engine(Kernel):
    """One machine without its event loop.

    Args:
        perform: called after each drain that left effects.
        settle: makes an awaitable of a queued mutation.
    """

    __slots__ = ("draining", "fast", "listening", "pair", "perform", "queue", "settle", "waitable")

    def __init__(
        self,
        schema: Schema,
        machine_id: str,
        owner: Any,
        clock: Callable[[], float],
        log: Callable[[str, Mapping[str, Any]], None],
    ) -> None:
        super().__init__(schema, machine_id, owner, clock, log)
        self.queue = MutationQueue(QUEUE_LIMIT)
        self.perform: Callable[[list[Effect]], None] = _ignore
        self.settle: Callable[[Mutation], Awaitable[None]] | None = None
        self.draining = False
        self.waitable = False  # it has waits of its own
        self.fast = True  # nobody listens to every transition, and none is running
        self.listening = False  # something looks at every transition
        self.pair = 0  # states with pair handlers, and whoever looks at every transition

    # -- mutations -----------------------------------------------------------------------------

    def mutate(
        self,
        kind: Kind,
        states: tuple[Any, ...],
        args: Mapping[str, Any] = NO_ARGS,
        source: Source | None = None,
    ) -> Result:
        """Mutate now if idle, else queue. See ``MachineApi.add``.

        Raises:
            UnknownState: a name that the schema does not have; nothing happened.
        """
        if not self.fast:
            return self._submit(kind, states, args, source)
        node = self.node
        try:
            plan = node.edges[kind].get(states)
        except TypeError:  # lists of names
            plan = None
        if plan is None:
            plan = self.cache.plan(node, kind, states)
        watched = plan.touched & self.watch
        if watched or plan.involved & self.pair:
            handlers = self.handlers
            if watched & handlers.touch or plan.involved & self.pair:
                calls = handlers.known.get(plan) or handlers.calls(plan)
                if calls is not NO_CALLS:
                    return self._start_now(plan, calls, args, source)
                watched &= self.waits.mask | self.scopes.mask
                if self.observed:
                    self.tracers.emit("transition_counted", plan, False, plan.accepted, 0.0)
        self.queue.tick += 1
        if not plan.accepted:
            return CANCELED
        ticks, moves = self.ticks, self.moves
        for i, step in plan.ticks:
            ticks[i] += step
            moves[i] = plan  # for ``explain``; a record of the transition would cost three times as much
        self.node = after = plan.node
        if watched:
            self._notice(plan, args)
        if plan.may_auto:
            auto = after.auto if after.auto_known else self.cache.auto_plan(after)
            if auto is not None and auto.accepted:
                self._auto(auto)
        if plan.changed and self.tracers.movers:
            self.tracers.emit("clock_moved")
        if watched and self.effects:
            self.flush()
        return EXECUTED

    def mutate_from(
        self, source: Source, kind: Kind, states: tuple[Any, ...], args: Mapping[str, Any]
    ) -> Result:
        """Like :meth:`mutate`, on behalf of *source*: recorded, even if nobody watches."""
        return self._submit(kind, states, args, source)

    def _auto(self, auto: Plan) -> None:
        if auto.touched & self.watch or auto.involved & self.pair:
            self.queue.prepend(Mutation(ADD, auto.called, auto=True))
            self._drain()
            return
        for i, step in auto.ticks:
            self.ticks[i] += step
            self.moves[i] = auto
        self.node = auto.node

    def check(self, kind: Kind, states: tuple[Any, ...], args: Mapping[str, Any]) -> Result:
        """Dry run: relations and negotiation, no effect. Answers at once, also inside a handler."""
        if self.disposed:
            return CANCELED
        plan = self.cache.plan(self.node, kind, states)
        mutation = Mutation(kind, plan.called, args, check=True)
        if self.draining:
            return self.run(mutation, plan, len(self.queue))
        self.draining = True  # what its handlers mutate waits until the check is over
        self.fast = False
        try:
            return self.run(mutation, plan)
        finally:
            self.draining = False
            self._prepend_followups()
            self._drain()

    def _submit(
        self, kind: Kind, states: tuple[Any, ...], args: Mapping[str, Any], source: Source | None
    ) -> Result:
        try:
            called = self.cache.indexes[states]
        except (KeyError, TypeError):
            called = self.cache.called(states)
        if source is None and (running := _current()) is not None:
            source = running.made or running.source
        if not self.draining:
            return self._submit_idle(kind, called, args, source)
        queue = self.queue
        items = queue.items
        if len(items) >= queue.limit and (self.disposed or not self._may_overflow(kind, called)):
            return CANCELED
        if not items:
            if kind == REMOVE and not mask_of(called) & self.node.mask:
                return EXECUTED  # nothing to remove, and nothing waits that could add it
        elif (
            not args
            and called
            and (last := queue.last.get(called[0])) is not None
            and last.kind == kind
            and queue.repeats(last, called, self.schema.masks.multi)
        ):
            return EXECUTED
        mutation = queue.append(kind, called, args, source, self)
        if self.listening and self.tracers.recording:
            self.tracers.emit("mutation_queued", mutation)
        return mutation

    def _submit_idle(
        self, kind: Kind, called: tuple[int, ...], args: Mapping[str, Any], source: Source | None
    ) -> Result:
        """What :meth:`mutate` cannot do in place, with the machine at rest."""
        if self.disposed:
            return CANCELED
        mutation = self.queue.append(kind, called, args, source, self)
        if self.tracers.recording:
            self.tracers.emit("mutation_queued", mutation)
            if self.draining:  # a tracer has mutated, and that drain is not over
                return mutation
        self._drain()
        return mutation.result or CANCELED

    def _start_now(self, plan: Plan, calls: Calls, args: Mapping[str, Any], source: Source | None) -> Result:
        """Like ``_submit`` on an idle machine without tracers: nothing needs to be queued."""
        if source is None and (running := _current()) is not None:
            source = running.made or running.source
        mutation = Mutation(plan.kind, plan.called, args, source)
        queue = self.queue
        queue.tick = mutation.tick = queue.tick + 1
        self.draining = True
        self.fast = False
        self.auto_failures = 0
        try:
            mutation.result = result = self.execute(mutation, plan, calls)
            if self.followups:
                self._prepend_followups()
            if queue.items:
                self._work()
        finally:
            self._rest()
        return result

    def _may_overflow(self, kind: Kind, called: tuple[int, ...]) -> bool:
        """A full queue still takes what brings an error in, or takes it away."""
        exception = self.cache.exception
        active = bool(self.node.mask >> exception & 1)
        return exception in called and kind == (REMOVE if active else ADD)

    # -- the loop ------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Execute all that is queued."""
        self.draining = True
        self.fast = False
        self.auto_failures = 0
        try:
            self._work()
        finally:
            self._rest()

    def _work(self) -> None:
        queue, ticks, moves = self.queue, self.ticks, self.moves
        items = queue.items
        while items:
            mutation = items.popleft()
            if mutation.tick:
                queue.tick += 1
                self.auto_failures = 0
                plan = self.node.inner[mutation.kind].get(mutation.called)
            else:
                queue.early -= 1
                plan = None
            if plan is None:
                plan = self._plan(mutation)
                if plan is None:
                    continue
            if plan.touched & self.watch or plan.involved & self.pair:
                self._run_queued(mutation, plan)
                continue
            # Nobody looks, so this is all that ``run`` would do.
            self.number = number = self.number + 1
            result = CANCELED
            if plan.accepted:
                result = EXECUTED
                move = (plan, number, mutation.source)
                for i, step in plan.ticks:
                    ticks[i] += step
                    moves[i] = move
                    self.moved = True
                self.node = plan.node
                if plan.may_auto:
                    self._follow_auto()
                    self._prepend_followups()
            if mutation.waiters is None:
                mutation.result = result
            else:
                self.wake(mutation.finish(result))
        queue.last.clear()

    def _run_queued(self, mutation: Mutation, plan: Plan) -> None:
        result = CANCELED  # unless it comes to an end: a KeyboardInterrupt may fly through here
        try:
            result = self.run(mutation, plan, len(self.queue))
        finally:
            self.wake(mutation.finish(result))
            if self.followups:
                self._prepend_followups()

    def _rest(self) -> None:
        """Be idle again, and hand over what the drain has left to do."""
        self.draining = False
        if self.followups:
            self._prepend_followups()
        if self.listening:
            self.refresh()
            if self.tracers.recording:
                self.tracers.emit("queue_end")
        else:
            self.watch = self.handlers.touch | self.waits.mask | self.scopes.mask
            self.fast = not self.queue.items
        if self.tracers.movers and self.moved:
            self.tracers.emit("clock_moved")
        self.moved = False
        if self.effects:
            effects, self.effects = self.effects, []
            self.perform(effects)

    def _plan(self, mutation: Mutation) -> Plan | None:
        """Resolve the next mutation. An auto mutation may have become pointless: None."""
        if mutation.auto:
            return self.cache.auto_plan(self.node)
        return self.cache.plan_called(self.node, mutation.kind, mutation.called)

    def _prepend_followups(self) -> None:
        followups, self.followups = self.followups, []
        if self.disposed:
            return
        for mutation in reversed(followups):
            self.queue.prepend(mutation)
            if self.tracers.recording:
                self.tracers.emit("mutation_queued", mutation)

    def flush(self) -> None:
        """Hand the effects to the shell."""
        if self.effects:
            effects, self.effects = self.effects, []
            self.perform(effects)

    def refresh(self) -> None:
        """Recompute who watches."""
        self.watch = self.handlers.touch | self.waits.mask | self.scopes.mask
        self.listening = bool(
            self.tracers.recording or self.disposed or self.handlers.has_any or self.waits.queries
        )
        self.observed = self.tracers.recording or self.tracers.counting
        looked_at = self.listening or self.observed
        self.pair = self.handlers.pair | self.cache.every if looked_at else self.handlers.pair
        self.fast = not (self.listening or self.draining or self.queue.items)

    # -- watching ------------------------------------------------------------------------------

    def add_wait(self, wait: Wait) -> None:
        """Subscribe. On a disposed machine the wait fails at once."""
        if not self.waitable and not self._make_waitable():
            wait.error, wait.done = MachineDisposed(self.machine_id), True
            return
        waits = self.waits
        waits.add(wait, self.ticks)
        self.watch |= waits.mask
        if wait.query is not None:
            self.refresh()

    def _make_waitable(self) -> bool:
        """Before the first wait. False if the machine is gone."""
        if not self.disposed:
            self.waits, self.waitable = Waits(self.schema), True
        return self.waitable

    def discard_wait(self, wait: Wait) -> None:
        """Unsubscribe."""
        self.waits.discard(wait)
        if not self.draining:
            self.refresh()

    def bind(self, handlers: object) -> None:
        """See ``Handlers.bind``."""
        self.handlers.bind(handlers)
        self.refresh()

    def unbind(self, handlers: object) -> None:
        """See ``Handlers.unbind``."""
        self.handlers.unbind(handlers)
        self.refresh()

    def trace(self, tracer: Tracer) -> None:
        """Attach a tracer."""
        self.tracers.attach(tracer)
        self.refresh()

    def untrace(self, tracer: Tracer) -> None:
        """Detach a tracer; harmless when it is not attached."""
        self.tracers.detach(tracer)
        self.refresh()

    def dispose(self) -> None:
        """Cancel what is queued, fail all waits, expire all scopes, tell tracers. Idempotent."""
        if self.disposed:
            return
        self.disposed = True
        self.queue.limit = 0
        self.waitable = False
        for mutation in self.queue.clear():
            self.wake(mutation.finish(CANCELED))
        self._expire(self.scopes.mask)
        self.wake(self.waits.fail_all(MachineDisposed(self.machine_id)))
        self.tracers.emit("machine_dispose")
        self.refresh()
        if not self.draining:
            self.flush()
