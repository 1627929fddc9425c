"""Pipes: states of one machine follow those of another.

::

    pipe = bind_state(door, house, "Open", "DoorOpen")
    door.add("Open", who="cat")      # house.add("DoorOpen", who="cat")
    door.remove("Open")              # house.remove("DoorOpen")
    pipe.close()

Source and target are machines or mirrors, in any combination. A pipe

* speaks after each transition of the source, about what has really changed: nothing is sent for one that
  was canceled, and one that was rolled back ends what it had begun. Changes that a mirror receives as one
  are told as one, except that a state which was active for a moment only is told as such;
* keeps the order: it sends with the transition, without a task or a delay;
* gives a local target the arguments of the mutation, and the transition as the source of its own. A target
  behind a mirror gets those arguments that its state declares. A mirror as source has no arguments;
* begins with the next change: :meth:`Pipe.sync` makes the target follow what is active already;
* ends by itself when one of its machines is disposed of.

Machines may be piped in a circle: it comes to rest when they agree. But single multi states that are
piped to each other, by pipes that are not flat, would call each other for ever.

The target may refuse, by its relations or handlers. A state of errors, whose name begins with ``Err``, is
added together with Exception.

A *flat* pipe sends no arguments, and nothing that is known to be so at the target already: a multi state
that is called again is not told.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self, cast

from asyncmachine._core.mutation import ADD, NO_ARGS, REMOVE, SET, Kind, Source
from asyncmachine.api import MachineApi, Tracer
from asyncmachine.errors import AsyncMachineError, BindError, MachineDisposed
from asyncmachine.machine import Machine
from asyncmachine.schema import EXCEPTION

__all__ = [
    "Pipe",
    "bind_any",
    "bind_connected",
    "bind_error",
    "bind_many",
    "bind_ready",
    "bind_state",
    "sync",
]

_log = logging.getLogger("asyncmachine.pipes")


class _Mirror(Protocol):
    """Of a mirror: mutations that are sent in order, and whose refusal the client logs."""

    def add_nowait(self, *states: str, **args: Any) -> None: ...
    def remove_nowait(self, *states: str, **args: Any) -> None: ...


class _Rule(NamedTuple):
    """What one state of the source does: ``on`` is added when it activates, ``off`` removed when it ends."""

    on: str
    off: str


class _Moves(NamedTuple):
    """Indexes of states of the source, in the order in which the target is told of them.

    ``blinks`` are in ``starts`` too: they were active for a moment, and are not any more.
    """

    ends: list[int]
    starts: list[int]
    blinks: list[int]


class _Cause(NamedTuple):
    """Of what is sent: arguments, and the transition it comes from.

    ``echo``: the target itself had caused that.
    """

    args: Mapping[str, Any]
    origin: Source | None
    echo: bool = False


_NOTHING = _Cause(NO_ARGS, None)


class _AtSource(Tracer):
    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def transition_end(self, machine: Any, transition: Any) -> None:
        self._pipe._moved(transition)

    def machine_dispose(self, machine: Any) -> None:
        self._pipe.close()


class _AtTarget(Tracer):
    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def machine_dispose(self, machine: Any) -> None:
        self._pipe.close()


class _AtMirror(_AtTarget):
    def queue_end(self, machine: Any) -> None:
        self._pipe._catch_up()


class Pipe(ABC):
    """From one machine to another, until closed. Made by the functions of this module.

    Can be used as a context manager, which closes it.

    Attributes:
        lost: mutations that could not be sent to the target of a mirror, for want of a session. Others may
            have been lost with a session. So the present states are sent with the next one, where the
            target differs; arguments, and calls in between, stay lost.
        closed: nothing is sent any more.
    """

    def __init__(self, source: MachineApi, target: MachineApi, watched: Iterable[int], *, flat: bool) -> None:
        for machine in (source, target):
            if machine.disposed:
                raise MachineDisposed(machine.id)
        self.source = source
        self.target = target
        self.flat = flat
        self.lost = 0
        self.closed = False
        self._local = target if isinstance(target, Machine) else None
        self._watched = tuple(watched)
        self._seen = source.time()
        self._behind = False  # something was lost: the target may not be what it should be
        self._told = False  # it has begun to follow
        self._sessions = getattr(target, "sessions", 0)
        self._wanted: dict[str, bool] = {}  # what a mirror was told last
        self._tracers = _AtSource(self), (_AtTarget(self) if self._local else _AtMirror(self))
        source.trace(self._tracers[0])
        target.trace(self._tracers[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        end = " closed" if self.closed else ""
        return f"<{type(self).__name__.lstrip('_')} {self.source.id} -> {self.target.id}{end}>"

    def close(self) -> None:
        """Send nothing any more. What the target became by it stays as it is. Idempotent."""
        if not self.closed:
            self.closed = True
            self.source.untrace(self._tracers[0])
            self.target.untrace(self._tracers[1])

    def sync(self) -> int:
        """Make the target follow what is active in the source now; the number of mutations that it took."""
        self._behind, self._told = False, True
        return 0 if self.closed else self._level(frozenset())

    # -- for the tracers -----------------------------------------------------------------------

    def _moved(self, transition: Any) -> None:
        mutation = getattr(transition, "mutation", None)  # a change of a mirror has none
        if mutation is not None and mutation.check:
            return
        before, self._seen = self._seen, transition.time_after
        moves = self._compare(before, self._seen, transition)
        if not any(moves):
            return
        if mutation is not None:
            echo = mutation.source is not None and mutation.source.machine == self.target.id
            cause = _Cause(NO_ARGS if self.flat else mutation.args, transition.source, echo)
        else:
            version = getattr(self.source, "ver", 0)
            cause = _Cause(NO_ARGS, Source(self.source.id, f"{self.source.id}/{version}", version))
        self._catch_up(frozenset(moves.ends + moves.starts))
        self._forward(moves, cause)

    def _catch_up(self, but: frozenset[int] = frozenset()) -> None:
        """After a loss, send what is active now, except for these states."""
        if not getattr(self.target, "connected", True):
            return
        sessions = getattr(self.target, "sessions", 0)
        if sessions != self._sessions:  # what was sent last may be lost, or the target was started anew
            self._sessions = sessions
            self._behind = self._behind or self._told
            self._wanted.clear()
        if self._behind:
            self._behind = False
            self._level(but)

    def _compare(self, before: Sequence[int], after: Sequence[int], transition: Any) -> _Moves:
        moves = _Moves([], [], [])
        multi = self.source.schema.masks.multi
        for i in self._watched:
            old, new = before[i], after[i]
            if old == new:
                continue
            if old & 1 != new & 1:
                (moves.starts if new & 1 else moves.ends).append(i)
            elif self.flat or not transition.accepted or new < old:
                continue  # it is what it was: rolled back, or the source of a mirror was started anew
            elif new & 1:
                if not multi >> i & 1:
                    moves.ends.append(i)
                moves.starts.append(i)
            else:
                moves.starts.append(i)
                moves.blinks.append(i)
        if len(moves.starts) > 1:
            rank = {name: n for n, name in enumerate(transition.enters)}
            names = self.source.schema.names
            moves.starts.sort(key=lambda i: rank.get(names[i], len(rank)))
        return moves

    @abstractmethod
    def _forward(self, moves: _Moves, cause: _Cause) -> None: ...

    @abstractmethod
    def _level(self, but: frozenset[int]) -> int: ...

    # -- sending -------------------------------------------------------------------------------

    def _is_so(self, state: str, active: bool) -> bool:
        """Whether *state* of the target is as wanted, and nothing on its way will change that."""
        if self._local is not None:
            return not self._local.draining and self._local.is_active(state) == active
        # The mirror may still show what was before the last thing that was sent.
        return self._wanted.get(state, active) == active and self.target.is_active(state) == active

    def _send(self, kind: Kind, states: tuple[str, ...], cause: _Cause) -> bool:
        """Whether it went out."""
        if self._local is not None:
            _mutate(self._local, kind, states, cause)
            return True
        mirror = cast(_Mirror, self.target)
        try:
            if kind == ADD:
                mirror.add_nowait(*states, **self._declared(states, cause.args))
            else:
                mirror.remove_nowait(*states)
        except AsyncMachineError as error:
            self.lost += 1
            self._behind = True
            _log.warning("%r: %s was not sent: %s", self, ", ".join(states), error)
            return False
        self._told = True
        self._wanted.update(dict.fromkeys(states, kind == ADD))
        return True

    def _declared(self, states: tuple[str, ...], args: Mapping[str, Any]) -> dict[str, Any]:
        declared = [self.target.schema.states[state].args for state in states]
        known = {name for kind in declared if kind is not None for name in kind.decoders}
        return {name: value for name, value in args.items() if name in known}


def _mutate(target: Machine, kind: Kind, states: tuple[str, ...], cause: _Cause) -> None:
    error = cause.args.get("error")
    if (
        kind == ADD
        and states[1:] in ((), (EXCEPTION,))
        and EXCEPTION in states
        and isinstance(error, Exception)
    ):
        # As add, but what no handler sees is logged.
        rest = {name: value for name, value in cause.args.items() if name not in ("error", "state")}
        target.add_error(error, states[0], **rest)
    elif cause.origin is not None:
        target.add_from(cause.origin, kind, states, cause.args)
    else:
        (target.add, target.remove, target.set)[kind](*states, **cause.args)


class _StatePipe(Pipe):
    """Of single states, each with its rules."""

    def __init__(
        self, source: MachineApi, target: MachineApi, rules: Iterable[tuple[str, _Rule]], *, flat: bool
    ) -> None:
        self._rules: dict[int, list[_Rule]] = {}
        for state, rule in rules:
            for name in filter(None, rule):
                target.schema.position(name)
            if source is target and state == rule.on:
                raise BindError(f"{state} of {source.id} cannot be piped to itself")
            self._rules.setdefault(source.schema.position(state), []).append(rule)
        super().__init__(source, target, self._rules, flat=flat)

    def _forward(self, moves: _Moves, cause: _Cause) -> None:
        steps: list[tuple[Kind, list[int]]] = [
            (REMOVE, moves.ends),
            (ADD, moves.starts),
            (REMOVE, moves.blinks),
        ]
        for kind, states in steps:
            for rule in (rule for i in states for rule in self._rules[i]):
                self._apply(kind, rule, cause, self.flat)

    def _apply(self, kind: Kind, rule: _Rule, cause: _Cause, flat: bool) -> bool:
        state = rule.on if kind == ADD else rule.off
        if not state or (flat and self._is_so(state, kind == ADD)):
            return False
        if kind == ADD and state.startswith("Err"):
            return self._send(kind, (state, EXCEPTION), cause)
        return self._send(kind, (state,), cause)

    def _level(self, but: frozenset[int]) -> int:
        active: list[_Rule] = []
        inactive: list[_Rule] = []
        for i, tick in enumerate(self.source.time()):
            if i in self._rules and i not in but:
                (active if tick & 1 else inactive).extend(self._rules[i])
        # ends first: what they leave room for is added then
        sent = [self._apply(REMOVE, rule, _NOTHING, True) for rule in inactive]
        sent += [self._apply(ADD, rule, _NOTHING, True) for rule in active]
        return sum(sent)


class _SetPipe(Pipe):
    """Of all states of the source, as a set."""

    def __init__(self, source: MachineApi, target: MachineApi) -> None:
        for name in source.schema.names:
            target.schema.position(name)
        if source is target:
            raise BindError(f"{source.id} cannot be piped to itself")
        super().__init__(source, target, range(len(source.schema)), flat=False)

    def _forward(self, moves: _Moves, cause: _Cause) -> None:
        names = self.source.schema.names
        # Two machines piped to each other must not call their multi states for ever.
        started = [] if cause.echo else [names[i] for i in moves.starts if i not in moves.blinks]
        self._set(started, cause)

    def _level(self, but: frozenset[int]) -> int:
        return self._set([], _NOTHING)

    def _set(self, started: Sequence[str], cause: _Cause) -> int:
        """Make the sets equal. Multi states are not called again unless they are among *started*."""
        schema = self.source.schema
        active = set(self.source.active_states())
        again = {n for n in started if schema.states[n].multi}
        extra = tuple(n for n in schema.names if n not in active and not self._is_so(n, False))
        missing = [n for n in schema.names if n in active and (n in again or self._lacks(n))]
        missing.sort(key=lambda n: started.index(n) if n in started else -1)
        if extra and missing and self._local is not None:
            kept = (n for n in self._local.active_states() if n not in schema.index)
            whole = (*(n for n in schema.names if n in active), *kept)
            if not any(self.target.schema.states[n].multi for n in whole):
                _mutate(self._local, SET, whole, cause)
                return 1
        sent = self._send(REMOVE, extra, cause) if extra else False
        return sent + (self._send(ADD, tuple(missing), cause) if missing else False)

    def _lacks(self, state: str) -> bool:
        if self.source.schema.states[state].multi:
            return not self.target.is_active(state)
        return not self._is_so(state, True)


def bind_state(
    source: MachineApi,
    target: MachineApi,
    state: str,
    active: str = "",
    inactive: str = "",
    *,
    flat: bool = False,
) -> Pipe:
    """Add *active* to the target when *state* activates or is called again, remove *inactive* when it ends.

    Args:
        active: a state of the target; default *state*.
        inactive: a state of the target; default *active*.
        flat: see the module.

    Raises:
        UnknownState: a name that its machine does not have.
        BindError: a state would be piped to itself.
        MachineDisposed: one of the machines is gone.
    """
    on = active or state
    return _StatePipe(source, target, [(state, _Rule(on, inactive or on))], flat=flat)


def bind_many(
    source: MachineApi,
    target: MachineApi,
    states: Sequence[str],
    targets: Sequence[str] | None = None,
    *,
    flat: bool = False,
) -> Pipe:
    """:func:`bind_state` for each of *states*, to the name at the same place of *targets*, in one pipe.

    Raises:
        BindError: also when the two are not of one length.
    """
    others = states if targets is None else targets
    if len(states) != len(others):
        raise BindError(f"{len(states)} states cannot be piped to {len(others)} targets: one for each")
    rules = [(state, _Rule(on, on)) for state, on in zip(states, others, strict=True)]
    return _StatePipe(source, target, rules, flat=flat)


def bind_ready(
    source: MachineApi, target: MachineApi, active: str = "", inactive: str = "", *, flat: bool = False
) -> Pipe:
    """:func:`bind_state` for Ready."""
    return bind_state(source, target, "Ready", active, inactive, flat=flat)


def bind_error(source: MachineApi, target: MachineApi, state: str = EXCEPTION, *, flat: bool = False) -> Pipe:
    """Add *state*, and Exception, to the target when Exception activates in the source, or is called again.

    Nothing is removed. From a machine to a machine the error itself comes along, as by ``add_error``.
    """
    return _StatePipe(source, target, [(EXCEPTION, _Rule(state or EXCEPTION, ""))], flat=flat)


def bind_connected(
    source: MachineApi,
    target: MachineApi,
    *,
    disconnected: str = "",
    connecting: str = "",
    connected: str = "",
    disconnecting: str = "",
) -> Pipe:
    """:func:`bind_state` for the states of a connection, to the names given; those without one are left out.

    Raises:
        BindError: also when no name is given.
    """
    given = {
        "Disconnected": disconnected,
        "Connecting": connecting,
        "Connected": connected,
        "Disconnecting": disconnecting,
    }
    rules = [(state, _Rule(on, on)) for state, on in given.items() if on]
    if not rules:
        raise BindError(f"nothing to pipe from {source.id} to {target.id}: name a state of the target")
    return _StatePipe(source, target, rules, flat=False)


def bind_any(source: MachineApi, target: MachineApi) -> Pipe:
    """Keep the same states active in the target as in the source, after each transition of the source.

    The target changes by one mutation; by two, the ends first, when some states end and others begin while
    multi states are active, or when it is a mirror. States that the source does not have are left alone.
    What the target refuses is tried again with the next transition.

    Raises:
        UnknownState: a state of the source that the target does not have.
    """
    return _SetPipe(source, target)


def sync(
    source: MachineApi, target: MachineApi, states: Sequence[str], targets: Sequence[str] | None = None
) -> int:
    """Make *targets* as active as *states* are, once; the number of mutations that it took.

    Raises:
        UnknownState, BindError, MachineDisposed: as :func:`bind_many`.
    """
    with bind_many(source, target, states, targets, flat=True) as pipe:
        return pipe.sync()
