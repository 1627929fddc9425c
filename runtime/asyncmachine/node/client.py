"""A client of a pool: finds a supervisor, leases workers, delegates work to them directly.

::

    async with NodeClient(["127.0.0.1:7070"], kind="census:measure") as client:
        print(await client.call("one input"))
        async for outcome in client.map(inputs, workers=4):
            ...

Everything it goes through is visible as states of its machine (``schemas/node/client.yaml``).
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.lowlevel import checkpoint

from amstates.client import CLIENT_SCHEMA, ClientHandlers
from amstates.client import ClientStates as ss
from amstates.supervisor import SUPERVISOR_SCHEMA
from amstates.supervisor import SupervisorStates as super_ss
from amstates.worker import WORKER_SCHEMA
from asyncmachine._perform import TaskOwner
from asyncmachine.errors import ArgsError, AsyncMachineError, NodeError, NoWorker, Refused, RpcError
from asyncmachine.machine import Machine
from asyncmachine.node.args import GRANTED, Answer, LostNotice, PoolStatus
from asyncmachine.node.exits import ExitBook, ExitReport
from asyncmachine.node.fleet import Fleet, FleetConfig, MapRun
from asyncmachine.node.targets import parse_address
from asyncmachine.rpc.client import Client, tcp
from asyncmachine.rpc.config import RpcConfig
from asyncmachine.schema import Event

__all__ = ["ClientConfig", "NodeClient"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """Settings of a client. Times in seconds.

    Attributes:
        address_timeout: for each supervisor in the list, to connect and shake hands.
        start_timeout: for all of them together, at the start.
        lease_timeout: to be granted a worker, waiting in the supervisor's queue included.
    """

    address_timeout: float = 3.0
    start_timeout: float = 15.0
    lease_timeout: float = 60.0


class NodeClient(ClientHandlers):
    """Talks to one supervisor at a time, out of an ordered list, and to any number of its workers.

    Args:
        supervisors: ``HOST:PORT``, in order of preference.
        kind: the kind of worker that is wanted; a supervisor of another kind refuses.
        client_id: default: random.
    """

    def __init__(
        self,
        supervisors: Sequence[str],
        *,
        kind: str,
        client_id: str | None = None,
        config: ClientConfig | None = None,
    ) -> None:
        if not supervisors:
            raise ValueError("supervisors is empty; give at least one HOST:PORT")
        self._addresses = [parse_address(text) for text in supervisors]
        self.kind = kind
        self.config = config or ClientConfig()
        self.id = client_id or f"client-{secrets.token_hex(6)}"
        self.machine = Machine(CLIENT_SCHEMA, self, id=self.id)
        self._super: Client | None = None
        self._requests: dict[int, Callable[[Any], None]] = {}
        self._next_request = 0
        self._notices: dict[str, LostNotice] = {}
        self._noticed = anyio.Event()
        self._refusal: AsyncMachineError | None = None
        self._default: Fleet | None = None
        self._stack = AsyncExitStack()

    # -- life ----------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        try:
            await self._stack.enter_async_context(self.machine)
            self._tasks = await self._stack.enter_async_context(TaskOwner())
            self._stack.callback(self._tasks.cancel_scope.cancel)
            self.machine.add(ss.Start)
            with anyio.move_on_after(self.config.start_timeout):
                await self.machine.when_query(
                    lambda t: t.is_active(ss.SuperReady) or not t.is_active(ss.Start)
                )
            if self.machine.is_inactive(ss.SuperReady):
                raise self._refusal or NodeError(f"no supervisor could be reached at {self._where()}")
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)

    def _where(self) -> str:
        return ", ".join(f"{host}:{port}" for host, port in self._addresses)

    async def start_state(self, event: Event[Any]) -> None:
        """Hold a session with the first supervisor of the list that answers; move on when it ends."""
        delay = 0.05
        while True:
            for host, port in self._addresses:
                self.machine.add(ss.SuperConnecting)
                if await self._talk(host, port):
                    delay = 0.05
                    break
            if self._refusal is not None:
                self.machine.remove(ss.Start)
                return
            await anyio.sleep(delay)
            delay = min(2.0, delay * 2)

    async def _talk(self, host: str, port: int) -> bool:
        """One session with one supervisor. False when it could not be established."""
        client = Client(
            tcp(host, port),
            SUPERVISOR_SCHEMA,
            client_id=self.id,
            kind=self.kind,
            on_payload=self._payload,
            reconnect=False,
            config=RpcConfig(connect_timeout=self.config.address_timeout),
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.run)
            try:
                with anyio.fail_after(self.config.address_timeout):
                    await client.ready()
            except (RpcError, TimeoutError) as error:
                self._refusal = error if isinstance(error, Refused) else None
                client.stop()
                self.machine.add(ss.SuperDisconnected)
                return False
            self._super = client
            self._refusal = None  # of one that comes earlier in the list
            self.machine.add(ss.SuperConnected)
            self.machine.add(ss.SuperReady)
            try:
                await client.machine.when_disposed()
            finally:
                self._super = None
                client.stop()
        self.machine.remove(ss.SuperReady)
        self.machine.add(ss.SuperDisconnected)
        self.machine.add(ss.SuperLost, reason=f"the session with {host}:{port} ended: {client.error}")
        return True

    def super_lost_state(self, event: Event[Any]) -> None:
        """An event: what waited for this supervisor's answer asks the next one."""
        event.machine.remove(ss.SuperLost)
        requests, self._requests = self._requests, {}
        for answer in requests.values():
            answer(None)

    # -- asking the supervisor -----------------------------------------------------------------

    def _payload(self, payload: Any) -> bool:
        try:
            if payload.name == super_ss.ProvideWorker:
                answer = Answer.decode(payload.data)
                self._answered(answer.request, answer)
            elif payload.name == super_ss.ListWorkers:
                status = PoolStatus.decode(payload.data)
                self._answered(status.request, status)
            elif payload.name == super_ss.ListExits:
                self._answered(*ExitBook.read(payload.data))
            elif payload.name == super_ss.WorkerLost:
                notice = LostNotice.decode(payload.data)
                self._notices[notice.worker] = notice
                event, self._noticed = self._noticed, anyio.Event()
                event.set()
        except ArgsError as error:
            self.machine.add_error(error, ss.ErrSupervisor)
            return False
        return True

    def _answered(self, request: int, answer: object) -> None:
        deliver = self._requests.get(request)
        if deliver is not None:
            deliver(answer)

    async def _ask(self, state: str, final: Callable[[Any], bool], **args: Any) -> Any:
        """Add *state* at the supervisor and wait for the final payload that answers this request.

        Returns None when the supervisor was lost before it answered.
        """
        if self._super is None:
            return None
        self._next_request += 1
        request = self._next_request
        done = anyio.Event()
        answers: list[Any] = []

        def deliver(answer: Any) -> None:
            if answer is None or final(answer):
                answers.append(answer)
                done.set()

        self._requests[request] = deliver
        try:
            result = await self._super.machine.add(state, request=request, **args)
            if result.canceled:
                raise NoWorker(f"the supervisor refused {state}: it is stopping")
            await done.wait()
        except RpcError:
            return None
        finally:
            self._requests.pop(request, None)
            if not answers and state == super_ss.ProvideWorker:
                self._withdraw(request)
        return answers[0]

    def _withdraw(self, request: int) -> None:
        """Nobody waits for this worker any more: it should not be kept for us."""
        if self._super is not None:
            with suppress(RpcError):
                self._super.machine.add_nowait(super_ss.ReleaseWorker, request=request)

    async def _lease(self) -> Answer:
        """A lease on one worker.

        Raises:
            NoWorker: denied, or not within ``lease_timeout``.
        """
        with anyio.move_on_after(self.config.lease_timeout):
            while True:
                await self._supervised()
                self.machine.add(ss.WorkerRequested)
                answer = await self._ask(
                    super_ss.ProvideWorker,
                    lambda a: a.status != "queued",
                    client=self.id,
                    kind=self.kind,
                    digest=WORKER_SCHEMA.digest,
                )
                if answer is None:
                    await checkpoint()  # for start_state to notice the loss
                    continue
                self.machine.remove(ss.WorkerRequested)
                if answer.status == GRANTED:
                    return answer  # type: ignore[no-any-return]
                self.machine.add(ss.WorkerDenied, reason=answer.reason)
                raise NoWorker(answer.reason, answer.retry_after if answer.status == "busy" else None)
        self.machine.remove(ss.WorkerRequested)
        raise NoWorker(f"no worker within {self.config.lease_timeout} s; the pool is busy or not coming up")

    async def _supervised(self) -> None:
        if self.machine.is_active(ss.SuperReady):
            return
        await self.machine.when_query(lambda t: t.is_active(ss.SuperReady) or not t.is_active(ss.Start))
        if self.machine.is_inactive(ss.Start):
            raise NoWorker(f"no supervisor: {self._refusal or self._where()}")

    def worker_denied_state(self, event: Event[Any]) -> None:
        """An event."""
        event.machine.remove(ss.WorkerDenied)

    async def _explain(self, worker: str) -> tuple[str, ExitReport | None]:
        while worker not in self._notices:
            if self._super is None:
                return "its connection ended, and no supervisor can say why", None
            await self._noticed.wait()
        notice = self._notices.pop(worker)
        self.machine.add(ss.WorkerLost, reason=notice.reason)
        return notice.reason, ExitReport.decode(notice.report) if notice.report else None

    def worker_lost_state(self, event: Event[Any]) -> None:
        """An event."""
        event.machine.remove(ss.WorkerLost)

    async def status(self) -> PoolStatus:
        """The pool as its supervisor sees it.

        Raises:
            NodeError: there is no session with a supervisor.
        """
        status = await self._ask(super_ss.ListWorkers, lambda _: True)
        if status is None:
            raise NodeError(f"no supervisor at {self._where()}")
        return status  # type: ignore[no-any-return]

    async def exits(self, worker: str = "") -> tuple[ExitReport, ...]:
        """How the last workers of the pool ended, oldest first; or one of them, with all of its output.

        The output is that of workers that this client held, or nobody.

        Raises:
            NodeError: there is no session with a supervisor.
        """
        reports = await self._ask(super_ss.ListExits, lambda _: True, worker=worker)
        if reports is None:
            raise NodeError(f"no supervisor at {self._where()}")
        return reports  # type: ignore[no-any-return]

    # -- work ----------------------------------------------------------------------------------

    def _make_fleet(self, config: FleetConfig | None) -> Fleet:
        return Fleet(
            self._lease,
            self._explain,
            self._tasks.start_soon,
            identity=(self.id, self.kind),
            config=config or FleetConfig(),
        )

    @asynccontextmanager
    async def fleet(self, config: FleetConfig | None = None) -> AsyncIterator[Fleet]:
        """Hold several workers for the length of a block."""
        fleet = self._make_fleet(config)
        fleet.start()
        try:
            yield fleet
        finally:
            fleet.stop()

    async def call(self, value: Any, *, deadline: float | None = None) -> Any:
        """Run one job on a worker that this client keeps from its first call on; see ``Fleet.call``."""
        if self._default is None or self._default.failed:  # it was denied its worker: ask again
            self._default = self._make_fleet(None)
            self._default.start()
        return await self._default.call(value, deadline=deadline)

    def map(
        self,
        inputs: Iterable[Any] | AsyncIterable[Any],
        *,
        ordered: bool = False,
        config: FleetConfig | None = None,
    ) -> MapRun:
        """Run a job per input on ``config.workers`` workers; iterate over the outcomes as they come.

        The workers are given back when the iteration ends. To leave it early, use the run as a
        context manager: ``async with client.map(...) as run: async for outcome in run: ...``.

        Raises:
            NoWorker: from the iteration: the pool will not give any worker.
        """
        return MapRun(self._make_fleet(config), inputs, ordered=ordered, owner=True)
