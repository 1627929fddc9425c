"""Conditions on the active states of a machine. Part of the ABI, public through ``asyncmachine.schema``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

__all__ = ["Invariant", "InvariantKind"]

InvariantKind: TypeAlias = Literal["never", "implies"]


@dataclass(frozen=True, slots=True)
class Invariant:
    """What must be true of every configuration in which a machine comes to rest. An immutable value.

    ``Invariant("never", ("A", "B"))``: A and B are never active together.
    ``Invariant("implies", ("A",), ("B", "C"))``: while A is active, B and C are too.

    At rest means that auto states have settled: between a mutation and the auto transition that
    follows it, an invariant may be broken.

    Attributes:
        kind: ``never`` or ``implies``.
        when: the states that are looked at, at least one; all of them count together.
        then: the states that ``implies`` asks for; empty for ``never``.
        doc: why, or "".
        when_mask, then_mask: the same states as bit masks over the indexes of a schema. Filled in by
            ``Schema``; zero in an invariant that does not belong to one yet.
    """

    kind: InvariantKind
    when: tuple[str, ...]
    then: tuple[str, ...] = ()
    doc: str = ""
    when_mask: int = 0
    then_mask: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("never", "implies"):
            raise ValueError(f"an invariant is of kind 'never' or 'implies', not {self.kind!r}")
        if not self.when:
            raise ValueError(f"an invariant of kind {self.kind!r} needs a state to look at")
        if bool(self.then) != (self.kind == "implies"):
            raise ValueError("`implies` needs a state that follows, `never` has none")

    def __str__(self) -> str:
        if self.kind == "never":
            return f"never: [{', '.join(self.when)}]"
        return f"implies: {{if: [{', '.join(self.when)}], then: [{', '.join(self.then)}]}}"

    @property
    def states(self) -> tuple[str, ...]:
        """All states it names, in the order of their mention."""
        return (*self.when, *self.then)

    def holds(self, active: int) -> bool:
        """Whether it is true when the states in the bit mask *active* are active, and no others.

        Raises:
            ValueError: the invariant does not belong to a schema; take it from ``Schema.invariants``.
        """
        if not self.when_mask:
            raise ValueError(f"invariant `{self}` belongs to no schema; take it from Schema.invariants")
        if active & self.when_mask != self.when_mask:
            return True
        return self.kind == "implies" and active & self.then_mask == self.then_mask

    def bound(self, mask: Callable[[Iterable[str]], int]) -> Invariant:
        """The same for one schema; *mask* gives the bit mask of states by their names."""
        return replace(self, when_mask=mask(self.when), then_mask=mask(self.then))
