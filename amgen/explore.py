"""All configurations that a machine without handlers can come to rest in. Pure.

The search begins with nothing active, and tries in every configuration, breadth first, to add and to
remove each state. So the first way it finds to a configuration is a shortest one.

States that no relation connects cannot disturb each other: they form independent *parts*, each
explored by itself, which turns a product of configurations into a sum. All that one part notices of
another is that something moved there, because then auto states get a chance everywhere. That is one
more mutation of the part, the *nudge*; in a script, a mutation of some state outside stands for it.
States of one invariant always belong to one part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import combinations, pairwise, permutations
from operator import or_
from typing import Final, Literal, TypeAlias

from amgen.errors import AmgenError
from amgen.steps import ADD, REMOVE, STAY, Move, Stepper
from asyncmachine.schema import EXCEPTION, Invariant, Schema, iter_bits

__all__ = [
    "MAX_CONFIGURATIONS",
    "Exploration",
    "Finding",
    "FindingKind",
    "Part",
    "explore",
    "leaves_of",
    "parts_of",
]

MAX_CONFIGURATIONS: Final = 200_000
MAX_FINDINGS: Final = 10
"""Most findings of one kind in one part: what comes after these is rarely another cause."""

_EVERY: Final = 50_000
"""Mutations, about, between two calls of ``progress``."""

FindingKind: TypeAlias = Literal["invariant", "unreachable", "oscillation", "stuck", "dead-end", "late"]
Progress: TypeAlias = Callable[[int, int], bool]
"""``(explored, known) -> go on?``, over all parts."""

_NUDGE: Final = Move(ADD, ())


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that the exploration has shown.

    Attributes:
        kind: ``invariant``, one is broken; ``unreachable``, a state that is never active;
            ``oscillation``, auto states that flip with every transition; ``stuck``, a configuration of
            a part that no mutation leaves; ``dead-end``, one that nothing but a remove leaves;
            ``late``, auto states that come only with the next mutation.
        states: mask of the states it is about.
        active: the configuration that shows it, of the whole machine; 0 for ``unreachable``.
        script: a shortest way there; empty for ``unreachable``.
        nudges: places in the script of mutations that are there only to let auto states follow.
        count: how many configurations of the part show the same.
        invariant: the one that is broken.
    """

    kind: FindingKind
    states: int
    active: int = 0
    script: tuple[Move, ...] = ()
    nudges: tuple[int, ...] = ()
    count: int = 1
    invariant: Invariant | None = None

    @property
    def is_error(self) -> bool:
        """Whether it is a mistake, not just worth to know."""
        return self.kind not in ("dead-end", "late")


@dataclass(frozen=True, slots=True)
class Part:
    """What was seen of one independent part.

    Attributes:
        states: mask of its states.
        leaves: mask of those of them that are leaves.
        explored: configurations in which every mutation was tried.
        known: configurations that were reached; more than *explored* if the search was ended early.
        reached: mask of the states that were active at rest somewhere.
    """

    states: int
    leaves: int
    explored: int
    known: int
    reached: int

    @property
    def complete(self) -> bool:
        """Whether these are all configurations there are."""
        return self.explored == self.known


@dataclass(frozen=True, slots=True)
class Exploration:
    """All parts of one machine, the smallest first, and what was found; errors come first."""

    schema: Schema
    parts: tuple[Part, ...]
    findings: tuple[Finding, ...]

    @property
    def explored(self) -> int:
        """Configurations in which every mutation was tried, summed over the parts."""
        return sum(p.explored for p in self.parts)

    @property
    def known(self) -> int:
        """Configurations that were reached, summed over the parts."""
        return sum(p.known for p in self.parts)

    @property
    def complete(self) -> bool:
        """Whether every configuration of every part was explored: what was not found does not exist."""
        return all(p.complete for p in self.parts)


def parts_of(schema: Schema) -> tuple[int, ...]:
    """Masks of the independent parts, small ones first: what require, add, remove or an invariant joins.

    After is only about the order of handlers and joins nothing.
    """
    masks = schema.masks
    groups = [
        *((1 << i) | masks.require[i] | masks.add[i] | masks.remove[i] for i in range(len(schema))),
        *(i.when_mask | i.then_mask for i in schema.invariants),
    ]
    parts: list[int] = []
    for group in groups:
        joined = [p for p in parts if p & group]
        parts = [p for p in parts if not p & group]
        for part in joined:
            group |= part  # noqa: PLW2901 - the group grows by what it touches
        parts.append(group)
    return tuple(sorted(parts, key=lambda p: (p.bit_count(), p & -p)))


