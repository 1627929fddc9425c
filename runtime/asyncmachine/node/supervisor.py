"""The supervisor: keeps a pool of workers of one kind, and leases them to clients.

What to do is decided by :mod:`asyncmachine.node.pool` and :mod:`asyncmachine.node.leases`, which are pure.
Here every change of a worker or a lease leads, in the same step, to new decisions and to the states
that follow from them (``schemas/node/supervisor.yaml``); nothing polls.
"""

from __future__ import annotations

import logging
import os
import random
import secrets
import tempfile
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import anyio

from amstates.supervisor import SUPERVISOR_SCHEMA, ForkWorkerArgs
from amstates.supervisor import SupervisorStates as ss
from amstates.worker import WORKER_SCHEMA
from amstates.worker import WorkerStates as worker_ss
from asyncmachine.errors import LaunchError, NodeError, PoolBroken
from asyncmachine.machine import Machine
from asyncmachine.node.config import PoolConfig, WorkerSpec
from asyncmachine.node.desk import Desk
from asyncmachine.node.exits import ExitBook
from asyncmachine.node.launchers.base import Exit, Launcher
from asyncmachine.node.member import PoolMember
from asyncmachine.node.obituary import obituary, report_on
from asyncmachine.node.orders import WorkerOrders
from asyncmachine.node.pool import (
    Action,
    Derived,
    Drain,
    Escalate,
    Kill,
    Launch,
    PoolView,
    Recover,
    Stop,
    WorkerRecord,
    derive,
    next_deadline,
    plan,
)
from asyncmachine.node.restarts import Failure
from asyncmachine.rpc.acl import Acl
from asyncmachine.rpc.config import RpcConfig
from asyncmachine.rpc.server import Server
from asyncmachine.schema import Event, Schema

__all__ = ["Supervisor"]

_log = logging.getLogger("asyncmachine.supervisor")
_MAX_SESSIONS = 1024
_LAST_PATIENCE = 5.0  # seconds over the grace of a killed worker, to see it reaped


