"""How a fresh worker tells its supervisor where it is.

For each worker the supervisor runs a short-lived Bootstrap machine and serves it over one end of a
socketpair; the worker inherits the other end, so there is no port and no secret. The worker adds
``WorkerAddr`` to it, once.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

from amstates.bootstrap import BOOTSTRAP_SCHEMA, BootstrapHandlers, WorkerAddrArgs
from amstates.bootstrap import BootstrapStates as ss
from asyncmachine._perform import TaskOwner
from asyncmachine.errors import NodeError, RpcError
from asyncmachine.machine import Machine
from asyncmachine.rpc.acl import Acl
from asyncmachine.rpc.client import Client, from_socket, stream_of
from asyncmachine.rpc.server import Server
from asyncmachine.schema import Event

__all__ = ["WorkerAddress", "receive_address", "report_address"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerAddress:
    """Where a worker is.

    Attributes:
        private: path of the Unix socket for the supervisor; ``host`` and ``port`` are for the client.
        digest: of the schema that the worker runs.
    """

    worker: str
    kind: str
    digest: str
    pid: int
    private: str
    host: str
    port: int


class _Reception(BootstrapHandlers):
    """Keeps what the worker reports."""

    def __init__(self) -> None:
        self.report: WorkerAddrArgs | None = None

    def worker_addr_enter(self, event: Event[WorkerAddrArgs]) -> bool:
        """Once only."""
        return self.report is None

    def worker_addr_state(self, event: Event[WorkerAddrArgs]) -> None:
        self.report = event.data


async def receive_address(boot: socket.socket) -> WorkerAddress:
    """Serve the Bootstrap machine over *boot* until the worker has reported and left. Closes *boot*.

    Raises:
        NodeError: the worker closed its end without a report, or reported nonsense.
    """
    reception = _Reception()
    async with Machine(BOOTSTRAP_SCHEMA, reception) as machine:
        machine.add(ss.Start)
        await Server(machine, Acl.open("worker")).serve_stream(await stream_of(boot))
    if reception.report is None:
        raise NodeError("the worker closed its bootstrap channel before it reported its address")
    return _address(reception.report)


def _address(report: WorkerAddrArgs) -> WorkerAddress:
    host, _, port = report.public.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536 or not host:
        raise NodeError(f"the worker reported {report.public!r} as its public address; expected host:port")
    return WorkerAddress(
        worker=report.worker,
        kind=report.kind,
        digest=report.digest,
        pid=report.pid,
        private=report.private,
        host=host,
        port=int(port),
    )


async def report_address(boot: socket.socket, address: WorkerAddress) -> None:
    """Tell the supervisor at the other end of *boot* where this worker is. Closes *boot*.

    Raises:
        NodeError: the supervisor refused or is gone.
    """
    client = Client(from_socket(boot), BOOTSTRAP_SCHEMA, client_id=address.worker, reconnect=False)
    async with TaskOwner() as tasks:
        tasks.start_soon(client.run)
        try:
            mirror = await client.ready()
            result = await mirror.add(
                ss.WorkerAddr,
                worker=address.worker,
                kind=address.kind,
                digest=address.digest,
                pid=address.pid,
                private=address.private,
                public=f"{address.host}:{address.port}",
            )
        except RpcError as error:
            raise NodeError(f"cannot report to the supervisor: {error}") from error
        finally:
            client.stop()
    if result.canceled:
        raise NodeError("the supervisor did not take this worker's address")
