"""Invariants of a schema, asserted while a machine runs: for tests and for debugging.

::

    machine = Machine(SCHEMA)
    machine.trace(InvariantGuard())

``am-gen verify`` looks for ways to break an invariant by mutations alone. The guard sees what handlers
do as well, and what a wrong assumption of its author leads to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeAlias

from asyncmachine.api import Tracer
from asyncmachine.errors import InvariantBroken
from asyncmachine.schema import Invariant

__all__ = ["InvariantGuard", "OnBroken"]

_log = logging.getLogger("asyncmachine.guard")

OnBroken: TypeAlias = Callable[[Any, InvariantBroken], object]


def _report(machine: Any, error: InvariantBroken) -> None:
    """Log it, and add it to the machine as an error, as that of a handler would be."""
    _log.error("%s: %s", machine.id, error)
    machine.add_error(error)


class InvariantGuard(Tracer):
    """Looks at the invariants of a machine whenever it comes to rest, and tells of each that breaks.

    At rest means between a transition, its auto transition included, and the next one. An invariant
    is told of when it breaks, and again only after it has held in between.

    Args:
        on_broken: called with the machine and the error; it may mutate, but must not block. By
            default the error is logged and added to the machine, which activates ``Exception``.

    Attributes:
        broken: invariants that do not hold now.
    """

    def __init__(self, on_broken: OnBroken = _report) -> None:
        self.broken: tuple[Invariant, ...] = ()
        self._on_broken = on_broken
        self._last = "the machine's beginning"

    def machine_init(self, machine: Any) -> None:
        """Look at where the machine stands when the guard comes."""
        self._look(machine, machine.active_states())

    def transition_start(self, machine: Any, transition: Any) -> None:
        """What a mutation begins from is at rest, unless the mutation is the auto transition."""
        if not transition.mutation.auto:
            self._look(machine, transition.before)

    def transition_end(self, machine: Any, transition: Any) -> None:
        """Remember what may be to blame."""
        if transition.accepted:
            self._last = repr(transition)

    def queue_end(self, machine: Any) -> None:
        """Nothing more is to come."""
        self._look(machine, machine.active_states())

    def _look(self, machine: Any, active: tuple[str, ...]) -> None:
        mask = machine.schema.mask(active)
        before = self.broken
        self.broken = tuple(i for i in machine.schema.invariants if not i.holds(mask))
        for invariant in self.broken:
            if invariant not in before:
                self._on_broken(machine, InvariantBroken(invariant, active, self._last))
