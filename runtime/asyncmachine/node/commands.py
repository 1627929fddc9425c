"""What clients and administrators ask of a supervisor, state by state.

Clients come in by the public port. Administrators come in by a Unix socket in a folder that only the
supervisor's user can enter; the operating system says who they are. Both see the same machine; what
each may do is said in ``schemas/node/supervisor.yaml``.
"""

from __future__ import annotations

import logging
import os
from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio

from amstates.supervisor import (
    DrainingArgs,
    KillWorkerArgs,
    ListWorkersArgs,
    ProvideWorkerArgs,
    ReleaseWorkerArgs,
    SetPoolArgs,
    SupervisorHandlers,
    WorkerIssuesArgs,
)
from amstates.supervisor import SupervisorStates as ss
from amstates.worker import WorkerStates as worker_ss
from asyncmachine.machine import Machine
from asyncmachine.node.config import PoolConfig
from asyncmachine.node.desk import Desk
from asyncmachine.node.exits import ExitReason
from asyncmachine.node.member import PoolMember
from asyncmachine.node.pool import PoolView, retired
from asyncmachine.rpc.acl import Acl
from asyncmachine.rpc.protocol.messages import Code
from asyncmachine.rpc.server import Server, Session
from asyncmachine.schema import Event

__all__ = ["Commands", "client_of"]

_log = logging.getLogger("asyncmachine.supervisor")
_MAX_ADMINS = 16


