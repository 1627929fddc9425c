"""A worker: one process that performs work for one client at a time.

It reports to its supervisor through a short bootstrap session, then is seen by it through a private
endpoint, and by its client through a public one. All that it does is visible as states of its
machine (``schemas/node/worker.yaml``), which both of them mirror.

To write a worker of your own, derive from :class:`Worker` and bind ``work_requested_state``; to run
functions, use :class:`~asyncmachine.node.function_worker.FunctionWorker`.
"""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import anyio

from amstates.worker import (
    WORKER_SCHEMA,
    ClientSendPayloadArgs,
    ServeClientArgs,
    WorkerHandlers,
)
from amstates.worker import WorkerStates as ss
from asyncmachine.errors import NodeError
from asyncmachine.machine import Machine
from asyncmachine.node.bootstrap import WorkerAddress, report_address
from asyncmachine.rpc.acl import Acl, TicketBook
from asyncmachine.rpc.config import Limits, RpcConfig
from asyncmachine.rpc.protocol.messages import Code
from asyncmachine.rpc.server import Server, Session
from asyncmachine.schema import Event, Schema

__all__ = ["CLIENT_LIMITS", "LOOPBACK", "RESULT", "Worker", "WorkerSettings"]

LOOPBACK = ("127.0.0.1", "::1", "localhost")

CLIENT_LIMITS = Limits(
    preauth_connections=4, preauth_waiting=16, request_rate=100_000.0, request_burst=200_000.0
)
"""Of the one client of a worker: small jobs come by the thousand."""

RESULT = "result"
"""Name of the payloads that carry results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What a worker is told at its start.

    Attributes:
        worker: its id, given by the supervisor.
        kind: the kind of work it does; supervisor and client must ask for the same.
        run_dir: a folder that only this user can enter; the private endpoint is a socket in it.
        host: address of the public endpoint; must be a loopback address, since tickets travel in
            the clear.
        drain: seconds that work in progress gets when the worker has to go.
        heartbeat: seconds of silence after which the supervisor hears a sign of life.
    """

    worker: str
    kind: str
    run_dir: str
    host: str = "127.0.0.1"
    drain: float = 30.0
    heartbeat: float = 2.0


