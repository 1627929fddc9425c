"""Machines, links and sessions for tests of aRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import anyio
import pytest

from asyncmachine.machine import Machine
from asyncmachine.rpc.acl import Acl
from asyncmachine.rpc.client import Client
from asyncmachine.rpc.config import RpcConfig
from asyncmachine.rpc.server import Server
from asyncmachine.schema import Args, Schema, State, decode_int, decode_optional, decode_str
from asyncmachine.testing.wire import End, Wire

ALL = ("add", "remove", "read")


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkArgs(Args):
    decoders: ClassVar[Any] = {"number": decode_int, "note": decode_optional(decode_str)}
    number: int
    note: str | None = None


SCHEMA = Schema(
    "Lamp",
    {
        "Start": State(rpc={"client": ALL}),
        "On": State(require=("Start",), rpc={"client": ALL}),
        "Work": State(multi=True, args=WorkArgs, rpc={"client": ("add", "read")}),
        "Seen": State(rpc={"client": ("read",)}),
        "Pushed": State(rpc={"client": ("add",)}),
        "Secret": State(),
        "Shy": State(remove=("On",), rpc={"client": ("remove", "read")}),
    },
    roles=("client",),
)

FAST = RpcConfig(interval=0.0)


def memory_pair() -> tuple[End, End]:
    """Two ends of a link in memory."""
    wire = Wire()
    return wire.near, wire.far


class Pair:
    """A server with a machine, and one client of it."""

    def __init__(self, server: Server, client: Client) -> None:
        self.server = server
        self.client = client
        self.source = server.source
        self.mirror = client.machine


@asynccontextmanager
async def open_session(
    source: Machine | None = None,
    *,
    acl: Acl | None = None,
    config: RpcConfig = FAST,
    client_config: RpcConfig | None = None,
    server_args: dict[str, Any] | None = None,
    **client_args: Any,
) -> AsyncIterator[Pair]:
    """An open session in memory; ends with BYE."""
    source = source or Machine(SCHEMA, id="lamp")
    opened = anyio.Event()
    hooks = {"on_session": lambda peer: opened.set(), **(server_args or {})}
    server = Server(source, acl or Acl.open("client"), config=config, **hooks)
    async with anyio.create_task_group() as tasks:

        async def dial() -> Any:
            near, far = memory_pair()
            tasks.start_soon(server.serve_stream, far)
            return near

        args = {"client_id": "tester", **client_args}
        client = Client(dial, source.schema, config=client_config or config, **args)
        await tasks.start(client.run)
        with anyio.fail_after(5):
            await client.ready()
            await opened.wait()
        yield Pair(server, client)
        client.stop()


@pytest.fixture
def lamp() -> Machine:
    return Machine(SCHEMA, id="lamp")


@pytest.fixture
def session() -> Any:
    """See :func:`open_session`."""
    return open_session


@pytest.fixture
def link() -> Any:
    """See :func:`memory_pair`."""
    return memory_pair
