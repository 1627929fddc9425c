"""Names of handlers to states, and the table of bound handlers.

Grammar, for states Foo and Bar: ``foo_enter``, ``foo_exit`` (negotiation), ``foo_state``,
``foo_end`` (final), ``foo_to_bar`` (negotiation: Foo active before, Bar after), ``foo_to_foo``
(negotiation: Foo stays active), ``any_enter``, ``any_state`` (every transition).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from asyncmachine._core.event import Event
from asyncmachine._core.mutation import REMOVE
from asyncmachine._core.plans import Plan, plan_cache
from asyncmachine.errors import BindError, did_you_mean
from asyncmachine.schema import Schema, State

__all__ = ["ENTER", "NEGOTIATION", "NO_CALLS", "PAIR", "STATE", "Bound", "Calls", "Handlers"]

Handler: TypeAlias = Callable[[Event[Any]], Any]

ENTER, EXIT, STATE, END, PAIR = "enter", "exit", "state", "end", "to"
NEGOTIATION = (ENTER, EXIT, PAIR)
ANY = -1


@dataclass(slots=True)  # not a tuple with names: its fields are read several times faster
class Bound:
    """A handler in the table. ``state`` is its subject: whom a veto is about; -1 for any.

    ``spec`` is the definition of that state, None for any.
    """

    name: str
    call: Handler
    state: int
    phase: str
    is_async: bool
    spec: State | None


@dataclass(slots=True)
class Calls:
    """The handlers that a plan runs, in order."""

    negotiation: tuple[Bound, ...]
    finals: tuple[Bound, ...]
    any_state: tuple[Bound, ...]


NO_CALLS: Final = Calls((), (), ())
"""Of every plan that runs no handler."""

_NOTHING_KNOWN: Final[dict[Plan, Calls]] = {}
"""What a machine without handlers has instead of a dict of its own. Never changed."""


def _is_async(handler: Handler) -> bool:
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - asks whether it is async, not callable
    )


class Handlers:
    """All handlers bound to one machine.

    Attributes:
        touch: mask of states with enter, exit, state or end handlers.
        pair: mask of states with pair or self handlers.
        has_any: whether an ``any_*`` handler is bound.
        known: what :meth:`calls` has answered since the last bind.
    """

    __slots__ = ("_objects", "_schema", "_table", "has_any", "known", "pair", "touch")

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._objects: tuple[tuple[object, list[tuple[tuple[str, int, int], Bound]]], ...] = ()
        self._table: dict[tuple[str, int, int], list[Bound]]  # made by the first bind
        self.known = _NOTHING_KNOWN
        self.touch = self.pair = 0
        self.has_any = False

    def bind(self, handlers: object) -> None:
        """Bind every method of *handlers* whose name is a handler's.

        Raises:
            BindError: a name that looks like a handler but matches no state, an ambiguous pair, or
                an async negotiation handler. Nothing is bound then.
        """
        found: list[tuple[tuple[str, int, int], Bound]] = []
        for name in dir(handlers):
            if name.startswith("_") or isinstance(getattr(type(handlers), name, None), property):
                continue  # asking a property could run anything
            handler = getattr(handlers, name)
            if not callable(handler):
                continue
            key = self._parse(name)
            if key is None:
                continue
            phase, state, other = key
            is_async = _is_async(handler)
            if is_async and phase not in (STATE, END):
                raise BindError(
                    f"{type(handlers).__name__}.{name} is async, but negotiation handlers must answer "
                    f"at once; make it a plain function, or move the waiting to a _state handler"
                )
            subject = other if phase == PAIR else state
            spec = self._schema.states[self._schema.names[subject]] if subject != ANY else None
            found.append((key, Bound(name, handler, subject, phase, is_async, spec)))
        self._objects = (*self._objects, (handlers, found))
        self._rebuild()

    def unbind(self, handlers: object) -> None:
        """Remove the handlers of this object.

        Raises:
            BindError: it is not bound.
        """
        kept = tuple(pair for pair in self._objects if pair[0] is not handlers)
        if len(kept) == len(self._objects):
            raise BindError(f"{handlers!r} is not bound to this machine")
        self._objects = kept
        self._rebuild()

    def calls(self, plan: Plan) -> Calls:
        """The handlers of this plan, remembered until the next bind."""
        calls = self.known.get(plan)
        if calls is None:
            if not self._objects or not plan.accepted:
                return NO_CALLS
            if len(self.known) >= 4096:  # plans of a flushed cache must not pile up here
                self.known.clear()
            get = self._table.get
            finals = [b for i in plan.exits for b in get((END, i, i), ())]
            finals += [b for i in plan.enters for b in get((STATE, i, i), ())]
            calls = Calls(tuple(self._negotiation(plan)), tuple(finals), tuple(get((STATE, ANY, ANY), ())))
            if calls == NO_CALLS:
                calls = NO_CALLS
            self.known[plan] = calls
        return calls

    def _negotiation(self, plan: Plan) -> Iterator[Bound]:
        get = self._table.get
        for i in plan.exits:
            yield from get((EXIT, i, i), ())
        for i in plan.enters:
            yield from get((ENTER, i, i), ())
        if self.pair:
            before = plan.source
            if plan.kind != REMOVE:
                for i in plan.target:
                    if before.mask >> i & 1:
                        yield from get((PAIR, i, i), ())
            for i in before.active:
                for other in plan.target:
                    if i != other:
                        yield from get((PAIR, i, other), ())
        yield from get((ENTER, ANY, ANY), ())

    def _rebuild(self) -> None:
        self._table, self.known = {}, {}
        self.touch = self.pair = 0
        self.has_any = False
        for _, found in self._objects:
            for key, bound in found:
                self._table.setdefault(key, []).append(bound)
                phase, state, other = key
                if state == ANY:
                    self.has_any = True
                elif phase == PAIR:
                    self.pair |= 1 << state | 1 << other
                else:
                    self.touch |= 1 << state

    def _parse(self, name: str) -> tuple[str, int, int] | None:
        """``(phase, state, other)``, or None when the name is not a handler's."""
        snakes = plan_cache(self._schema).snakes
        stem, _, phase = name.rpartition("_")
        if phase in (ENTER, EXIT, STATE, END) and stem in snakes:
            state = snakes[stem]
            return phase, state, state
        if name in ("any_enter", "any_state"):
            return phase, ANY, ANY
        parts = name.split("_to_")
        halves = [("_to_".join(parts[:n]), "_to_".join(parts[n:])) for n in range(1, len(parts))]
        pairs = [(a, b) for a, b in halves if a in snakes and b in snakes]
        if len(pairs) > 1:
            raise BindError(
                f"{name} is ambiguous: {' or '.join(f'({a}, {b})' for a, b in pairs)}; rename a state"
            )
        if pairs:
            return PAIR, snakes[pairs[0][0]], snakes[pairs[0][1]]
        if stem and phase in (ENTER, EXIT, STATE, END):
            known = [f"{snake}_{phase}" for snake in snakes]
            raise BindError(
                f"{name} looks like a handler, but {self._schema.name} has no such state"
                f"{did_you_mean(name, known)}"
            )
        for a, b in halves:
            if a in snakes or b in snakes:
                bad = b if a in snakes else a
                raise BindError(
                    f"{name} looks like a handler, but {self._schema.name} has no state for {bad!r}"
                    f"{did_you_mean(bad, snakes)}"
                )
        return None