class Worker(WorkerHandlers):
    """The life of a worker; what it does with ``WorkRequested`` is up to subclasses.

    Args:
        schema: of a machine that extends the built-in Worker.
    """

    def __init__(self, settings: WorkerSettings, schema: Schema = WORKER_SCHEMA) -> None:
        if settings.host not in LOOPBACK:
            raise NodeError(f"host is {settings.host!r}: tickets travel in the clear, use one of {LOOPBACK}")
        self.settings = settings
        self.machine = Machine(schema, self, id=settings.worker)
        self.tickets = TicketBook()
        self._ttl = 0.0
        # The supervisor leases on what it sees here, so it must see it at once.
        self._private = Server(
            self.machine,
            Acl.open("supervisor"),
            kind=settings.kind,
            config=RpcConfig(heartbeat=settings.heartbeat, limits=Limits(request_rate=inf)),
            on_session=lambda _: self._show(ss.SuperConnected, True),
            on_session_end=lambda _: self._show(ss.SuperConnected, False),
        )
        self._public = Server(
            self.machine,
            Acl.tickets("client", self.tickets),
            kind=settings.kind,
            config=RpcConfig(heartbeat=2.0, limits=CLIENT_LIMITS),
            on_session=lambda _: self._show(ss.ClientConnected, True),
            on_session_end=lambda _: self._show(ss.ClientConnected, False),
        )

    def _show(self, state: str, active: bool) -> None:
        (self.machine.add if active else self.machine.remove)(state)

    async def run(self, boot: Any) -> None:
        """Live until Start ends. *boot* is the stream to the supervisor's bootstrap machine."""
        async with self.machine:
            self.machine.add(ss.Start, boot=boot)
            await self.machine.when_not(ss.Start)

    @property
    def client(self) -> Session | None:
        """The session with the client, if one is connected."""
        sessions = self._public.sessions
        return sessions[0] if sessions else None

    def orphaned(self) -> None:
        """The supervisor is gone: finish what is in progress, take nothing new, end."""
        self.machine.add(ss.Draining)

    # -- endpoints -----------------------------------------------------------------------------

    async def start_state(self, event: Event[Any]) -> None:
        """Open both endpoints and tell the supervisor where they are."""
        path = str(Path(self.settings.run_dir) / f"{self.settings.worker}.sock")
        async with AsyncExitStack() as stack:
            # One by one: a cancellation between the two must not leave the first one open.
            private = await anyio.create_unix_listener(path, mode=0o600)
            await stack.enter_async_context(private)
            public = await anyio.create_tcp_listener(local_host=self.settings.host, backlog=16)
            await stack.enter_async_context(public)
            port = public.extra(anyio.abc.SocketAttribute.local_port)
            tasks = await stack.enter_async_context(anyio.create_task_group())
            tasks.start_soon(self._private.serve, private)
            tasks.start_soon(self._public.serve, public)
            self.machine.add([ss.LocalRpcReady, ss.PublicRpcReady])
            await report_address(
                event.args["boot"],
                WorkerAddress(
                    worker=self.settings.worker,
                    kind=self.settings.kind,
                    digest=self.machine.schema.digest,
                    pid=os.getpid(),
                    private=path,
                    host=self.settings.host,
                    port=port,
                ),
            )

    # -- the lease -----------------------------------------------------------------------------

    def serve_client_enter(self, event: Event[ServeClientArgs]) -> bool:
        """One client at a time: only an idle worker that is not about to go takes one."""
        return event.machine.is_active(ss.Idle) and not event.machine.is_active(ss.Draining)

    def serve_client_state(self, event: Event[ServeClientArgs]) -> None:
        """Let the holder of the ticket in."""
        data = event.data
        now = anyio.current_time()
        self.tickets.register(data.digest, data.client, now + data.ttl, now=now)
        self._ttl = data.ttl
        event.machine.remove(ss.ServeClient)
        event.machine.add(ss.Provided)

    async def provided_state(self, event: Event[Any]) -> None:
        """Go back to the pool when the client does not come in time."""
        with anyio.move_on_after(self._ttl):
            await event.machine.when(ss.ClientConnected)
            return
        event.machine.remove(ss.Provided)

    def provided_end(self, event: Event[Any]) -> None:
        """The lease is over: nobody may come in with its ticket, and who is in must go."""
        self.tickets.clear()
        code = Code.LEASE if event.machine.is_active(ss.Working) else Code.OK
        for session in self._public.sessions:
            session.close(code, "the lease is over")

    def client_connected_end(self, event: Event[Any]) -> None:
        """A client that is gone does not come back: its lease ends."""
        event.machine.remove(ss.Provided)

    # -- payloads, maintenance -----------------------------------------------------------------

    def client_send_payload_state(self, event: Event[ClientSendPayloadArgs]) -> None:
        """Send a payload to the client."""
        event.machine.remove(ss.ClientSendPayload)
        if self.client is not None:
            self.client.send_payload_nowait(event.data.name, event.data.data)

    def healthcheck_state(self, event: Event[Any]) -> None:
        """That this runs is the answer: the loop of the machine is alive."""
        event.machine.remove(ss.Healthcheck)

    def log_rotate_state(self, event: Event[Any]) -> None:
        """The supervisor has the output; who writes files of its own begins new ones here."""
        event.machine.remove(ss.LogRotate)

    async def draining_state(self, event: Event[Any]) -> None:
        """Finish the work in progress, at most ``drain`` seconds unless it is ``patient``, then end."""
        with anyio.move_on_after(None if event.args.get("patient") else self.settings.drain):
            await event.machine.when_not(ss.Working)
        # To take its leave, for a worker, means that nothing it began is unanswered.
        code = Code.TIMEOUT if event.machine.is_active(ss.Working) else Code.OK
        for session in (*self._public.sessions, *self._private.sessions):
            session.close(code, "the worker is done" if code == Code.OK else "the worker must go")
            with anyio.move_on_after(1):  # a peer that does not read cannot hold us
                await session.flushed()
        event.machine.remove(ss.Start)