class Commands(SupervisorHandlers):
    """The part of :class:`~asyncmachine.node.supervisor.Supervisor` that others can ask for.

    Attributes:
        moved_to: the supervisor that clients are sent to when this one drains, or "".
        admin_path: of the socket for administrators, once it is open.
    """

    machine: Machine
    server: Server
    view: PoolView
    config: PoolConfig
    members: dict[str, PoolMember]
    desk: Desk
    kind: str
    moved_to: str = ""
    admin_path: str = ""
    _admin: Server | None = None

    @abstractmethod
    def reconcile(self) -> None:
        """Look at everything, do what is to be done, show what follows from it."""

    @property
    def sessions(self) -> tuple[Session, ...]:
        """With administrators and with clients."""
        return (*(self._admin.sessions if self._admin is not None else ()), *self.server.sessions)

    async def serve_admins(self, folder: str) -> None:
        """Let administrators in, by a socket in *folder*, until cancelled."""
        self.admin_path = str(Path(folder) / "admin.sock")
        acl = Acl.peercred(dict.fromkeys({os.getuid(), 0}, "admin"))
        self._admin = Server(self.machine, acl, kind=self.kind, max_sessions=_MAX_ADMINS)
        async with await anyio.create_unix_listener(self.admin_path, mode=0o600) as listener:
            await self._admin.serve(listener)

    # -- clients -------------------------------------------------------------------------------

    def provide_worker_state(self, event: Event[ProvideWorkerArgs]) -> None:
        """A client asks for a worker: it is always answered, see :class:`Desk`."""
        event.machine.remove(ss.ProvideWorker)
        self.desk.asked(event.data, client_of(event), anyio.current_time())
        self.reconcile()

    def release_worker_state(self, event: Event[ReleaseWorkerArgs]) -> None:
        """A client does not want its worker any more, or never came to want it."""
        event.machine.remove(ss.ReleaseWorker)
        self.desk.withdraw(client_of(event), event.data.request)
        self.reconcile()

    def worker_issues_state(self, event: Event[WorkerIssuesArgs]) -> None:
        """A client complains about its own worker: that counts as an error of it."""
        event.machine.remove(ss.WorkerIssues)
        lease = self.desk.leases.lease(event.data.lease)
        if lease is None or lease.client != client_of(event) or lease.worker not in self.view.workers:
            return
        _log.warning(
            "client %s complains about worker %s: %.500r", lease.client, lease.worker, event.data.text
        )
        record = self.view.workers[lease.worker].failed(anyio.current_time(), self.config)
        self.view = self.view.having(record)
        self.reconcile()

    def list_workers_state(self, event: Event[ListWorkersArgs]) -> None:
        """Somebody wants to see the pool."""
        event.machine.remove(ss.ListWorkers)
        self.desk.list_workers(event, client_of(event))

    # -- administrators ------------------------------------------------------------------------

    def set_pool_enter(self, event: Event[SetPoolArgs]) -> bool:
        """Refuse sizes that no pool can have."""
        try:
            self._resized(event.data)
        except ValueError as error:
            _log.warning("sizes are refused: %s", error)
            return False
        return True

    def set_pool_state(self, event: Event[SetPoolArgs]) -> None:
        """Take other sizes: workers over ``max`` end when they are idle."""
        event.machine.remove(ss.SetPool)
        self.config = self._resized(event.data)
        _log.info("sizes are now: min %d, max %d, warm %d", *_sizes(self.config))
        self.reconcile()

    def _resized(self, sizes: SetPoolArgs) -> PoolConfig:
        return self.config.resized(min=sizes.min, max=sizes.max, warm=sizes.warm)

    def kill_worker_enter(self, event: Event[KillWorkerArgs]) -> bool:
        """Refuse to kill what is not there."""
        return event.data.worker in self.members

    def kill_worker_state(self, event: Event[KillWorkerArgs]) -> None:
        """End a worker at once. That is no fault of its own, and another one comes as needed."""
        event.machine.remove(ss.KillWorker)
        member = self.members.get(event.data.worker)
        if member is not None:
            self.kill_on_demand(member)

    def kill_on_demand(self, member: PoolMember) -> None:
        """End it; see :meth:`kill_worker_state`."""
        _log.warning("worker %s is killed on demand", member.id)
        member.fault = member.fault or "killed on demand"
        member.asked = True
        member.orders.killed = member.orders.killed or ExitReason.KILLED_BY_SUPERVISOR
        record = self.view.workers[member.id].entered("killed", anyio.current_time())
        self.view = self.view.having(record)
        member.kill()
        self.reconcile()

    def draining_state(self, event: Event[DrainingArgs]) -> None:
        """No new leases; idle workers end now, the others when their work is done.

        With ``moved_to``, clients are sent there, and ask there for what they have not got here.
        """
        now = anyio.current_time()
        self.view = replace(self.view, draining=True)
        self.moved_to = event.args.get("moved_to", "")
        if self.moved_to:
            _log.info("draining; clients are sent to %s", self.moved_to)
            self.desk.leases.deny_all()  # they ask again there
            for session in self.server.sessions:
                session.close(Code.MOVED, self.moved_to)
        self.desk.deny_all("the pool is draining", now)
        self.reconcile()

    def reload_state(self, event: Event[Any]) -> None:
        """Replace all workers, one by one, those that are held last; see ``pool.retired``."""
        event.machine.remove(ss.Reload)
        _log.info("all workers are replaced")
        self.view = retired(self.view, "reload")
        self.reconcile()

    def log_rotate_state(self, event: Event[Any]) -> None:
        """Begin a new file for the output of each worker, and tell workers to do so with theirs."""
        event.machine.remove(ss.LogRotate)
        for member in self.members.values():
            if member.handle is not None:
                member.handle.rotate()
            if member.mirror is not None and member.mirror.connected:
                member.mirror.add_nowait(worker_ss.LogRotate)

    def healthcheck_state(self, event: Event[Any]) -> None:
        """That this runs is the answer: the loop is alive."""
        event.machine.remove(ss.Healthcheck)

    # -- errors --------------------------------------------------------------------------------

    def exception_state(self, event: Event[Any]) -> None:
        """Errors of workers and of the pool are logged where they are found, in whole sentences."""

    def err_worker_state(self, event: Event[Any]) -> None:
        """A worker's fault is over as soon as it is noted; whether the pool suffers, ErrPool says."""
        broken = event.machine.is_active(ss.ErrPool)
        event.machine.remove([ss.ErrWorker] if broken else [ss.ErrWorker, ss.Exception])


def client_of(event: Event[Any]) -> str:
    """The client that made the mutation: the server puts the id of its session there, nobody else can."""
    return event.source.machine if event.source is not None else ""


def _sizes(config: PoolConfig) -> tuple[int, int, int]:
    return config.min, config.max, config.warm
