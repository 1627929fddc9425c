"""The relation resolver: which states are active after a mutation. A pure function of its input.

Who wins, in short (``docs/spec/machine.md`` has the reasons and examples):

* A called state beats an active one, an active one beats an implied one. Between two called
  states the one that is removed by the other is dropped, and the mutation with it.
* ``add`` is followed to a fixpoint. Implied states take part in everything, but are optional.
* A state whose ``require`` is not met is dropped before it can block anything.
* What was implied only by dropped states is not set.

After any resolution no active state removes another and every requirement of an active one is met.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from asyncmachine._core.mutation import REMOVE, SET, Kind
from asyncmachine.schema import Schema, iter_bits

__all__ = ["Resolver", "Step", "Target", "mask_of"]


class Step(NamedTuple):
    """One decision of the resolver, for explanations and traces.

    ``kind`` is ``implied`` (by *other*), ``unmet`` (require of *other*), ``removed`` (by *other*) or
    ``unsupported`` (*other* is -1: whatever implied it was dropped).
    """

    kind: str
    state: int
    other: int


class Target(NamedTuple):
    """Outcome of a resolution.

    ``states`` are the target states in the order in which their handlers run; ``rejected`` are the
    called states that are not among them.
    """

    states: tuple[int, ...]
    rejected: tuple[int, ...]
    accepted: bool
    steps: tuple[Step, ...]


def mask_of(states: Iterable[int]) -> int:
    """Bit mask of these indexes."""
    mask = 0
    for i in states:
        mask |= 1 << i
    return mask


class Resolver:
    """Resolves mutations of one schema. Holds only tables derived from it."""

    def __init__(self, schema: Schema) -> None:
        index = schema.index
        every = list(schema.states.values())
        self.masks = schema.masks
        self.adds = [tuple(index[n] for n in s.add) for s in every]
        self.removers = [0] * len(every)  # transposed remove: who removes i
        for i, removed in enumerate(schema.masks.remove):
            for other in iter_bits(removed):
                self.removers[other] |= 1 << i
        self.afters = [tuple(index[n] for n in s.after) for s in every]
        self.requires = [tuple(index[n] for n in s.require) for s in every]

    def resolve(
        self,
        active: tuple[int, ...],
        called: tuple[int, ...],
        kind: Kind,
        *,
        auto: bool = False,
        banned: int = 0,
    ) -> Target:
        """Resolve one mutation.

        Args:
            active: active states, in their own order: it decides who wins among equals.
            called: states of the mutation, in the order of the call.
            auto: accept when at least one called state survives.
            banned: mask of states that may not become active (vetoed before in this transition).
        """
        steps: list[Step] = []
        surviving = called
        while True:
            states = self._resolve(active, surviving, kind, banned, steps)
            target = mask_of(states)
            rejected = () if kind == REMOVE else tuple(i for i in surviving if not target >> i & 1)
            if not rejected or not auto or len(rejected) == len(surviving):
                break
            # Accepted in part: what was rejected must leave no trace, so resolve without it.
            surviving = tuple(i for i in surviving if target >> i & 1)
        accepted = not rejected
        lost = () if kind == REMOVE else tuple(i for i in called if not target >> i & 1)
        return Target(states, lost, accepted, tuple(steps))

    def _resolve(
        self, active: tuple[int, ...], called: tuple[int, ...], kind: Kind, banned: int, steps: list[Step]
    ) -> tuple[int, ...]:
        called_mask = mask_of(called)
        if kind == SET:
            base = called
        elif kind == REMOVE:
            base = tuple(i for i in active if not called_mask >> i & 1)
            banned |= called_mask
        else:
            base = (*called, *(i for i in active if not called_mask >> i & 1))
        # An active state implies nothing any more, unless it is Multi and called again.
        quiet = mask_of(active) & ~(self.masks.multi & called_mask if kind != REMOVE else 0)
        strong = [i for i in base if not banned >> i & 1]
        listed = self._imply(strong, quiet, banned, steps)
        kept = self._block(self.prune(listed, steps), steps)
        kept = self._support(kept, mask_of(base), quiet, steps)
        return self.order(self._deep_first(kept, mask_of(base), quiet))

    def _imply(self, listed: list[int], quiet: int, banned: int, steps: list[Step]) -> list[int]:
        """Append everything implied, breadth first, to a fixpoint."""
        listed = listed.copy()
        seen = mask_of(listed) | banned
        for i in listed:  # grows while it is walked
            if not quiet >> i & 1:
                for other in self.adds[i]:
                    if not seen >> other & 1:
                        seen |= 1 << other
                        listed.append(other)
                        steps.append(Step("implied", other, i))
        return listed

    def prune(self, listed: list[int], steps: list[Step] | None = None) -> list[int]:
        """Drop, until nothing changes, the states whose requirements are not in the list."""
        require = self.masks.require
        while True:
            present = mask_of(listed)
            missing = [(i, require[i] & ~present) for i in listed if require[i] & ~present]
            if not missing:
                return listed
            for i, lacks in missing:
                if steps is not None:
                    steps.extend(Step("unmet", i, other) for other in iter_bits(lacks))
                present &= ~(1 << i)
            listed = [i for i in listed if present >> i & 1]

    def _block(self, listed: list[int], steps: list[Step]) -> list[int]:
        """Walk from the weakest (implied last) to the strongest (called first); drop the removed.

        A dropped state blocks nobody any more; whom it blocked before stays dropped.
        """
        alive = mask_of(listed)
        for i in reversed(listed):
            if blockers := self.removers[i] & alive:
                steps.append(Step("removed", i, next(iter_bits(blockers))))
                alive &= ~(1 << i)
        return [i for i in listed if alive >> i & 1]

    def _support(self, kept: list[int], base: int, quiet: int, steps: list[Step]) -> list[int]:
        """Drop what lost a requirement, and what was implied only by dropped states, until stable."""
        while True:
            kept = self.prune(kept, steps)
            present = mask_of(kept)
            supported = [i for i in kept if base >> i & 1]
            reached = mask_of(supported)
            for i in supported:  # grows while it is walked
                if not quiet >> i & 1:
                    for other in self.adds[i]:
                        if present >> other & 1 and not reached >> other & 1:
                            reached |= 1 << other
                            supported.append(other)
            if reached == present:
                return kept
            steps.extend(Step("unsupported", i, -1) for i in kept if not reached >> i & 1)
            kept = [i for i in kept if reached >> i & 1]

    def _deep_first(self, kept: list[int], base: int, quiet: int) -> list[int]:
        """Put what was implied by implied states in front, as the ancestor does."""
        shallow = [i for i in kept if base >> i & 1]
        near = mask_of(other for i in shallow if not quiet >> i & 1 for other in self.adds[i])
        shallow = [i for i in kept if (base | near) >> i & 1]
        if len(shallow) == len(kept):
            return kept
        return self._imply(shallow[::-1], quiet, ~mask_of(kept), [])[::-1]

    def order(self, states: list[int]) -> tuple[int, ...]:
        """Handler order: requirements first, stable; then ``after``, which wins where they contradict."""
        rank = self.masks.rank
        ordered = sorted(states, key=rank.__getitem__)
        if any(self.afters[i] for i in ordered):
            both = [(*self.afters[i], *self.requires[i]) for i in range(len(self.afters))]
            return tuple(
                _stable_topological(ordered, both) or _stable_topological(ordered, self.afters) or ordered
            )
        return tuple(ordered)


def _stable_topological(listed: list[int], edges: list[tuple[int, ...]]) -> list[int] | None:
    """Every state after its targets, else in list order. None when there is a cycle."""
    left, ordered = listed.copy(), list[int]()
    waiting = set(left)
    while left:
        for i in left:
            if waiting.isdisjoint(edges[i]):
                left.remove(i)
                waiting.remove(i)
                ordered.append(i)
                break
        else:
            return None
    return ordered
