"""What only a machine in this process can tell: its queue, its reasons, a snapshot, a breakpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from asyncmachine._core.engine import Engine
from asyncmachine._core.explain import Explanation, explain
from asyncmachine._core.mutation import REMOVE, Mutation
from asyncmachine._core.relations import mask_of
from asyncmachine._core.snapshot import Snapshot, take
from asyncmachine.api import Tracer
from asyncmachine.views import View

__all__ = ["Breakpoint", "LocalView"]


class Breakpoint(Tracer):
    """Calls *hook* for each mutation that adds all of *added*, or removes all of *removed*; masks of states.

    That is where the mutation is made, before it is processed: the caller is on the stack.
    """

    def __init__(self, added: int, removed: int, hook: Callable[[], object]) -> None:
        self._added, self._removed, self._hook = added, removed, hook

    def mutation_queued(self, machine: Any, mutation: Mutation) -> None:
        """See the base."""
        wanted = self._removed if mutation.kind == REMOVE else self._added
        if wanted and wanted & mask_of(mutation.called) == wanted:
            self._hook()


class LocalView(View):
    """Reads and waits, and looks behind the clock."""

    def __init__(self, engine: Engine) -> None:
        View.__init__(self, engine)
        self._engine = engine

    @property
    def queue_tick(self) -> int:
        """Appended mutations processed so far, plus one."""
        return self._engine.queue.tick

    @property
    def queue_len(self) -> int:
        """Mutations waiting."""
        return len(self._engine.queue)

    @property
    def draining(self) -> bool:
        """Whether a transition is running: mutations made now are queued."""
        return self._engine.draining

    def explain(self, state: str) -> Explanation:
        """Why *state* is active, or is not: relations, vetoes, and what moved it last. See its ``str()``."""
        return explain(self._engine, self.schema.position(state))

    def snapshot(self) -> Snapshot:
        """The clock, to be kept and given to ``restore`` of a new machine."""
        return take(self._engine)

    def breakpoint(
        self,
        added: Sequence[str] = (),
        removed: Sequence[str] = (),
        hook: Callable[[], object] | None = None,
    ) -> Tracer:
        """Stop where somebody adds (or sets) all of *added*, or removes all of *removed*.

        Costs what a tracer costs, until ``untrace`` is called with what this returns.

        Args:
            hook: default: what ``breakpoint()`` calls, the debugger.

        Raises:
            UnknownState: a name that the schema does not have.
            ValueError: no state is given.
        """
        if not added and not removed:
            raise ValueError("a breakpoint needs states; give names in added or removed")
        stop = hook or breakpoint
        tracer = Breakpoint(self.schema.mask(added), self.schema.mask(removed), stop)
        self._engine.trace(tracer)
        return tracer