def leaves_of(schema: Schema, part: int) -> int:
    """Mask of the leaves of a part, see the module; states of invariants are none."""
    masks = schema.masks
    needed = masks.auto
    for invariant in schema.invariants:
        needed |= invariant.when_mask | invariant.then_mask
    for required in masks.require:
        needed |= required
    leaves = 0
    for i in iter_bits(part & ~needed):
        above, todo = 0, masks.require[i]
        while todo:
            above |= todo
            todo = reduce(or_, (masks.require[j] for j in iter_bits(todo))) & ~above
        if not masks.remove[i] and not masks.add[i] & ~above:
            leaves |= 1 << i
    return leaves if leaves != part else 0


def explore(
    schema: Schema,
    *,
    pairs: bool = False,
    max_configurations: int = MAX_CONFIGURATIONS,
    progress: Progress = lambda explored, known: True,
) -> Exploration:
    """Explore the machine of *schema*.

    Args:
        pairs: also add and remove two states in one mutation.
        max_configurations: configurations to explore in all parts together.
        progress: called now and then; when it answers False, the search ends.
    """
    stepper = Stepper(schema)
    searches: list[_Search] = []
    done = known = 0

    def report(explored: int, seen: int) -> bool:
        return progress(done + explored, known + seen)

    for states in parts_of(schema):
        search = _Search(stepper, states, pairs=pairs)
        search.run(max_configurations - done, report)
        done, known = done + search.explored, known + len(search.came)
        searches.append(search)
    findings = [f for s in searches for f in s.findings()]
    findings.sort(key=lambda f: (not f.is_error, len(f.script)))
    return Exploration(schema, tuple(s.part() for s in searches), tuple(findings))


def _moves(schema: Schema, part: int, *, pairs: bool) -> Iterator[Move]:
    """The mutations that are tried in each configuration of a part."""
    exception = schema.index[EXCEPTION]
    states = list(iter_bits(part))
    for i in states:
        yield Move(ADD, (i,))
        if schema.masks.require[i] >> exception & 1:
            yield Move(ADD, (i, exception))  # what add_error does
        yield Move(REMOVE, (i,))
    if pairs:
        for two in permutations(states, 2):  # in both orders: who is called first is looked at first
            if two[1] != exception or not schema.masks.require[two[0]] >> exception & 1:
                yield Move(ADD, two)
        yield from (Move(REMOVE, two) for two in combinations(states, 2))


