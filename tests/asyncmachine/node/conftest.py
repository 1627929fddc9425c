"""A worker that lives in this process, and the two who talk to it; a pool of such workers."""

from __future__ import annotations

import asyncio
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Self

import anyio
import pytest
from anyio.abc import TaskStatus

from amstates.worker import WORKER_SCHEMA
from asyncmachine.node.args import Answer, WorkResult, encode_value
from asyncmachine.node.bootstrap import WorkerAddress, receive_address
from asyncmachine.node.config import PoolConfig, WorkerSpec
from asyncmachine.node.dispatch import Job
from asyncmachine.node.function_worker import FunctionWorker
from asyncmachine.node.launchers.base import Exit, Reason
from asyncmachine.node.link import WorkerLink
from asyncmachine.node.supervisor import Supervisor
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


async def echo(value: Any) -> Any:
    return value


class Hand:
    """The handle of a worker that lives in this process."""

    def __init__(self, spec: WorkerSpec, pid: int) -> None:
        self.id = spec.worker
        self.spec = spec
        self.pid = pid
        self.here, self.there = socket.socketpair()
        self.asked = 0  # how often it was asked to end
        self.killed = False
        self.rotated = 0  # how often a new log file was begun
        self.resident = 0  # bytes of memory that it says it takes
        self.worker: FunctionWorker | None = None
        self._scope = anyio.CancelScope()
        self._exit: Exit | None = None
        self._gone = anyio.Event()

    @property
    def boot(self) -> socket.socket:
        return self.here

    async def live(self, life: Callable[[Hand], Awaitable[int]]) -> None:
        code: int | None = None
        try:
            with self._scope:
                code = await life(self)
        finally:
            self.there.close()
            with anyio.CancelScope(shield=True):  # its end of the channel closes before it is reaped
                for _ in range(3):
                    await anyio.lowlevel.checkpoint()
            if code is None:
                self._exit = Exit(reason=Reason.SIGNALLED, signal=9, detail="was ended by SIGKILL", oom=False)
            else:
                detail = f"exited with code {code}"
                self._exit = Exit(reason=Reason.EXITED, code=code, detail=detail, output=b"its last words\n")
            self._gone.set()

    @property
    def gone(self) -> bool:
        return self._gone.is_set()

    def settings(self) -> WorkerSettings:
        argv = self.spec.argv
        options = dict(zip(argv[1::2], argv[2::2], strict=True))
        return WorkerSettings(
            worker=options["--id"],
            kind=options["--kind"],
            run_dir=options["--run-dir"],
            drain=float(options["--drain"]),
            heartbeat=float(options["--heartbeat"]),
        )

    async def exited(self) -> Exit:
        await self._gone.wait()
        assert self._exit is not None
        return self._exit

    def memory(self) -> int:
        return self.resident

    def rotate(self) -> None:
        self.rotated += 1

    def terminate(self) -> None:
        self.asked += 1
        if self.worker is not None and self.worker.machine.is_inactive("SuperConnected"):
            self.worker.orphaned()  # else it hears of it from its supervisor

    def kill(self) -> None:
        """The end of a process: nothing is said any more, its sockets close."""
        self.killed = self.killed or not self._gone.is_set()
        self._scope.cancel()


@contextmanager
def readers_may_be_late() -> Iterator[None]:
    """Do not count one harmless error of anyio's Unix streams on asyncio.

    When bytes arrive in the very turn of the loop in which the reader is cancelled, the callback of the
    socket finds a future that is done. Both ends in one loop make that likely.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # on trio
        yield
        return
    report = loop.get_exception_handler()

    def handler(where: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        late = isinstance(context.get("exception"), asyncio.InvalidStateError)
        if late and "set_result" in repr(context.get("handle")):
            return
        (report or asyncio.AbstractEventLoop.default_exception_handler)(where, context)

    loop.set_exception_handler(handler)
    try:
        yield
    finally:
        loop.set_exception_handler(report)


class InProcess:
    """A launcher of workers that live in this process.

    Attributes:
        life: what a worker does until it exits with the code that this returns; :meth:`serve` by default.
        error: raised instead of starting a worker.
        hands: of all workers ever started, by id.
    """

    name = "in process"

    def __init__(self, function: Callable[[Any], Any] = echo) -> None:
        self.function = function
        self.make: Callable[[WorkerSettings], FunctionWorker] = lambda s: FunctionWorker(s, self.function)
        self.life: Callable[[Hand], Awaitable[int]] = self.serve
        self.error: Exception | None = None
        self.hands: dict[str, Hand] = {}

    async def serve(self, hand: Hand) -> int:
        hand.worker = self.make(hand.settings())
        await hand.worker.run(hand.there)
        return 0

    async def start(self, spec: WorkerSpec) -> Hand:
        await anyio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        hand = self.hands[spec.worker] = Hand(spec, 1000 + len(self.hands))
        self._tasks.start_soon(partial(hand.live, self.life))
        return hand

    async def __aenter__(self) -> Self:
        self._stack = ExitStack()
        self._stack.enter_context(readers_may_be_late())
        self._tasks = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._tasks.cancel_scope.cancel()
        with self._stack:
            await self._tasks.__aexit__(None, None, None)


@asynccontextmanager
async def pooled(launcher: InProcess, **config: Any) -> AsyncIterator[Supervisor]:
    defaults = {"min": 1, "max": 3, "warm": 0, "grace": 0.5, "drain": 2.0, "backoff_base": 0.001}
    with anyio.fail_after(20):
        spec = WorkerSpec(kind=KIND, argv=("worker",))
        async with Supervisor(launcher, spec, config=PoolConfig(**{**defaults, **config})) as supervisor:
            yield supervisor


@pytest.fixture
def launcher() -> Any:
    """The class of launchers whose workers live in this process; see :class:`InProcess`."""
    return InProcess


@pytest.fixture
def pool() -> Any:
    """A context manager: a supervisor on this launcher, with these settings of its pool."""
    return pooled
