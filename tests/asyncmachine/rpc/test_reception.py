"""Proving who one is, by a key or by the operating system: what is sent, and what cannot be played."""

from __future__ import annotations

import logging
import os
import socket
from typing import Any

import anyio
import pytest

from asyncmachine.errors import NotConnected, Refused, RpcError
from asyncmachine.machine import Machine
from asyncmachine.rpc.acl import Acl
from asyncmachine.rpc.auth import Psk, same_user
from asyncmachine.rpc.client import Client, from_socket, stream_of
from asyncmachine.rpc.config import Limits, RpcConfig
from asyncmachine.rpc.protocol.connection import Connection
from asyncmachine.rpc.protocol.events import Closed
from asyncmachine.rpc.protocol.messages import Auth, Challenge, Code, Hello, Welcome
from asyncmachine.rpc.protocol.proofs import client_proof
from asyncmachine.rpc.protocol.states import Role
from asyncmachine.rpc.server import Server

pytestmark = pytest.mark.anyio

KEY, OTHER = bytes(range(32)), bytes(reversed(range(32)))
CONFIG = RpcConfig(interval=0.0, limits=Limits(refusal_seconds=0.01, preauth_seconds=1.0))


class Tap:
    """A stream that keeps what passes."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.sent, self.received = b"", b""

    async def send(self, item: bytes) -> None:
        self.sent += item
        await self._stream.send(item)

    async def receive(self) -> bytes:
        data: bytes = await self._stream.receive()
        self.received += data
        return data

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


async def attempt(server: Server, link: Any, **options: Any) -> tuple[Client, Tap]:
    """One session, ended at once. Raises what ``ready`` raises."""
    taps: list[Tap] = []
    failure: RpcError | None = None
    async with anyio.create_task_group() as tasks:

        async def dial() -> Any:
            near, far = link()
            tasks.start_soon(server.serve_stream, far)
            taps.append(Tap(near))
            return taps[0]

        args = {"client_id": "me", "reconnect": False, "config": CONFIG, **options}
        client = Client(dial, server.source.schema, **args)
        tasks.start_soon(client.run)
        with anyio.fail_after(5):
            try:
                await client.ready()
            except RpcError as error:
                failure = error
        client.stop()
    if failure is not None:
        raise failure
    return client, taps[0]


async def test_a_key_is_proved_by_both_and_never_sent(
    lamp: Machine, link: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = Server(lamp, Acl.psk("client", KEY), config=CONFIG)
    client, tap = await attempt(server, link, psk=Psk(KEY))
    assert client.client_id == "me"
    for secret in (KEY, KEY.hex().encode()):
        assert secret not in tap.sent + tap.received
        assert secret.decode("latin-1") not in caplog.text


@pytest.mark.parametrize(
    "options",
    [{}, {"psk": Psk(OTHER)}, {"ticket": KEY}, {"psk": Psk(KEY), "client_id": "#me"}],
    ids=["no key", "another key", "the key as a ticket", "no name"],
)
async def test_without_the_key_nobody_comes_in(lamp: Machine, link: Any, options: Any) -> None:
    server = Server(lamp, Acl.psk("client", KEY), config=CONFIG)
    with pytest.raises(Refused, match=r"refused$"):
        await attempt(server, link, **options)
    assert server.sessions == ()
    assert server.entrance.gate.unauthenticated == 0


async def test_a_server_that_does_not_know_the_key_is_not_accepted(lamp: Machine, link: Any) -> None:
    """It lets everyone in, or claims to have checked the proof: the client sends it nothing more."""
    lax = Acl.psk("client", KEY)
    lax._check = lambda claim, now, use: Acl.open("client")._check(claim, now, use)  # takes any proof
    for acl in (Acl.open("client"), lax, Acl.psk("client", OTHER)):
        with pytest.raises(Refused, match=r"was not offered|does not prove that it knows the key|refused$"):
            await attempt(Server(lamp, acl, config=CONFIG), link, psk=Psk(KEY))
    assert lamp.is_inactive("Start")


async def talk(server: Server, link: Any, script: Any) -> list[Any]:
    """A client by hand: *script(conn, event)* answers each event. All events."""
    near, far = link()
    seen: list[Any] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve_stream, far)
        conn = Connection(Role.CLIENT, CONFIG.limits, now=0.0, states=len(server.source.schema))
        script(conn, None)
        with anyio.fail_after(5):
            while conn.closed is None:
                if data := conn.data_to_send(0.0):
                    await near.send(data)
                for event in conn.receive_data(await near.receive(), 0.0):
                    seen.append(event)
                    script(conn, event)
        await near.aclose()
    return seen


def hello(server: Server, **changes: Any) -> Hello:
    base = Hello(0, 0, "me", bytes(16), bytes(32), ("psk",), server.source.schema.digest, "")
    return base._replace(**changes)


async def test_a_recorded_handshake_is_worth_nothing(lamp: Machine, link: Any) -> None:
    """H48: the same HELLO and the same proof again; the server's nonce is another one."""
    server = Server(lamp, Acl.psk("client", KEY), config=CONFIG)
    proofs: list[bytes] = []

    def first(conn: Connection, event: Any) -> None:
        if event is None:
            conn.send(hello(server))
        elif isinstance(event, Challenge):
            proofs.append(client_proof(KEY, conn.transcript))
            conn.send(Auth(proofs[0]))
        elif isinstance(event, Welcome):
            conn.close(Code.OK, "", 0.0)

    def again(conn: Connection, event: Any) -> None:
        if event is None:
            conn.send(hello(server))
        elif isinstance(event, Challenge):
            conn.send(Auth(proofs[0]))

    assert any(isinstance(e, Welcome) for e in await talk(server, link, first))
    (_, closed) = await talk(server, link, again)
    assert (closed.code, closed.text) == (Code.AUTH, "refused")


