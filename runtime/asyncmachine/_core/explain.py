"""Why a state is active, or is not: from its relations now, and from what moved or stopped it last.

Nothing here is computed before somebody asks. A machine only remembers, per state, the plan that
moved it last and the veto that kept it last; the rest is read off the plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from asyncmachine._core.mutation import ADD, REMOVE, Source
from asyncmachine._core.phases import Kernel
from asyncmachine._core.plans import Plan
from asyncmachine._core.relations import Resolver
from asyncmachine._core.transition import Stop, Undone
from asyncmachine.schema import iter_bits

__all__ = ["Cause", "Explanation", "Veto", "explain"]

How: TypeAlias = Literal[
    "called", "auto", "implied", "removed", "unmet", "left-out", "rolled-back", "restored"
]

_TEXTS = {
    "called": "called",
    "auto": "called by the machine itself, as an auto state",
    "implied": "implied by {by}",
    "removed": "removed by {by}",
    "unmet": "lost its requirement {by}",
    "left-out": "not among what was set",
    "rolled-back": "rolled back, because {by} failed",
    "restored": "restored from a snapshot",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What made a state move the last time.

    Attributes:
        how: ``called`` (also by a ``remove``), ``auto``, ``implied``, ``removed`` by an active state,
            ``unmet`` (a requirement ended), ``left-out`` of a ``set``, ``rolled-back``, ``restored``.
        by: the states that implied, removed or ended it; for ``rolled-back`` the handler that failed.
        mutation: as in logs, e.g. ``[add] Foo Bar``; "" when there was none.
        transition: its id; "" when nobody watched the states that moved, so that none was recorded.
        source: the transition in which the mutation was made, possibly of another machine, if recorded.
    """

    how: How
    by: tuple[str, ...] = ()
    mutation: str = ""
    transition: str = ""
    source: Source | None = None

    def __str__(self) -> str:
        text = _TEXTS[self.how].format(by=", ".join(self.by))
        if self.mutation:
            text += f", by {self.mutation}"
        if self.transition:
            text += f" in {self.transition}"
        if self.source is not None:
            text += f", made in {self.source.transition} of {self.source.machine}"
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Veto:
    """Which handler kept a state from moving.

    Attributes:
        mutation, transition, source: as in :class:`Cause`; always recorded.
        error: what the handler raised, as text; "" if it refused, or took too long.
    """

    handler: str
    mutation: str
    transition: str
    source: Source | None
    error: str

    def __str__(self) -> str:
        text = f"{self.handler}, when asked by {self.mutation} in {self.transition}"
        return f"{text}: it raised {self.error}" if self.error else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why *state* is active, or is not. ``str()`` says it in a few lines.

    Attributes:
        cause: what moved it last; None if it has never moved.
        veto: who has refused to let it move since; None if nobody has.
        missing: required states that are not active. This and the next three are empty, or True,
            for an active state.
        removed_by: active states that remove it.
        conflicts: further reasons of relations, as text, such as ``Foo removes Bar``: when adding the
            state would end what it requires.
        addable: relations allow to ``add`` it; handlers were not asked.
    """

    state: str
    active: bool
    tick: int
    cause: Cause | None
    veto: Veto | None
    missing: tuple[str, ...] = ()
    removed_by: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    addable: bool = True

    def __str__(self) -> str:
        return "\n  ".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.state} is {'active' if self.active else 'inactive'}, tick {self.tick}"
        if self.cause is not None:
            yield f"last move: {self.cause}"
        elif not self.active:
            yield "it has never been active"
        for name in self.missing:
            yield f"it requires {name}, which is inactive"
        for name in self.removed_by:
            yield f"{name} is active and removes it"
        yield from self.conflicts
        if self.veto is not None:
            yield f"stopped by {self.veto}"
        if not self.active and self.addable:
            yield "relations allow to add it"


def explain(kernel: Kernel, state: int) -> Explanation:
    """Explain the state with this index."""
    schema, tick = kernel.schema, kernel.ticks[state]
    name, active = schema.names[state], bool(tick & 1)
    stop, at = kernel.vetoes.get(state, (None, tick))
    veto = _veto(kernel, stop) if stop is not None and at == tick else None  # else it has moved since
    cause = _cause(kernel, state)
    if active:
        return Explanation(state=name, active=True, tick=tick, cause=cause, veto=veto)
    resolver, now = kernel.cache.resolver, kernel.node.mask
    missing = schema.masks.require[state] & ~now
    removers = resolver.removers[state] & now
    outcome = resolver.resolve(kernel.node.active, (state,), ADD)
    conflicts: dict[str, None] = {}
    if not outcome.accepted and not missing and not removers:
        for step in outcome.steps:
            if step.kind in ("unmet", "removed"):
                one, two = schema.names[step.state], schema.names[step.other]
                conflicts[f"{one} requires {two}" if step.kind == "unmet" else f"{two} removes {one}"] = None
    return Explanation(
        state=name,
        active=False,
        tick=tick,
        cause=cause,
        veto=veto,
        missing=schema.names_of(missing),
        removed_by=schema.names_of(removers),
        conflicts=tuple(conflicts),
        addable=outcome.accepted,
    )


def _cause(kernel: Kernel, state: int) -> Cause | None:
    memory = kernel.moves[state]
    if memory is None:
        return Cause(how="restored") if kernel.ticks[state] else None
    if isinstance(memory, Plan):
        plan, number, source = memory, 0, None
    else:
        plan, number, source = memory[:3]
    how: How
    if isinstance(memory, Undone):
        how, by = "rolled-back", [memory.handler]
    else:
        how, states = _how(kernel.cache.resolver, plan, state)
        by = list(kernel.schema.names_of(states))
    return Cause(
        how=how,
        by=tuple(by),
        mutation=kernel.cache.describe(plan),
        transition=_id(kernel, number) if number else "",
        source=source,
    )


def _veto(kernel: Kernel, stop: Stop) -> Veto:
    return Veto(
        handler=stop.handler,
        mutation=kernel.cache.describe(stop.plan),
        transition=_id(kernel, stop.number),
        source=stop.source,
        error=stop.error,
    )


def _id(kernel: Kernel, number: int) -> str:
    return f"{kernel.machine_id}/{number}"


def _how(resolver: Resolver, plan: Plan, state: int) -> tuple[How, int]:
    """In which way *plan* moved *state*, and the mask of the states that made it."""
    after = plan.node.mask
    if plan.kind == REMOVE or not after >> state & 1:
        if state in plan.called:
            return "called", 0
        if by := resolver.removers[state] & after:
            return "removed", by
        if by := resolver.masks.require[state] & ~after:
            return "unmet", by
        return "left-out", 0  # of a set: nothing else ends a state that neither is removed nor lacks anything
    if state in plan.called:
        return ("auto" if plan.auto else "called"), 0
    by = 0
    for i in iter_bits(after):
        if state in resolver.adds[i] and i in plan.enters:
            by |= 1 << i
    return "implied", by
