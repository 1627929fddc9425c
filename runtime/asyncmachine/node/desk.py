"""Where clients of a supervisor are served: requests in, leases and answers out.

Every request is answered: granted, queued (another answer follows), busy or denied. The ticket that opens
a worker is registered with it before its client hears of it, and is never kept here.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskGroup

from amstates.supervisor import ListExitsArgs, ListWorkersArgs, ProvideWorkerArgs
from amstates.supervisor import SupervisorStates as ss
from amstates.worker import WorkerStates as worker_ss
from asyncmachine.errors import NodeError, RpcError
from asyncmachine.node.args import GRANTED, Answer, LostNotice, PoolStatus, WorkerStatus
from asyncmachine.node.exits import ExitReport
from asyncmachine.node.leases import Busy, Denied, Granted, Lease, LeaseTable, Queued, Request
from asyncmachine.node.pool import pick_idle
from asyncmachine.rpc.acl import ticket_digest
from asyncmachine.rpc.server import Session
from asyncmachine.schema import Event

if TYPE_CHECKING:
    from asyncmachine.node.supervisor import Supervisor

__all__ = ["Desk"]

_PATIENCE = 600.0  # seconds a request may wait at most; clients give up sooner
_REFUSAL = 2.0  # seconds a worker has to accept its client


class Desk:
    """The requests and leases of one supervisor."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._super = supervisor
        self.leases = LeaseTable(supervisor.config)
        self.tasks: TaskGroup | None = None  # set while the supervisor runs
        self._confirmed: set[int] = set()  # leases whose worker has taken its client

    # -- requests ------------------------------------------------------------------------------

    def asked(self, args: ProvideWorkerArgs, client: str, now: float) -> None:
        """A client asks for a worker."""
        pool = self._super
        if args.kind and args.kind != pool.kind:
            reason = f"this pool does {pool.kind!r}, not {args.kind!r}"
            self._answer(client, Answer(request=args.request, status="denied", reason=reason))
            return
        if args.digest != pool.schema.digest:
            reason = f"workers of this pool run schema {pool.schema.digest}, you expect {args.digest}"
            self._answer(client, Answer(request=args.request, status="denied", reason=reason))
            return
        if pool.view.broken:
            reason = f"the pool is broken: {pool.view.restarts.broken}"
            self._answer(client, Answer(request=args.request, status="denied", reason=reason))
            return
        request = Request(client=client, number=args.request, deadline=now + _PATIENCE)
        answer = self.leases.ask(request, now, self._picker(now), pool.view.draining)
        match answer:
            case Granted(lease):
                self._grant(lease, now)
            case Queued(position):
                self._answer(client, Answer(request=args.request, status="queued", position=position))
            case Busy(retry_after):
                self._answer(
                    client,
                    Answer(
                        request=args.request,
                        status="busy",
                        reason="too many requests are waiting",
                        retry_after=retry_after,
                    ),
                )
            case Denied(reason):
                self._answer(client, Answer(request=args.request, status="denied", reason=reason))
        self._count()

    def serve(self, now: float) -> None:
        """Grant what can be granted, end what has ended."""
        pool = self._super
        for lease in self.leases.leases:
            member = pool.members.get(lease.worker)
            mirror = member.mirror if member is not None else None
            if lease.id not in self._confirmed or mirror is None:
                continue
            if mirror.is_inactive(worker_ss.Provided):
                self._end(lease)
            elif lease.expires is not None and mirror.is_active(worker_ss.ClientConnected):
                self.leases.claimed(lease.id)
        late, unclaimed = self.leases.expire(now)
        for request in late:
            self._deny(request, "the request has waited too long")
        for lease in unclaimed:
            self._confirmed.discard(lease.id)
        for lease in self.leases.serve(now, self._picker(now)):
            self._grant(lease, now)
        self._count()

    def deny_all(self, reason: str, now: float) -> None:
        """Nobody will be served any more."""
        for request in self.leases.deny_all():
            self._deny(request, reason)
        self._count()

    def _count(self) -> None:
        pool = self._super
        if pool.view.waiting != self.leases.waiting:
            pool.view = replace(pool.view, waiting=self.leases.waiting)

    def _picker(self, now: float) -> Any:
        def pick(tried: Collection[str]) -> str | None:
            pool = self._super
            taken = {lease.worker for lease in self.leases.leases}
            record = pick_idle(pool.view, pool.config, now, taken.union(tried))
            return record.id if record is not None else None

        return pick

    # -- leases --------------------------------------------------------------------------------

    def holds(self, worker: str) -> bool:
        """Whether there is a lease on this worker."""
        return self.leases.of_worker(worker) is not None

    def _grant(self, lease: Lease, now: float) -> None:
        pool = self._super
        record = pool.view.workers[lease.worker]
        if record.phase == "idle":
            pool.view = pool.view.having(record.held_by(lease.client, lease.id, now))
        if self.tasks is not None:
            self.tasks.start_soon(self._introduce, lease)

    async def _introduce(self, lease: Lease) -> None:
        """Tell the worker of its client, then the client of its worker."""
        pool = self._super
        ticket = secrets.token_bytes(32)
        member = pool.members.get(lease.worker)
        accepted = False
        if member is not None and member.mirror is not None:
            try:
                with anyio.fail_after(_REFUSAL):
                    result = await member.mirror.add(
                        worker_ss.ServeClient,
                        lease=lease.id,
                        digest=ticket_digest(ticket),
                        client=lease.client,
                        ttl=pool.config.ticket_ttl,
                    )
                accepted = result.executed
            except (RpcError, TimeoutError):
                accepted = False
        if self.leases.lease(lease.id) is None:
            return  # the worker died meanwhile; worker_gone has told the client
        if accepted and member is not None and member.address is not None:
            self._confirmed.add(lease.id)
            granted = Answer(
                request=lease.request.number,
                status=GRANTED,
                lease=lease.id,
                worker=lease.worker,
                host=member.address.host,
                port=member.address.port,
                ticket=ticket,
            )
            if not self._answer(lease.client, granted):
                self.revoke(lease.id)
        else:
            outcome = self.leases.refused(lease.id)
            if isinstance(outcome, Denied):
                self._deny(lease.request, outcome.reason)
        pool.reconcile()

    def assign(self, worker: str, client: str, now: float) -> Lease:
        """Give this worker to the first request of this client.

        Raises:
            NodeError: the worker is not free, or the client does not wait for one.
        """
        pool = self._super
        record = pool.view.workers.get(worker)
        if record is None or record.phase != "idle" or not record.healthy(now, pool.config):
            state = "not there" if record is None else f"{record.phase}, or not heard of"
            raise NodeError(f"worker {worker} cannot be assigned to {client!r}: it is {state}")
        lease = self.leases.give(client, worker, now)
        if lease is None:
            raise NodeError(f"worker {worker} cannot be assigned: client {client!r} does not wait for one")
        self._grant(lease, now)
        self._count()
        return lease

    def withdraw(self, client: str, number: int) -> None:
        """A client does not want what it asked for with this request. Only its own ones can be meant."""
        if not self.leases.withdraw(client, number):
            for lease in self.leases.leases:
                if lease.request.key == (client, number):
                    self.revoke(lease.id)

    def revoke(self, lease_id: int) -> None:
        """End a lease from this side: its worker turns the client out."""
        lease = self.leases.lease(lease_id)
        if lease is None:
            return
        member = self._super.members.get(lease.worker)
        if member is not None and member.mirror is not None and member.mirror.connected:
            member.mirror.remove_nowait(worker_ss.Provided)
        else:
            self._end(lease)

    def _end(self, lease: Lease) -> None:
        self.leases.release(lease.id)
        self._confirmed.discard(lease.id)

    def worker_gone(self, report: ExitReport) -> None:
        """A worker has died: whoever holds it is told how."""
        worker = report.worker
        lease = self.leases.release_worker(worker)
        if lease is None:
            return
        confirmed = lease.id in self._confirmed
        self._confirmed.discard(lease.id)
        if confirmed:
            notice = LostNotice(worker=worker, lease=lease.id, reason=report.detail, report=report.encode())
            self._send(lease.client, ss.WorkerLost, notice.encode())
        else:
            # Its client has not heard of it yet: the request goes on to the next worker.
            request = replace(lease.request, tried=(*lease.request.tried, worker))
            now = anyio.current_time()
            match self.leases.ask(request, now, self._picker(now), self._super.view.draining):
                case Granted(other):
                    self._grant(other, now)
                case Denied(text):
                    self._deny(request, text)
                case _:
                    pass

    def client_gone(self, client: str) -> None:
        """A client has left: its requests are dropped, its leases end when its workers say so."""
        if not any(session.client_id == client for session in self._super.server.sessions):
            self.leases.forget_client(client)
            self._count()

    # -- answers -------------------------------------------------------------------------------

    def _session(self, client: str) -> Session | None:
        for session in self._super.sessions:
            if session.client_id == client:
                return session
        return None

    def _send(self, client: str, name: str, data: bytes) -> bool:
        session = self._session(client)
        if session is None:
            return False
        session.send_payload_nowait(name, data)
        return True

    def _answer(self, client: str, answer: Answer) -> bool:
        return self._send(client, ss.ProvideWorker, answer.encode())

    def _deny(self, request: Request, reason: str) -> None:
        self._answer(request.client, Answer(request=request.number, status="denied", reason=reason))

    def list_exits(self, event: Event[ListExitsArgs], client: str) -> None:
        """Send *client* how the last workers ended."""
        data = self._super.exits.answer(event.data.request, event.data.worker, client)
        self._send(client, ss.ListExits, data)

    def list_workers(self, event: Event[ListWorkersArgs], client: str) -> None:
        """Send the status of the pool to *client*."""
        pool = self._super
        now = anyio.current_time()
        rows: list[WorkerStatus] = []
        for record in pool.view.workers.values():
            member = pool.members.get(record.id)
            if member is None:
                continue
            lease = self.leases.of_worker(record.id)
            rows.append(
                WorkerStatus(
                    worker=record.id,
                    phase=record.phase,
                    pid=member.pid,
                    age=now - record.launched,
                    jobs=member.jobs(),
                    client=lease.client if lease is not None else "",
                    states=member.mirror.active_states() if member.mirror is not None else (),
                    rss=member.memory(),
                )
            )
        status = PoolStatus(
            request=event.data.request,
            kind=pool.kind,
            states=pool.machine.active_states(),
            clients=tuple(session.client_id for session in pool.server.sessions),
            started=pool.started,
            lost=pool.lost,
            waiting=self.leases.waiting,
            config={spec.name: getattr(pool.config, spec.name) for spec in fields(pool.config)},
            admin=pool.admin_path,
            workers=tuple(rows),
        )
        self._send(client, ss.ListWorkers, status.encode())