async def test_what_the_server_proves_is_no_proof_of_a_client(lamp: Machine, link: Any) -> None:
    """H49: a man in the middle who knows no key has nothing that fits either direction."""
    server = Server(lamp, Acl.psk("client", KEY), config=CONFIG)
    shown: list[bytes] = []

    def honest(conn: Connection, event: Any) -> None:
        if event is None:
            conn.send(hello(server))
        elif isinstance(event, Challenge):
            conn.send(Auth(client_proof(KEY, conn.transcript)))
        elif isinstance(event, Welcome):
            shown.append(event.proof)
            conn.close(Code.OK, "", 0.0)

    await talk(server, link, honest)
    assert len(shown[0]) == 32

    def reflect(conn: Connection, event: Any) -> None:
        if event is None:
            conn.send(hello(server))
        elif isinstance(event, Challenge):
            conn.send(Auth(shown[0]))

    assert (await talk(server, link, reflect))[-1].text == "refused"


@pytest.mark.parametrize(
    "changes",
    [
        {"auth": ("none",)},
        {"auth": ("none", "psk")},
        {"auth": ()},
        {"vmin": 1, "vmax": 1},
        {"client_id": "you"},
    ],
    ids=str,
)
async def test_a_hello_that_was_changed_on_the_way(lamp: Machine, link: Any, changes: Any) -> None:
    """H50: the proof is for another HELLO than the one that arrived, or there is nothing to be chosen."""
    server = Server(lamp, Acl.psk("client", KEY), config=CONFIG)
    meant = Connection(Role.CLIENT, CONFIG.limits, now=0.0)
    meant.send(hello(server))

    def script(conn: Connection, event: Any) -> None:
        if event is None:
            conn.send(hello(server, **changes))
        elif isinstance(event, Challenge):
            conn.send(Auth(client_proof(KEY, meant.transcript)))

    closed = (await talk(server, link, script))[-1]
    assert isinstance(closed, Closed)
    assert (closed.code, closed.text) == (Code.AUTH, "refused")
    assert server.sessions == ()


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="this system does not tell")
async def test_the_operating_system_says_who_it_is(lamp: Machine) -> None:
    async def meet(acl: Acl) -> str:
        one, other = socket.socketpair()
        server = Server(lamp, acl, config=CONFIG)
        client = Client(from_socket(one), lamp.schema, client_id="#x", reconnect=False, config=CONFIG)
        failure = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve_stream, await stream_of(other))
            tasks.start_soon(client.run)
            try:
                await client.ready()
            except RpcError as error:
                failure = error
            client.stop()
        if failure is not None:
            raise failure
        return client.client_id

    assert await meet(same_user("client")) == f"uid:{os.getuid()}#x"
    with pytest.raises(Refused):
        await meet(Acl.peercred({os.getuid() + 1: "client"}))


async def test_one_identity_that_connects_too_often(lamp: Machine, link: Any) -> None:
    """H59: with a good key too; others come in all the same, and a server without a rate is free."""
    acl = Acl.psk("client", {"me": KEY, "you": KEY})
    limits = Limits(session_rate=3.0, refusal_seconds=0.01)
    server = Server(lamp, acl, config=RpcConfig(limits=limits))
    for n in range(3):
        await attempt(server, link, psk=Psk(KEY), client_id=f"me#{n}")
    with pytest.raises(NotConnected, match="'me' connects too often"):
        for n in range(20):
            await attempt(server, link, psk=Psk(KEY), client_id=f"me#{n}")
    await attempt(server, link, psk=Psk(KEY), client_id="you")


async def test_the_audit_log_tells_the_whole_story(
    lamp: Machine, link: Any, session: Any, caplog: pytest.LogCaptureFixture
) -> None:
    import json

    caplog.set_level(logging.INFO, "asyncmachine.audit")
    server = Server(lamp, Acl.psk({"alice": "client"}, {"alice": KEY, "eve": OTHER}), config=CONFIG)
    await attempt(server, link, psk=Psk(KEY), client_id="alice#1")
    with pytest.raises(Refused):
        await attempt(server, link, psk=Psk(OTHER), client_id="alice")
    with pytest.raises(Refused):
        await attempt(server, link, psk=Psk(OTHER), client_id="eve\n\x1b[31m")
    with pytest.raises(Refused):
        await attempt(server, link, psk=Psk(OTHER), client_id="eve")
    async with session(lamp) as pair:
        with pytest.raises(RpcError):
            await pair.mirror.add("Secret")
    told = [json.loads(r.getMessage()) for r in caplog.records if r.name == "asyncmachine.audit"]
    assert [(row["event"], row.get("client"), row.get("reason")) for row in told] == [
        ("opened", "alice#1", None),
        ("closed", "alice#1", ""),
        ("refused", "alice", "client 'alice' does not prove a key of this server"),
        ("refused", "eve\n\x1b[31m", "client 'eve\\n\\x1b[31m' does not prove a key of this server"),
        ("refused", "eve", "'eve' has no role here"),
        ("opened", "tester", None),
        ("denied", "tester", told[6]["reason"]),
        ("closed", "tester", ""),
    ]
    assert "Secret" in told[6]["reason"]
    assert (told[0]["identity"], told[0]["role"], told[0]["method"]) == ("alice", "client", "psk")
    assert KEY.hex() not in caplog.text
