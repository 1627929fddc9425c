"""Orders about single workers of a pool, each for the picture that it was decided on."""

from __future__ import annotations

import anyio

from amstates.supervisor import ListExitsArgs
from amstates.supervisor import SupervisorStates as ss
from asyncmachine.errors import NodeError
from asyncmachine.node.commands import Commands, client_of
from asyncmachine.node.exits import ExitBook, check_clock, ordered
from asyncmachine.node.pool import Drain, Kill, Stop, applied
from asyncmachine.schema import Event

__all__ = ["WorkerOrders"]


class WorkerOrders(Commands):
    """The part of a supervisor that does to a worker what was decided by looking at it."""

    exits: ExitBook

    def _order(self, action: Drain | Stop | Kill, now: float) -> None:
        record = self.view.workers[action.worker]
        ordered(self.members[action.worker].orders, action, record, self.view.draining)
        self.view = applied(self.view, [action], now)

    def list_exits_state(self, event: Event[ListExitsArgs]) -> None:
        """Somebody wants to know how workers ended."""
        event.machine.remove(ss.ListExits)
        self.desk.list_exits(event, client_of(event))

    def clock(self, worker: str) -> int:
        """Sum of the ticks of a worker, as its mirror shows them now. It only grows.

        Raises:
            NodeError: there is no such worker.
        """
        if worker not in self.members:
            raise NodeError(f"there is no worker {worker!r}; there are {', '.join(self.members) or 'none'}")
        return sum(self.members[worker].clock().values())

    def kill(self, worker: str, *, if_clock: int | None = None) -> None:
        """End a worker for certain; it is replaced.

        Args:
            if_clock: only if it has not moved since :meth:`clock` said so.

        Raises:
            NodeError: there is no such worker.
            StaleDecision: it has moved; it lives on.
        """
        check_clock(worker, self.clock(worker), if_clock)
        self.kill_on_demand(self.members[worker])

    def assign(self, worker: str, client: str, *, if_clock: int | None = None) -> int:
        """Lease this worker to a client that waits for one, before its turn. Returns the id of the lease.

        Args:
            if_clock: as of :meth:`kill`.

        Raises:
            NodeError: the worker is not idle, or the client does not wait.
            StaleDecision: the worker has moved; nothing was leased.
        """
        check_clock(worker, self.clock(worker), if_clock)
        lease = self.desk.assign(worker, client, anyio.current_time())
        self.reconcile()
        return lease.id
