from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketAttribute

from asyncmachine.errors import NotConnected, Refused, RpcError
from asyncmachine.machine import Machine
from asyncmachine.rpc.acl import Acl
from asyncmachine.rpc.client import Client, Psk, tcp
from asyncmachine.rpc.config import Limits, RpcConfig
from asyncmachine.rpc.mux import Mux
from asyncmachine.rpc.server import Server
from asyncmachine.schema import Schema, State

pytestmark = pytest.mark.anyio

LIMITS = Limits(refusal_seconds=0.01)
CONFIG = RpcConfig(interval=0.0, limits=LIMITS)
DOOR = Schema("Door", {"Open": State(rpc={"guest": ("add", "read")})}, roles=("guest",))
KEY = bytes(range(32))


@asynccontextmanager
async def serving(host: Mux | Server) -> AsyncIterator[int]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(host.serve, listener)
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def client_of(port: int, schema: Schema, **options: Any) -> AsyncIterator[Client]:
    options = {"client_id": "me", "reconnect": False, "config": CONFIG, **options}
    client = Client(tcp("127.0.0.1", port), schema, **options)
    failure: RpcError | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.run)
        with anyio.fail_after(5):
            try:
                await client.ready()
            except RpcError as error:
                failure = error
        if failure is None:
            yield client
        client.stop()
    if failure is not None:
        raise failure


async def test_several_sources_on_one_port(lamp: Machine) -> None:
    door = Machine(DOOR, id="door")
    other = Machine(lamp.schema, id="other")
    mux = Mux(
        [
            Server(lamp, Acl.open("client"), config=CONFIG, kind="lamp"),
            Server(other, Acl.open("client"), config=CONFIG, kind="lamp"),
            Server(door, Acl.psk("guest", KEY), config=CONFIG, kind="door"),
        ],
        limits=LIMITS,
    )
    async with (
        serving(mux) as port,
        client_of(port, lamp.schema) as any_lamp,
        client_of(port, lamp.schema, source="other", kind="lamp") as second,
        client_of(port, DOOR, kind="door", psk=Psk(KEY)) as third,
    ):
        assert (await any_lamp.machine.add("Start")).executed
        assert (await third.machine.add("Open")).executed
        assert lamp.is_active("Start")
        assert other.is_inactive("Start")
        assert (await second.machine.add("Start")).executed
        assert [c.machine.source_id for c in (any_lamp, second, third)] == ["lamp", "other", "door"]
        assert [len(s.sessions) for s in mux.servers] == [1, 1, 1]
        assert mux.entrance.gate.unauthenticated == 0
        # Each has its own authentication: the key of one opens no other, and none opens the door.
        with pytest.raises(Refused, match=r"refused$"):
            async with client_of(port, DOOR, kind="door"):
                pass
        with pytest.raises(Refused, match=r"refused$"):
            async with client_of(port, lamp.schema, kind="lamp", psk=Psk(KEY)):
                pass
        with pytest.raises(Refused, match=r"refused$"):  # not told apart from the others before it is known
            async with client_of(port, lamp.schema, source="nowhere"):
                pass


async def test_limits_of_sessions_are_those_of_each_source(lamp: Machine) -> None:
    other = Machine(lamp.schema, id="other")
    mux = Mux([Server(m, Acl.open("client"), config=CONFIG) for m in (lamp, other)], limits=LIMITS)
    async with serving(mux) as port, client_of(port, lamp.schema, source="lamp"):
        with pytest.raises(NotConnected, match="1 sessions are open, the limit"):
            async with client_of(port, lamp.schema, source="lamp"):
                pass
        async with client_of(port, lamp.schema, source="other"):
            pass


async def test_sources_come_and_go(lamp: Machine) -> None:
    mux = Mux([], limits=LIMITS)
    server = Server(lamp, Acl.open("client"), config=CONFIG)
    async with serving(mux) as port:
        with pytest.raises(NotConnected):
            async with client_of(port, lamp.schema):
                pass
        mux.add(server)
        with pytest.raises(RpcError, match="a source 'lamp' of kind '' already"):
            mux.add(Server(lamp, Acl.open("client")))
        async with client_of(port, lamp.schema) as client:
            mux.remove(server)
            assert (await client.machine.add("Start")).executed
        with pytest.raises(NotConnected):
            async with client_of(port, lamp.schema):
                pass


async def test_a_client_that_is_there_already_is_rejected(lamp: Machine) -> None:
    server = Server(lamp, Acl.open("client"), config=CONFIG, max_sessions=9, same_client="reject")
    async with serving(server) as port, client_of(port, lamp.schema):
        with pytest.raises(NotConnected, match="client 'me' is here already"):
            async with client_of(port, lamp.schema):
                pass
        async with client_of(port, lamp.schema, client_id="you"):
            assert len(server.sessions) == 2


async def test_a_client_takes_over_from_itself_and_from_nobody_else(lamp: Machine) -> None:
    acl = Acl.psk("client", {"me": KEY, "you": bytes(32)})
    server = Server(lamp, acl, config=CONFIG, same_client="takeover")
    async with serving(server) as port, client_of(port, lamp.schema, psk=Psk(KEY), reconnect=True) as old:
        with pytest.raises(Refused, match=r"refused$"):
            async with client_of(port, lamp.schema, psk=Psk(bytes(32))):
                pass
        with pytest.raises(NotConnected, match="the limit"):
            async with client_of(port, lamp.schema, client_id="you", psk=Psk(bytes(32))):
                pass
        assert old.machine.connected
        async with client_of(port, lamp.schema, psk=Psk(KEY)) as new:
            with anyio.fail_after(5):
                await old.machine.when_disposed()
            assert "another connection of this client took over" in str(old.error)
            assert (await new.machine.add("Start")).executed
            assert len(server.sessions) == 1


def test_takeover_needs_an_identity(lamp: Machine) -> None:
    with pytest.raises(RpcError, match="needs clients that prove who they are"):
        Server(lamp, Acl.open("client"), same_client="takeover")
