"""One transition, from the resolved plan to the fired waits. Nothing here awaits.

Order, as in ``docs/spec/machine.md``: exits, enters, self and pair handlers and ``any_enter`` may
veto; then clocks tick and scopes expire; then ``foo_end``, ``foo_state`` and ``any_state`` run; then
waits fire. Async handlers become effects.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, Final

from asyncmachine._core.effects import CancelScope, Effect, StartTask
from asyncmachine._core.event import Event
from asyncmachine._core.handlers import ENTER, NEGOTIATION, NO_CALLS, PAIR, STATE, Bound, Calls, Handlers
from asyncmachine._core.mutation import ADD, CURRENT, Mutation, Source
from asyncmachine._core.plans import Node, Plan, plan_cache
from asyncmachine._core.relations import mask_of
from asyncmachine._core.scopes import NO_SCOPES, Scopes, Token
from asyncmachine._core.trace import Tracers
from asyncmachine._core.transition import Memory, Stop, Transition, Undone
from asyncmachine._core.waits import Wait
from asyncmachine.api import CANCELED, EXECUTED, Result
from asyncmachine.schema import Schema, iter_bits

__all__ = ["Kernel"]

_blank: Final = object.__new__
_set_current: Final = CURRENT.set
_reset_current: Final = CURRENT.reset

_FAILED: Final = object()
_LATER: Final = object()
"""What an async handler answers: its task begins after the drain."""

AUTO_RETRIES: Final = 2
"""Failing auto transitions after which the machine waits for the next mutation before it tries again."""


class _Begun:
    """An async handler whose coroutine exists already: a plain function returned it.

    It may never be started, when its state ends first; then it is closed, not complained about.
    """

    __slots__ = ("_coroutine",)

    def __init__(self, coroutine: Coroutine[Any, Any, object]) -> None:
        self._coroutine = coroutine

    def __call__(self, event: Event[Any]) -> Coroutine[Any, Any, object]:
        return self._coroutine

    def __del__(self) -> None:
        self._coroutine.close()


class Kernel:
    """The state of one machine, and the execution of one transition on it.

    Args:
        owner: the machine that handlers and tracers see.
        clock: seconds, monotonic; used only to measure handlers.
        log: ``log(kind, details)``, told what tracers are told by ``report``.

    Attributes:
        node: the current configuration. ``ticks`` is the clock, in index order.
        effects: what the shell must do after the drain.
        followups: mutations to prepend: an error, or the auto states.
        slow_after: seconds after which a plain handler is reported; ``cancel_slow`` makes that a
            veto, or the failure of a final handler, without Exception.
        machine_tick: how many times the machine has been restored.
        moves, vetoes: what is remembered for ``explain``: per state its last move, and who stopped
            it last and at which tick.
    """

    # Not only for memory: an instance with more than 30 attributes and no slots is read slowly, and a
    # transition with a handler then took 1.1 times as long.
    __slots__ = (
        "auto_failures",
        "cache",
        "cancel_slow",
        "clock",
        "current",
        "disposed",
        "effects",
        "followups",
        "handlers",
        "machine_id",
        "machine_tick",
        "moved",
        "moves",
        "node",
        "number",
        "observed",
        "owner",
        "schema",
        "scopes",
        "slow_after",
        "ticks",
        "tracers",
        "vetoes",
        "waits",
        "watch",
    )

    def __init__(
        self,
        schema: Schema,
        machine_id: str,
        owner: Any,
        clock: Callable[[], float],
        log: Callable[[str, Mapping[str, Any]], None],
    ) -> None:
        self.schema = schema
        self.machine_id = machine_id
        self.owner = owner
        self.clock = clock
        self.cache = plan_cache(schema)
        self.node: Node = self.cache.node(())
        self.ticks = [0] * self.cache.size
        self.moves: list[Memory] = [None] * self.cache.size
        self.vetoes: dict[int, tuple[Stop, int]] = {}
        self.handlers = Handlers(schema)
        self.waits = self.cache.no_waits  # until somebody waits
        self.scopes = NO_SCOPES  # until somebody asks for one
        self.tracers = Tracers(owner, log)
        self.effects: list[Effect] = []
        self.followups: list[Mutation] = []
        self.current: Transition | None = None
        self.number = 0
        self.auto_failures = 0  # of auto transitions, since the last mutation that somebody asked for
        self.slow_after = 0.1
        self.cancel_slow = False
        self.machine_tick = 0
        self.disposed = False
        self.watch = 0  # states whose moves somebody notices; may hold too many, never too few
        self.moved = False  # some tick has, and movers were not told yet
        self.observed = False  # tracers record or count; may be True too long

    def run(self, mutation: Mutation, plan: Plan, queue_len: int = 0) -> Result:
        """Execute one mutation whose plan is *plan*."""
        calls = self.handlers.known.get(plan) or self.handlers.calls(plan)
        if calls is not NO_CALLS or self.tracers.recording:
            return self.execute(mutation, plan, calls, queue_len)
        self.number += 1  # nobody would see a record of it
        if self.observed and not mutation.check:
            self.tracers.emit("transition_counted", plan, mutation.auto, plan.accepted, 0.0)
        if not plan.accepted:
            return CANCELED
        if not mutation.check:
            self._move(plan, mutation.args, mutation.source)
        return EXECUTED

    def execute(self, mutation: Mutation, plan: Plan, calls: Calls, queue_len: int = 0) -> Result:
        """Like :meth:`run`, when it is known that somebody looks: *calls* are its handlers."""
        self.number = number = self.number + 1
        recording = self.tracers.recording
        began = self.clock() if self.observed else 0.0
        tx = Transition(number, self.machine_id, self.schema, mutation, plan)
        outer, self.current = self.current, tx
        token = _set_current(tx)
        try:
            if recording:
                tx.queue_len = queue_len
                tx.time_before = tx.time_after = tuple(self.ticks)
                self.tracers.emit("transition_start", tx)
            if tx.accepted and calls.negotiation:
                tx.accepted = self._negotiate_auto(tx) if mutation.auto else self._negotiate(tx, calls)
                if tx.plan is not plan:
                    calls = self.handlers.calls(tx.plan)
            if tx.accepted and not mutation.check and self._apply(tx, calls) and tx.plan.may_auto:
                self._follow_auto()
            if self.observed:  # also by one that a handler has attached just now
                self._observe_end(tx, began)
        finally:
            _reset_current(token)
            self.current = outer
        return EXECUTED if tx.accepted else CANCELED

    def _observe_end(self, tx: Transition, began: float) -> None:
        if self.tracers.recording:
            tx.time_after = tuple(self.ticks)
            self.tracers.emit("transition_end", tx)
        if self.tracers.counting and not tx.mutation.check:
            seconds = self.clock() - began if began else 0.0
            self.tracers.emit("transition_counted", tx.plan, tx.mutation.auto, tx.accepted, seconds)

    def _move(self, plan: Plan, args: Mapping[str, Any], source: Source | None) -> None:
        """Apply a plan without handlers and tracers."""
        ticks, moves = self.ticks, self.moves
        move = (plan, self.number, source)
        for i, step in plan.ticks:
            ticks[i] += step
            moves[i] = move
        self.node = plan.node
        if plan.changed:
            self.moved = True
            if plan.touched & self.watch or self.waits.queries:
                self._notice(plan, args)
            if plan.may_auto:
                self._follow_auto()

    def _follow_auto(self) -> None:
        if self.auto_failures >= AUTO_RETRIES:
            return  # Exception would bring back the auto states whose failing brought Exception, for ever
        auto = None if self.disposed else self.cache.auto_plan(self.node)
        # One that relations reject changes nothing; only a tracer would notice it.
        if auto is not None and (auto.accepted or self.tracers.recording):
            self.followups.append(Mutation(ADD, auto.called, auto=True))

    # -- negotiation ---------------------------------------------------------------------------

    def _negotiate(self, tx: Transition, calls: Calls) -> bool:
        for bound in calls.negotiation:
            verdict = self._call(tx, bound)
            if verdict is _FAILED:
                return False
            if verdict is not None and not verdict:
                tx.stopped_by = bound.name
                self._note_veto(tx, bound, tx.plan.touched)
                return False
        return True

    def _negotiate_auto(self, tx: Transition) -> bool:
        """Auto mutations are accepted in part: a vetoed auto state is left out and the rest resolved again.

        Any other veto cancels: of a state that is not auto, or that is already active, since it
        cannot be left out without breaking the relations that made it move.
        """
        banned = 0
        asked: set[int] = set()
        while True:
            plan = tx.plan
            vetoed = 0
            for bound in self.handlers.calls(plan).negotiation:
                if id(bound) in asked:
                    continue
                asked.add(id(bound))
                verdict = self._call(tx, bound)
                if verdict is _FAILED:
                    return False
                if verdict is not None and not verdict:
                    tx.stopped_by = bound.name
                    vetoed = 1 << bound.state if bound.state >= 0 and bound.phase in (ENTER, PAIR) else 0
                    if not vetoed & self.schema.masks.auto & ~plan.source.mask:
                        self._note_veto(tx, bound, plan.touched)
                        return False
                    self._note_veto(tx, bound, vetoed)
                    break
            if not vetoed:
                return True
            banned |= vetoed
            tx.plan = self.cache.partial_plan(plan.source, tx.mutation.called, banned)
            if not tx.plan.accepted:
                return False

    def _note_veto(self, tx: Transition, bound: Bound, states: int, error: str = "") -> None:
        """Remember, for ``explain``, who kept these states (a mask) from moving."""
        if not tx.mutation.check:
            stop = Stop(tx.plan, tx.number, tx.mutation.source, bound.name, error)
            self.vetoes.update((i, (stop, self.ticks[i])) for i in iter_bits(states))

    # -- application ---------------------------------------------------------------------------

    def _apply(self, tx: Transition, calls: Calls) -> bool:
        """Make it so. False when a final handler failed."""
        plan = tx.plan
        ticks, moves = self.ticks, self.moves
        move = (plan, tx.number, tx.mutation.source)
        for i, step in plan.ticks:
            ticks[i] += step
            moves[i] = move
            self.moved = True
        self.node = plan.node
        touched = plan.touched
        if touched & self.scopes.mask:
            self._expire(touched)
        if self.tracers.recording:
            tx.time_after = tuple(ticks)
            self.tracers.emit("transition_finals", tx)
        for bound in calls.finals:
            answer = _LATER if bound.is_async else self._call(tx, bound)
            if answer is not None and not self._finish(tx, bound, answer):
                touched |= self._roll_back(tx, bound)
                self.moved = True
                break
        else:
            for bound in calls.any_state:
                answer = _LATER if bound.is_async else self._call(tx, bound)
                if answer is not None and not self._finish(tx, bound, answer):
                    break
        waits = self.waits
        if touched & waits.mask or waits.queries:
            moved = plan.moved if touched == plan.touched else tuple(iter_bits(touched))
            self._fire(plan, moved, tx.mutation.args if tx.accepted else None)
        return tx.accepted

    def _notice(self, plan: Plan, args: Mapping[str, Any]) -> None:
        """Expire the scopes and fire the waits of what *plan* has just moved, without handlers."""
        touched, waits = plan.touched, self.waits
        if touched & self.scopes.mask:
            self._expire(touched)
        self.wake(waits.moved(plan.moved, self.ticks))
        if touched & waits.args_mask:
            self.wake(waits.called(plan.enters, args, self.ticks))
        self.watch = self.handlers.touch | waits.mask | self.scopes.mask

    def _fire(self, plan: Plan, moved: tuple[int, ...], args: Mapping[str, Any] | None) -> None:
        """Fire the waits that hold now that these states have moved; those for args unless it failed."""
        waits = self.waits
        if moved:
            self.wake(waits.moved(moved, self.ticks))
        if plan.touched & waits.args_mask and args is not None:
            self.wake(waits.called(plan.enters, args, self.ticks))

    def wake(self, waits: list[Wait]) -> None:
        """Wake who waits for these: now, which runs no code of theirs, but never before earlier effects."""
        effects = self.effects
        for wait in waits:
            if wait.sleepers is not None:
                if effects:
                    effects.append(wait)
                else:
                    wait.wake()

    def _finish(self, tx: Transition, bound: Bound, answer: object) -> bool:
        """Start the task of a final handler that is async or has returned a coroutine. False: it failed."""
        if answer is _LATER:
            self._start(bound, self._event(tx, bound))
        elif answer is _FAILED:
            return False
        elif inspect.iscoroutine(answer):
            self._start(replace(bound, call=_Begun(answer)), self._event(tx, bound))
        return True

    def _start(self, bound: Bound, event: Event[Any]) -> None:
        state = bound.state
        owner = state
        if state >= 0 and self.schema.masks.multi >> state & 1 and bound.phase == STATE:
            scope = self.schema.states[self.schema.names[state]].scope
            owner = self.schema.index[scope] if scope is not None else -1
        token = self.token(owner) if owner >= 0 else None
        self.effects.append(StartTask(bound.call, event, state, token))

    def _roll_back(self, tx: Transition, failed: Bound) -> int:
        """Deactivate the entering states whose handlers have not completed, and who requires them.

        What has exited stays inactive, and Exception stays active: the error that it stands for
        did happen, whatever its handler does. Returns the mask of the deactivated states.
        """
        plan = tx.plan
        enters = plan.enters
        undone = mask_of(enters[enters.index(failed.state) :] if failed.phase == STATE else enters)
        undone &= ~(1 << self.cache.exception)
        kept = self.cache.resolver.prune([i for i in self.node.active if not undone >> i & 1])
        dropped = self.node.mask & ~mask_of(kept)
        undone_by = Undone(plan, tx.number, tx.mutation.source, failed.name)
        for i in iter_bits(dropped):
            self.ticks[i] += 1
            self.moves[i] = undone_by
        self.node = self.cache.node(tuple(kept))
        self.effects = [
            e
            for e in self.effects
            if not (
                isinstance(e, StartTask)
                and e.event.transition is tx
                and e.state >= 0
                and dropped >> e.state & 1
            )
        ]
        self._expire(dropped)
        return dropped

    def token(self, state: int) -> Token:
        """The token of *state* at its current tick. On a disposed machine an expired one."""
        if self.disposed:
            token = Token(state, self.ticks[state])
            token.expired = True
            return token
        self.watch |= 1 << state
        if self.scopes is NO_SCOPES:
            self.scopes = Scopes()
        return self.scopes.token(state, self.ticks[state])

    def _expire(self, states: int) -> None:
        if states & self.scopes.mask:
            self.effects += map(CancelScope, self.scopes.expire(states))

    # -- calling handlers ----------------------------------------------------------------------

    def _event(self, tx: Transition, bound: Bound) -> Event[Any]:
        return Event(bound.name, self.owner, tx, tx.mutation.args, bound.spec)

    def _call(self, tx: Transition, bound: Bound) -> object:
        """Call a handler. An exception stops the transition and becomes a mutation of Exception."""
        event: Event[Any] = _blank(Event)  # without ``__init__``, which would double what it costs
        event.name, event.machine, event.transition = bound.name, self.owner, tx
        event.args, event.state = tx.mutation.args, bound.spec
        observed = self.observed
        if observed:
            self.tracers.emit("handler_start", tx, bound.name)
        clock, call = self.clock, bound.call  # attributes that are called in place are looked up as methods
        began = clock()
        try:
            answer = call(event)
        except Exception as error:
            answer = _FAILED
            self._fail(tx, bound, error)
        seconds = clock() - began
        if observed:
            self.tracers.emit("handler_end", tx, bound.name, seconds)
            self.tracers.emit("handler_counted", bound.name, seconds)
        if seconds > self.slow_after:
            return self._slow(tx, bound, seconds, answer)
        return answer

    def _slow(self, tx: Transition, bound: Bound, seconds: float, answer: object) -> object:
        """Report a handler that took too long. If these are canceled, what it answers does not count."""
        canceled = self.cancel_slow and answer is not _FAILED
        self.tracers.report(
            "slow-handler",
            handler=bound.name,
            seconds=seconds,
            limit=self.slow_after,
            where=_where(bound.call),
            transition=tx.id,
            canceled=canceled,
        )
        if not canceled:
            return answer
        if inspect.iscoroutine(answer):
            answer.close()
        if bound.phase in NEGOTIATION:
            return False
        tx.accepted = False
        tx.stopped_by = bound.name
        return _FAILED

    def note_error(self, error: BaseException, **details: object) -> None:
        """Report an error that is about to become a state, unless a handler of Exception will see it."""
        if not self.handlers.touch >> self.cache.exception & 1:
            self.tracers.report("unhandled-error", error=error, **details)

    def _fail(self, tx: Transition, bound: Bound, error: Exception) -> None:
        tx.accepted = False
        tx.error = error
        tx.stopped_by = bound.name
        if bound.phase in NEGOTIATION:
            self._note_veto(tx, bound, tx.plan.touched, repr(error))
        self.auto_failures += tx.mutation.auto
        if self.cache.exception in tx.mutation.called:
            # Nothing is prepended: an error in an error handler must not go round in circles.
            self.tracers.report("error-in-error-handler", handler=bound.name, error=error)
            return
        self.note_error(error, handler=bound.name)
        args = {"error": error, "handler": bound.name}
        self.followups.append(Mutation(ADD, (self.cache.exception,), args, tx.source))


def _where(call: Callable[..., object]) -> str:
    """``file:line`` of the definition of a handler, or what it looks like when it has none."""
    code = getattr(inspect.unwrap(call), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else repr(call)
