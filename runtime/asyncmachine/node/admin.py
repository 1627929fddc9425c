"""Commands to a supervisor of this computer, for its own user and for root."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from amstates.supervisor import SUPERVISOR_SCHEMA
from amstates.supervisor import SupervisorStates as ss
from asyncmachine._perform import TaskOwner
from asyncmachine.errors import NodeError, NoWorker, RpcError
from asyncmachine.node.args import PoolStatus
from asyncmachine.node.client import ClientConfig, NodeClient
from asyncmachine.node.config import PoolConfig
from asyncmachine.rpc.client import Client, unix

__all__ = ["Admin"]


class Admin:
    """An async context manager. It asks at the public port where the socket for administrators is.

    Args:
        address: ``HOST:PORT`` of the supervisor.
        options: of the :class:`~asyncmachine.node.client.NodeClient` that asks.

    Raises (from ``async with``):
        NodeError: nobody is there, or the socket is not on this computer, or not for this user.
    """

    def __init__(self, address: str, **options: Any) -> None:
        self.address = address
        options = {"kind": "", "config": ClientConfig(start_timeout=3.0), **options}
        self._client = NodeClient([address], **options)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._client)
            path = (await self.status()).admin
            tasks = await stack.enter_async_context(TaskOwner())
            stack.callback(tasks.cancel_scope.cancel)
            rpc = Client(unix(path), SUPERVISOR_SCHEMA, client_id="#admin", reconnect=False)
            tasks.start_soon(rpc.run)
            stack.callback(rpc.stop)
            try:
                self._mirror = await rpc.ready()
            except RpcError as error:
                raise NodeError(
                    f"the supervisor at {self.address} takes commands at {path} on its own computer, from "
                    f"its own user: {error}"
                ) from None
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def status(self) -> PoolStatus:
        """The pool as its supervisor sees it. Raises ``NodeError``: the supervisor is gone."""
        try:
            return await self._client.status()
        except NoWorker:
            raise NodeError(f"no supervisor at {self.address}") from None

    async def drain(self, moved_to: str = "") -> None:
        """No new leases; the supervisor ends its workers once they are idle.

        Args:
            moved_to: ``HOST:PORT`` of another supervisor, to which its clients are sent.
        """
        await self._do(ss.Draining, "it is draining already", moved_to=moved_to)

    async def reload(self) -> None:
        """Replace all workers, one by one, without losing work."""
        await self._do(ss.Reload, "it is not running")

    async def rotate(self) -> None:
        """Begin new log files."""
        await self._do(ss.LogRotate, "it is not running")

    async def kill(self, worker: str) -> None:
        """End one worker at once; what it was at is lost."""
        await self._do(ss.KillWorker, f"it has no worker {worker!r}", worker=worker)

    async def resize(
        self, *, least: int | None = None, most: int | None = None, warm: int | None = None
    ) -> PoolConfig:
        """Change sizes; None: as it is. Returns what holds from now on.

        Raises:
            ValueError: such a pool cannot be.
        """
        config = PoolConfig(**(await self.status()).config)
        wanted = config.resized(
            min=config.min if least is None else least,
            max=config.max if most is None else most,
            warm=config.warm if warm is None else warm,
        )
        await self._do(
            ss.SetPool, "it does not take these sizes", min=wanted.min, max=wanted.max, warm=wanted.warm
        )
        return wanted

    async def _do(self, state: str, otherwise: str, **args: Any) -> None:
        try:
            result = await self._mirror.add(state, **args)
        except RpcError as error:
            raise NodeError(f"the supervisor at {self.address} did not answer: {error}") from None
        if result.canceled:
            raise NodeError(f"the supervisor at {self.address} refuses {state}: {otherwise}")