class Supervisor(WorkerOrders):
    """A pool. Use it as an async context manager; leaving the block stops the pool in good order.

    Args:
        launcher: starts worker processes.
        spec: of its workers; ``--id``, ``--kind``, ``--run-dir``, ``--drain`` and ``--heartbeat`` are
            appended to argv.
        host: loopback address of the public port. Clients are not authenticated in this release,
            so nothing else is accepted.
        port: 0 for any free one; see :attr:`address`.

    Raises (from ``async with``):
        LaunchError: a worker cannot be started at all.
        PoolBroken: workers die before they are ready.
        NodeError: *host* is not a loopback address.
        OSError: the port cannot be opened.

    Attributes:
        exits: how the last workers ended.
        started, lost: workers ever started, and died without having been asked to.
    """

    def __init__(
        self,
        launcher: Launcher,
        spec: WorkerSpec,
        *,
        config: PoolConfig | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        schema: Schema = WORKER_SCHEMA,
    ) -> None:
        if host not in ("127.0.0.1", "::1", "localhost"):
            raise NodeError(f"host is {host!r}: without authentication only a loopback address may be used")
        self.kind = spec.kind
        self.config = config or PoolConfig()
        self.started = self.lost = 0
        self.members: dict[str, PoolMember] = {}
        self.view = PoolView(cpus=os.cpu_count() or 1)
        self.machine = Machine(SUPERVISOR_SCHEMA, self, id=f"super-{secrets.token_hex(4)}")
        self.server = Server(
            self.machine,
            Acl.open("client"),
            kind=spec.kind,
            config=RpcConfig(interval=0.02),
            max_sessions=_MAX_SESSIONS,
            on_session=lambda _: self._event(ss.ClientConnected),
            on_session_end=self._client_left,
        )
        self.desk = Desk(self)
        self.exits = ExitBook()
        self._launcher = launcher
        self._spec = spec
        self.schema = schema
        self._host, self._port = host, port
        self._folder = tempfile.TemporaryDirectory(prefix="asyncmachine-")
        self._alarm: anyio.CancelScope | None = None
        self._failure: Exception | None = None
        self._reconciling = False
        self._looked = 0.0  # when reconcile() last decided
        self._empty = anyio.Event()
        self._empty.set()

    # -- life ----------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """``HOST:PORT`` for clients."""
        return f"{self._host}:{self._port}"

    async def __aenter__(self) -> Self:
        await self._launcher.__aenter__()
        await self.machine.__aenter__()
        try:
            self.machine.add(ss.Start)
            await self.machine.when_query(
                lambda t: t.is_active(ss.Ready) or t.is_active(ss.ErrPool) or not t.is_active(ss.Start)
            )
            if self._failure is not None:
                raise self._failure
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        await self._close()
        return None

    async def _close(self) -> None:
        """No worker is left behind, not even when the block was cancelled."""
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(self.config.grace + _LAST_PATIENCE):
                await self.stop(hurry=True)
            for member in self.members.values():
                _log.error("worker %s (pid %s) could not be ended in good order", member.id, member.pid)
                member.kill()
            self.machine.remove(ss.Start)
        self._folder.cleanup()
        try:
            await self.machine.__aexit__(None, None, None)
        finally:
            await self._launcher.__aexit__(None, None, None)

    async def stop(self, *, hurry: bool = False, moved_to: str = "") -> None:
        """Let clients finish, end all workers, and wait for that. No new leases from now on.

        Args:
            hurry: work in progress gets ``grace`` seconds instead of ``drain``.
            moved_to: ``HOST:PORT`` of another supervisor, for the clients to go on with.
        """
        if hurry:
            self.config = replace(self.config, drain=self.config.grace)
        self.machine.add(ss.Draining, moved_to=moved_to)
        if hurry:
            now = anyio.current_time()
            for member in self.members.values():
                self._order(Stop(member.id, "the pool ends"), now)
                member.stop()
        self.reconcile()
        await self._empty.wait()

    async def start_state(self, event: Event[Any]) -> None:
        """Open the public port and keep the time."""
        try:
            listener = await anyio.create_tcp_listener(local_host=self._host, local_port=self._port)
        except OSError as error:
            self._failure = OSError(error.errno, f"cannot listen at {self.address}: {error.strerror}")
            event.machine.remove(ss.Start)
            return
        self._port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with listener, anyio.create_task_group() as tasks:
            self.desk.tasks = tasks
            tasks.start_soon(self.server.serve, listener)
            tasks.start_soon(self.serve_admins, self._folder.name)
            event.machine.add([ss.LocalRpcReady, ss.PublicRpcReady])
            self.reconcile()
            await self._keep_time()

    async def _keep_time(self) -> None:
        while True:
            now = anyio.current_time()
            # Seen from the last decision: what fell due since then is still to be decided.
            due = [next_deadline(self.view, self.config, self._looked), self.desk.leases.next_deadline()]
            soonest = min((t for t in due if t is not None), default=float("inf"))
            with anyio.CancelScope(deadline=max(soonest, now + 0.01)) as self._alarm:
                await anyio.sleep_forever()
            self.reconcile()

    # -- deciding ------------------------------------------------------------------------------

    def reconcile(self) -> None:
        """Look at everything, do what is to be done, show what follows from it."""
        if self._reconciling:  # an action of ours changed something: the loop below sees it
            return
        self._reconciling = True
        try:
            now = self._looked = anyio.current_time()
            self._look(now)
            while actions := plan(self.view, self.config, now):
                for action in actions:
                    self._act(action, now)
            self.desk.serve(now)
            self._show(derive(self.view, self.config, now))
        finally:
            self._reconciling = False
        if not self.members:
            self._empty.set()
        if self._alarm is not None:
            self._alarm.cancel()

    def _set(self, record: WorkerRecord) -> None:
        self.view = self.view.having(record)

    def _look(self, now: float) -> None:
        """Take over into the records what the mirrors of the workers show."""
        for member in self.members.values():
            record = self.view.workers[member.id]
            mirror = member.mirror
            connected = mirror is not None and mirror.connected
            if mirror is not None and connected:
                stuck = mirror.is_active(worker_ss.Stalled)
                record = replace(record, seen=mirror.heard or now, jobs=member.jobs(), stuck=stuck)
                if member.new_errors():
                    record = record.failed(now, self.config)
                if self.config.max_rss is not None:  # asked only where it is wanted: it reads a file
                    record = replace(record, rss=member.memory())
            if not connected and record.phase not in ("spawning", "booting"):
                record = replace(
                    record, stalled=True
                )  # not offered; its process is about to end, or is made to
            elif record.phase not in ("stopping", "killed"):
                phase = member.phase()
                if phase == "idle" and self.desk.holds(member.id):
                    phase = "leased"  # granted, but the worker has not heard of it yet
                if record.phase == "draining":
                    phase = "draining"
                if phase != record.phase:
                    if phase == "idle" and record.phase in ("spawning", "booting"):
                        self._ready(member, now)
                    record = record.entered(phase, now)
            self._set(record)

    def _ready(self, member: PoolMember, now: float) -> None:
        launched = self.view.workers[member.id].launched
        self.view = replace(self.view, restarts=self.view.restarts.succeeded(launched))
        self._event(ss.WorkerReady)
        if not self.view.broken and self.machine.is_active(ss.ErrPool):  # a launch had failed
            self.machine.remove([ss.ErrPool, ss.Exception])

    def _act(self, action: Action, now: float) -> None:
        match action:
            case Launch(count):
                for _ in range(count):
                    self._launch(now)
                self.view = replace(self.view, restarts=self.view.restarts.launched(self.config, now))
            case Drain(worker, reason, patient):
                _log.info("worker %s drains: %s", worker, reason)
                self._order(action, now)
                self.members[worker].drain(patient=patient)
            case Stop(worker, reason):
                _log.info("worker %s stops: %s", worker, reason)
                self._order(action, now)
                self.members[worker].stop()
            case Kill(worker, reason):
                _log.warning("worker %s is killed: %s", worker, reason)
                self._order(action, now)
                self.members[worker].fault = self.members[worker].fault or reason
                self._event(ss.KillingWorker, worker=worker)
                self.members[worker].kill()
            case Escalate(reason):
                self.view = replace(self.view, broken=True)
                self._break(PoolBroken(reason), now)
            case Recover():
                self.view = replace(self.view, broken=False)
                self.machine.remove([ss.ErrPool, ss.Exception])

    def _break(self, error: Exception, now: float) -> None:
        self._failure = error
        _log.error("pool of %s: %s", self.kind, error)
        self.machine.add_error(error, ss.ErrPool)
        self.desk.deny_all(f"the pool is broken: {error}", now)

    def _show(self, derived: Derived) -> None:
        wanted = {
            ss.PoolReady: derived.pool_ready,
            ss.PoolWarm: derived.pool_warm,
            ss.WorkersAvailable: derived.workers_available,
        }
        machine = self.machine
        for state, active in wanted.items():
            if active != machine.is_active(state):
                (machine.add if active else machine.remove)(state)
        state = ss.PoolNormalized if derived.normalized else ss.NormalizingPool
        if machine.is_inactive(state):
            machine.add(state)

    def _event(self, state: str, **args: Any) -> None:
        """Events are states that are active for a moment: their ticks count them."""
        self.machine.add(state, **args)
        self.machine.remove(state)

    # -- workers -------------------------------------------------------------------------------

    def _launch(self, now: float) -> None:
        self.started += 1
        worker = f"w{self.started}"
        options = ("--id", worker, "--kind", self.kind)
        places = ("--run-dir", self._folder.name)
        config = self.config
        times = ["--drain", str(config.drain), "--heartbeat", str(config.heartbeat)]
        if config.stall_after is not None:
            times += ["--stall", str(config.stall_after)]
        spec = replace(
            self._spec.named(worker),
            argv=(*self._spec.argv, *options, *places, *times),
            digest=self.schema.digest,
            drain=self.config.drain,
        )
        self.members[worker] = PoolMember(
            spec, self._launcher, self.schema, self.config, lambda _: self.reconcile()
        )
        self._empty = anyio.Event()
        self._set(WorkerRecord(id=worker, phase="spawning", since=now, launched=now, seen=now))
        self._event(ss.ForkWorker, worker=worker)

    async def fork_worker_state(self, event: Event[ForkWorkerArgs]) -> None:
        """The whole life of one worker: this handler runs until its process is reaped."""
        member = self.members[event.data.worker]
        try:
            self._gone(member, await member.live(), None)
        except LaunchError as error:
            self._gone(member, None, error)
        except BaseException:
            # Cancelled: the process is gone all the same.
            self.members.pop(member.id, None)
            self.view = self.view.without(member.id)
            if not self.members:
                self._empty.set()
            raise

    def _gone(self, member: PoolMember, result: Exit | None, error: LaunchError | None) -> None:
        now = anyio.current_time()
        del self.members[member.id]
        record = self.view.workers[member.id]
        self.view = self.view.without(member.id)
        text = obituary(member, result, error)
        report = report_on(member, record, self.desk.leases.of_worker(member.id), result, text)
        self.exits.add(report)
        self.desk.worker_gone(report)
        if record.phase in ("stopping", "draining") or member.asked or self.view.draining:
            _log.info("%s", text, extra={"exit": report})
            self._event(ss.WorkerKilled, worker=member.id)
        else:
            self.lost += 1
            _log.warning("%s", text, extra={"exit": report})
            failure = Failure(
                launched=record.launched,
                booted=record.phase in ("idle", "leased", "busy"),
                workers=len(self.view.workers) + 1,
                jitter=random.random(),  # noqa: S311 - spreads restarts, not a secret
                text=text,
            )
            self.view = replace(self.view, restarts=self.view.restarts.failed(failure, self.config, now))
            self._event(ss.WorkerLost, worker=member.id, reason=text)
            self.machine.add_error(error or NodeError(text), ss.ErrWorker)
            if error is not None:
                self._break(error, now)
        self.reconcile()

    # -- clients -------------------------------------------------------------------------------

    def _client_left(self, session: Any) -> None:
        self._event(ss.ClientDisconnected)
        self.desk.client_gone(session.client_id)