class _Search:
    """The search through one part.

    Attributes:
        core: the states of the part but its leaves. A configuration is a mask of these.
        came: configuration -> the one before it and the number of the move between, in the order of
            discovery.
        explored: number of configurations whose moves were all tried.
    """

    def __init__(self, stepper: Stepper, states: int, *, pairs: bool) -> None:
        self.stepper, self.states = stepper, states
        self.schema = stepper.schema
        self.leaves = leaves_of(self.schema, states)
        self.core = states & ~self.leaves
        self.outside = ((1 << len(self.schema)) - 1) & ~states
        self.moves = list(_moves(self.schema, states, pairs=pairs))
        self.tables = [stepper.table(m, states) for m in self.moves]
        self.auto = stepper.auto_table(states)
        self.has_auto = bool(self.schema.masks.auto & states)
        if self.has_auto and self.outside and _Nudges(stepper, self.outside).first(0):
            self.moves.append(_NUDGE)
            self.tables.append(self.auto)
        self.invariants = [i for i in self.schema.invariants if i.when_mask & states]
        self.came: dict[int, tuple[int, int]] = {0: (0, -1)}
        self.explored = 0
        self.reached = 0
        self.broken: dict[Invariant, list[int]] = {}
        self.stuck: list[int] = []
        self.dead: list[int] = []
        self.restless: dict[tuple[bool, int], list[int]] = {}  # (ever settles, who moves) -> configurations

    def run(self, limit: int, progress: Progress) -> None:
        """Explore until nothing is left, *limit* is reached, or *progress* has enough."""
        came, core, reached = self.came, self.core, 0
        pending = [0]
        rows = [
            (number, t.cone, t.known, t.ask, move.kind == ADD and move is not _NUDGE)
            for number, (move, t) in enumerate(zip(self.moves, self.tables, strict=True))
        ]
        auto_cone, auto_known, auto_ask = self.auto.cone, self.auto.known, self.auto.ask
        tested = bool(self.invariants)
        every = _EVERY // len(rows) + 1
        for active in pending:  # grows while it is walked
            if self.explored >= limit or (
                not self.explored % every and not progress(self.explored, len(came))
            ):
                return
            left = risen = False
            for number, cone, known, ask, adds in rows:
                delta = known.get(active & cone)
                if delta is None:
                    delta = ask(active)
                if delta is STAY:
                    continue
                after = active & delta[0] | delta[1]
                if delta[2]:
                    delta = auto_known.get(after & auto_cone) or auto_ask(after)
                    after = after & delta[0] | delta[1]
                if after != active:
                    left = True
                    risen = risen or adds
                    reached |= after
                    after &= core
                    if after not in came:
                        came[after] = (active, number)
                        pending.append(after)
                        if tested:
                            self._test(after)
            self.explored += 1
            self.reached |= reached
            if not active:
                continue  # auto states are not due yet, and states that cannot come are unreachable
            if not risen and active != self.states:
                (self.dead if left else self.stuck).append(active)
            if self.has_auto:
                self._rest(active)

    def _test(self, active: int) -> None:
        for invariant in self.invariants:
            if not invariant.holds(active):
                self.broken.setdefault(invariant, []).append(active)

    def _pass(self, active: int) -> int:
        """One more auto transition."""
        delta = self.auto.known.get(active & self.auto.cone) or self.auto.ask(active)
        return (active & delta[0] | delta[1]) & self.core

    def _rest(self, active: int) -> None:
        """Whether auto states would move again, and whether they would ever stop."""
        after = self._pass(active)
        if after == active:
            return
        chain = {active: 0}
        while after not in chain:
            chain[after] = len(chain)
            after = self._pass(after)
        walked = list(chain)
        circle = walked[chain[after] :]
        settles = len(circle) == 1
        moving = 0
        for one, other in pairwise(walked) if settles else combinations(circle, 2):
            moving |= one ^ other
        self.restless.setdefault((settles, moving), []).append(active)

    # -- what was found ------------------------------------------------------------------------

    def part(self) -> Part:
        """The result in numbers."""
        return Part(self.states, self.leaves, self.explored, len(self.came), self.reached)

    def findings(self) -> Iterator[Finding]:
        """What is worth to be told of this part."""
        for invariant, shown in self.broken.items():
            yield self._finding("invariant", invariant.when_mask | invariant.then_mask, shown, invariant)
        if self.part().complete:
            for i in iter_bits(self.states & ~self.reached):
                yield Finding("unreachable", 1 << i)
        kinds: dict[FindingKind, int] = {}
        for (settles, moving), shown in self.restless.items():
            kind: FindingKind = "late" if settles else "oscillation"
            kinds[kind] = kinds.get(kind, 0) + 1
            if kinds[kind] <= MAX_FINDINGS:
                yield self._finding(kind, moving, shown)
        if self.stuck:
            yield self._finding("stuck", self.core, self.stuck)
        if self.dead:
            yield self._finding("dead-end", self.core & ~self.dead[0], self.dead)

    def _finding(
        self, kind: FindingKind, states: int, shown: list[int], invariant: Invariant | None = None
    ) -> Finding:
        active, script, nudges = self._script(shown[0])
        return Finding(kind, states, active, script, nudges, len(shown), invariant)

    def _script(self, target: int) -> tuple[int, tuple[Move, ...], tuple[int, ...]]:
        """A shortest way to *target*, played on the whole machine."""
        path: list[tuple[Move, int]] = []
        at = target
        while self.came[at][1] >= 0:
            before, number = self.came[at]
            path.append((self.moves[number], at))
            at = before
        nudges = _Nudges(self.stepper, self.outside)
        script: list[Move] = []
        places: list[int] = []
        active = 0
        for move, at in reversed(path):
            steps = nudges.first(active) if move is _NUDGE else (self._real(active, move, at),)
            if move is _NUDGE:
                places += range(len(script), len(script) + len(steps))
            for step in steps:
                active = self.stepper.step(active, step).after
            script += steps
            if active & self.core != at:
                raise AmgenError("AM901: a script does not lead where the search has been; please report it")
        return active, tuple(script), tuple(places)

    def _real(self, active: int, move: Move, target: int) -> Move:
        """The search does not know which leaves are active; adding one that is would do nothing."""
        if self.stepper.step(active, move).after & self.core != target:
            return Move(REMOVE, tuple(i for i in move.called if self.leaves >> i & 1))
        return move


class _Nudges:
    """Mutations outside of a part that move a tick, and so let auto states follow everywhere."""

    def __init__(self, stepper: Stepper, outside: int) -> None:
        self.stepper = stepper
        schema = stepper.schema
        exception = schema.index[EXCEPTION]
        # An error is the last that a reader should have to think about.
        states = sorted(
            iter_bits(outside), key=lambda i: (i == exception or schema.masks.require[i] >> exception & 1, i)
        )
        self.moves = [Move(kind, (i,)) for i in states for kind in (ADD, REMOVE)]

    def first(self, active: int) -> tuple[Move, ...]:
        """The shortest nudge there is in this configuration of the whole machine; empty if there is none."""
        for move in self.moves:
            if self.stepper.ticks(active, move):
                return (move,)
        # The add of a health state lets no auto state follow, its end does. A way that needs this may be
        # one longer than the shortest: the search has counted one mutation.
        for move in self.moves:
            after = self.stepper.step(active, move).after
            rest = next((m for m in self.moves if self.stepper.ticks(after, m)), None)
            if after != active and rest is not None:
                return (move, rest)
        return ()
