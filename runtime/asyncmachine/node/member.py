"""One worker of a pool, seen from its supervisor: from the launch until the process is reaped.

Exactly one task lives as long as the member; whatever happens to the worker, that task sees the exit of
the process, so a slot is never lost and a process never forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio

from amstates.worker import WorkerStates as ss
from asyncmachine._perform import TaskOwner
from asyncmachine.api import Tracer
from asyncmachine.errors import NodeError, RpcError
from asyncmachine.node.bootstrap import WorkerAddress, receive_address
from asyncmachine.node.config import PoolConfig, WorkerSpec
from asyncmachine.node.exits import Orders
from asyncmachine.node.launchers.base import Exit, Handle, Launcher
from asyncmachine.node.pool import Phase
from asyncmachine.rpc.client import Client, unix
from asyncmachine.rpc.config import RpcConfig
from asyncmachine.rpc.netmachine import NetMachine
from asyncmachine.schema import Schema

__all__ = ["PoolMember"]


class _Watch(Tracer):
    """Tells that a worker has moved in a way that a decision may depend on; mere work is none."""

    _MATTERS = (
        ss.Ready,
        ss.Idle,
        ss.Provided,
        ss.ClientConnected,
        ss.Draining,
        ss.Stalled,
        ss.Exception,
    )

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._ticks: tuple[int, ...] = ()

    def transition_end(self, machine: Any, transition: Any) -> None:
        """See the base."""
        ticks = machine.time(*self._MATTERS)
        if ticks != self._ticks:
            self._ticks = ticks
            self._changed()


class PoolMember:
    """A worker.

    Args:
        schema: that the worker must run; its digest is checked.
        changed: called whenever something about the worker may have changed.

    Attributes:
        handle: of its process, once there is one.
        address: as it reported it.
        mirror: of its machine, once it is connected.
        last: the mirror, even after it was lost.
        fault: why this side has given it up, or "".
        asked: its end was wanted by somebody, and is no failure.
        orders: what was done about it.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        launcher: Launcher,
        schema: Schema,
        config: PoolConfig,
        changed: Callable[[PoolMember], None],
    ) -> None:
        self.id = spec.worker
        self.spec = spec
        self.handle: Handle | None = None
        self.address: WorkerAddress | None = None
        self.mirror: NetMachine | None = None
        self.last: NetMachine | None = None
        self.fault = ""
        self.asked = False
        self._errors = 0
        self.orders = Orders()
        self._launcher = launcher
        self._schema = schema
        self._config = config
        self._changed = changed

    async def live(self) -> Exit:
        """Launch, attend, reap.

        Raises:
            LaunchError: there was nothing to launch; no process exists.
        """
        self.handle = handle = await self._launcher.start(self.spec)
        self._changed(self)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._attend, handle)
                await handle.exited()
                tasks.cancel_scope.cancel()
            return await handle.exited()
        finally:
            # Cancelled: the pool is given up at once. The process is not left behind all the same.
            with anyio.CancelScope(shield=True):
                handle.kill()
                await handle.exited()

    async def _attend(self, handle: Handle) -> None:
        try:
            self.address = address = await receive_address(handle.boot)
            self._check(address)
            self._changed(self)
            await self._mirror_it(address)
        except (NodeError, RpcError) as error:
            self.fault = self.fault or str(error)  # killed: that is why it closed its end
        # It is on its way out by itself, most likely; the exit of the process ends this task.
        self._changed(self)
        await anyio.sleep(self._config.grace)
        self.fault = self.fault or f"its session ended, but it was still there {self._config.grace:g} s later"
        handle.kill()

    def _check(self, address: WorkerAddress) -> None:
        expected = (self.id, self.spec.kind, self._schema.digest)
        if (address.worker, address.kind, address.digest) != expected:
            raise NodeError(
                f"the process started as worker {self.id} of kind {self.spec.kind!r} and schema "
                f"{self._schema.digest} says that it is worker {address.worker} of kind {address.kind!r} and "
                f"schema {address.digest}"
            )

    async def _mirror_it(self, address: WorkerAddress) -> None:
        client = Client(
            unix(address.private),
            self._schema,
            client_id=f"super-{self.id}",
            kind=self.spec.kind,
            reconnect=False,
            config=RpcConfig(heartbeat=self._config.heartbeat),
        )
        async with TaskOwner() as tasks:
            tasks.start_soon(client.run)
            try:
                mirror = await client.ready()
                mirror.trace(_Watch(lambda: self._changed(self)))
                self.mirror = self.last = mirror
                self._changed(self)
                await mirror.when_disposed()
            finally:
                self.mirror = None
                client.stop()

    # -- what it is doing ----------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """Of its process, 0 before there is one."""
        return (self.handle.pid or 0) if self.handle is not None else 0

    def memory(self) -> int:
        """Resident memory of its process in bytes, 0 where it is not known."""
        return (self.handle.memory() or 0) if self.handle is not None else 0

    def phase(self) -> Phase:
        """What its mirror says: ``spawning`` without a process, ``booting`` until it is ready."""
        if self.mirror is None or self.mirror.is_inactive(ss.Ready):
            return "spawning" if self.handle is None else "booting"
        if self.mirror.is_active(ss.Draining):
            return "draining"
        if self.mirror.any_active(ss.Working, ss.WorkRequested):
            return "busy"
        if self.mirror.is_active(ss.Idle):
            return "idle"
        return "leased"

    def jobs(self) -> int:
        """Pieces of work asked of it so far: each call of WorkRequested moves its tick by two."""
        return (self.last.tick(ss.WorkRequested) + 1) // 2 if self.last is not None else 0

    def clock(self) -> dict[str, int]:
        """Ticks of its states as last seen, without zeros."""
        last = self.last
        if last is None:
            return {}
        return {name: tick for name, tick in zip(last.schema.names, last.time(), strict=True) if tick}

    def new_errors(self) -> bool:
        """Whether an error has come up in its machine since the last call."""
        before, self._errors = self._errors, self.mirror.tick(ss.Exception) if self.mirror is not None else 0
        return self._errors > before + (self._errors % 2 == 0)

    # -- ending it -----------------------------------------------------------------------------

    def drain(self, *, patient: bool = False) -> None:
        """Let it finish what it has begun, then end. *patient*: it may take as long as it takes."""
        if self.mirror is not None and self.mirror.connected:
            self.mirror.add_nowait(ss.Draining, patient=patient)
        elif self.handle is not None:
            self.handle.terminate()

    def stop(self) -> None:
        """Ask it to end, through its machine and by signal."""
        self.drain()
        if self.handle is not None:
            self.handle.terminate()

    def kill(self) -> None:
        """End it for certain."""
        if self.handle is not None:
            self.handle.kill()
