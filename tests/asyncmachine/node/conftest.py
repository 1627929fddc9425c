"""A worker that lives in this process, and the two who talk to it."""

from __future__ import annotations

import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import TaskStatus

from amstates.worker import WORKER_SCHEMA
from asyncmachine.node.args import Answer, WorkResult, encode_value
from asyncmachine.node.bootstrap import WorkerAddress, receive_address
from asyncmachine.node.dispatch import Job
from asyncmachine.node.function_worker import FunctionWorker
from asyncmachine.node.link import WorkerLink
from asyncmachine.node.worker import WorkerSettings
from asyncmachine.rpc.acl import ticket_digest
from asyncmachine.rpc.client import Client, unix

KIND = "test"


class Living:
    """A worker, its address, and the mirror of its supervisor."""

    def __init__(self, worker: FunctionWorker, address: WorkerAddress, mirror: Any) -> None:
        self.worker = worker
        self.address = address
        self.mirror = mirror
        self.ended = anyio.Event()

    async def lease(self, client: str = "me", ttl: float = 5.0) -> Answer | None:
        """What a supervisor does to grant a lease; None: the worker does not take it."""
        ticket = secrets.token_bytes(32)
        digest = ticket_digest(ticket)
        result = await self.mirror.add("ServeClient", lease=1, digest=digest, client=client, ttl=ttl)
        if not result.executed:
            return None
        host, port = self.address.host, self.address.port
        return Answer(request=1, status="granted", worker="w1", lease=1, host=host, port=port, ticket=ticket)

    @asynccontextmanager
    async def linked(self) -> AsyncIterator[Talk]:
        answer = await self.lease()
        assert answer is not None
        async with anyio.create_task_group() as tasks:
            talk = Talk(answer)
            await tasks.start(talk.run)
            yield talk
            talk.link.release()


class Talk:
    """A link with the results that came over it."""

    def __init__(self, answer: Answer) -> None:
        self.results: list[WorkResult] = []
        self.ended = anyio.Event()
        self._news = anyio.Event()
        self.link = WorkerLink(answer, "me", KIND, self._on_result)

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        await self.link.run(task_status=task_status)
        self.ended.set()

    def _on_result(self, link: WorkerLink, result: WorkResult) -> None:
        self.results.append(result)
        self._news.set()
        self._news = anyio.Event()

    def send(self, index: int, value: object, deadline: float | None = None) -> bool:
        return self.link.send(Job(index, encode_value(value)), deadline)

    async def wait_for(self, count: int) -> list[WorkResult]:
        while len(self.results) < count:
            await self._news.wait()
        return self.results


@asynccontextmanager
async def living(function: Callable[[Any], Any], folder: str, drain: float = 5.0) -> AsyncIterator[Living]:
    here, there = socket.socketpair()
    here.setblocking(False)
    there.setblocking(False)
    worker = FunctionWorker(WorkerSettings(worker="w1", kind=KIND, run_dir=folder, drain=drain), function)
    found: list[Living] = []

    async def live() -> None:
        await worker.run(there)
        found[0].ended.set()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(live)
            address = await receive_address(here)
            client = Client(unix(address.private), WORKER_SCHEMA, client_id="super", reconnect=False)
            tasks.start_soon(client.run)
            mirror = await client.ready()
            await mirror.when("SuperConnected", "Idle")
            found.append(Living(worker, address, mirror))
            yield found[0]
            worker.machine.remove("Start")
            await found[0].ended.wait()
            client.stop()


@pytest.fixture
def run_dir() -> Iterator[str]:
    """Paths of Unix sockets are short."""
    with tempfile.TemporaryDirectory(prefix="am-", dir="/tmp") as folder:
        yield folder


@pytest.fixture
def worker(run_dir: str) -> Any:
    """A context manager: a worker with this function; see :class:`Living`."""
    return lambda function, **options: living(function, run_dir, **options)
