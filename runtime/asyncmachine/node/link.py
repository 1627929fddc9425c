"""The direct connection of a client to one leased worker."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
from anyio.abc import TaskStatus

from amstates.worker import WORKER_SCHEMA
from amstates.worker import WorkerStates as ss
from asyncmachine.errors import ArgsError, NotConnected
from asyncmachine.node.args import Answer, WorkResult
from asyncmachine.node.dispatch import Job
from asyncmachine.rpc.client import Client, tcp
from asyncmachine.rpc.config import Limits, RpcConfig

__all__ = ["MAX_INPUT", "WorkerLink"]

MAX_INPUT = Limits().args - 256
"""Bytes of an encoded input that one mutation can carry, next to its id and deadline."""


class WorkerLink:
    """The direct connection to one leased worker."""

    def __init__(
        self, answer: Answer, client_id: str, kind: str, on_result: Callable[[WorkerLink, WorkResult], None]
    ):
        self.worker = answer.worker
        self.lease = answer.lease
        self._on_result = on_result
        self._rpc = Client(
            tcp(answer.host, answer.port),
            WORKER_SCHEMA,
            client_id=client_id,
            ticket=answer.ticket,
            kind=kind,
            on_payload=self._payload,
            reconnect=False,
            config=RpcConfig(heartbeat=2.0),
        )

    def _payload(self, payload: Any) -> bool:
        try:
            self._on_result(self, WorkResult.decode(payload.data))
        except ArgsError:
            return False
        return True

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Connect, report started when the mirror is there, return when the session has ended.

        Raises:
            RpcError: the worker could not be reached or refused.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._rpc.run)
            await self._rpc.ready()
            task_status.started()
            await self._rpc.machine.when_disposed()

    def send(self, job: Job, deadline: float | None) -> bool:
        """Delegate a job. Its answer comes through ``on_result``. False: no session, nothing was sent."""
        try:
            self._rpc.machine.add_nowait(ss.WorkRequested, id=job.index, input=job.data, deadline=deadline)
        except NotConnected:
            return False
        return True

    def cancel(self, job: Job) -> None:
        """Tell the worker that nobody wants this any more."""
        with suppress(NotConnected):
            self._rpc.machine.add_nowait(ss.WorkCancel, id=job.index)

    @property
    def dismissed(self) -> bool:
        """The worker took its leave: what it has not answered it never began."""
        return self._rpc.dismissed

    def release(self) -> None:
        """Give the worker back."""
        self._rpc.stop()
