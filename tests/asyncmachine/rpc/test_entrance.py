from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketAttribute

from asyncmachine.errors import Refused, RpcError
from asyncmachine.machine import Machine
from asyncmachine.rpc.acl import Acl, TicketBook
from asyncmachine.rpc.client import Client, tcp
from asyncmachine.rpc.config import Limits, RpcConfig
from asyncmachine.rpc.entrance import Visit, check_listener
from asyncmachine.rpc.peers import Peer
from asyncmachine.rpc.server import Server
from asyncmachine.rpc.tls import Tls

KEY = bytes(range(32))
TLS = Tls(cert="c", key="k")


class Listener:
    """Listens, it says, on some address."""

    def __init__(self, *hosts: str) -> None:
        self.listeners = [Listener(host) for host in hosts] if len(hosts) > 1 else []
        self._host = hosts[0]

    def extra(self, attribute: Any, default: Any) -> Any:
        return (self._host, 1) if attribute is SocketAttribute.local_address else default


def refusal(acl: Acl, tls: Tls | None, *hosts: str, insecure: bool = False) -> str:
    try:
        check_listener(Listener(*hosts), acl, tls, insecure=insecure)
    except RpcError as error:
        return str(error)
    return ""


ANY = "0.0.0.0"  # noqa: S104 - what is refused


@pytest.mark.parametrize("host", [ANY, "::", "10.1.2.3", "192.168.0.9", "fe80::1%eth0", "::ffff:10.0.0.1"])
def test_what_others_can_reach_needs_both(host: str) -> None:
    psk, nobody, tickets = Acl.psk("r", KEY), Acl.open("r"), Acl.tickets("r", TicketBook())
    assert "without TLS and without authentication; give both, or insecure_allow_plaintext=True" in refusal(
        nobody, None, host
    )
    assert "without authentication;" in refusal(nobody, TLS, host)
    assert "without TLS;" in refusal(psk, None, host)
    assert "without TLS;" in refusal(tickets, None, host)
    assert refusal(psk, TLS, host) == ""
    assert refusal(tickets, TLS, host) == ""


def test_one_of_several_addresses_is_enough() -> None:
    assert refusal(Acl.open("r"), None, "127.0.0.1", "::1") == ""
    assert "10.0.0.1" in refusal(Acl.open("r"), None, "127.0.0.1", "10.0.0.1")


def test_the_way_round_is_said_aloud_each_time(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        assert refusal(Acl.psk("r", KEY), None, ANY, insecure=True) == ""
    assert [r.levelno for r in caplog.records] == [logging.WARNING] * 2
    assert "where others can connect, without TLS" in caplog.text
    caplog.clear()
    assert refusal(Acl.open("r"), None, "127.0.0.1", insecure=True) == ""
    assert caplog.records == []


def test_certificates_of_clients_need_a_ca() -> None:
    for tls in (None, TLS):
        assert "give Tls.ca" in refusal(Acl.mtls("r"), tls, "127.0.0.1")
    assert refusal(Acl.mtls("r"), Tls(cert="c", key="k", ca="a"), ANY) == ""


@pytest.mark.anyio
async def test_a_server_does_not_start_in_the_open(lamp: Machine, caplog: pytest.LogCaptureFixture) -> None:
    async with await anyio.create_tcp_listener(local_host=ANY) as listener:
        with pytest.raises(RpcError, match="without TLS and without authentication"):
            await Server(lamp, Acl.open("client")).serve(listener)
        server = Server(lamp, Acl.open("client"), insecure_allow_plaintext=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, listener)
            port = listener.extra(SocketAttribute.local_port)
            client = Client(tcp("127.0.0.1", port), lamp.schema, client_id="me")
            tasks.start_soon(client.run)
            with anyio.fail_after(5):
                await client.ready()
            client.stop()
            tasks.cancel_scope.cancel()
    assert "without TLS and without authentication" in caplog.text


async def until(check: Any) -> None:
    with anyio.fail_after(5):
        while not check():
            await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
async def test_strangers_of_one_address_wait_for_each_other_and_hold_up_nobody_else(lamp: Machine) -> None:
    """H1, H58: 16 are heard, some wait unheard, the rest is closed; who is in does not notice."""
    limits = Limits(preauth_waiting=4)
    server = Server(lamp, Acl.open("client"), config=RpcConfig(limits=limits), max_sessions=9)
    gate = server.entrance.gate
    async with AsyncExitStack() as stack:
        listener = await stack.enter_async_context(await anyio.create_tcp_listener(local_host="127.0.0.1"))
        tasks = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(tasks.cancel_scope.cancel)
        tasks.start_soon(server.serve, listener)
        port = listener.extra(SocketAttribute.local_port)
        good = Client(tcp("127.0.0.1", port), lamp.schema, client_id="good")
        tasks.start_soon(good.run)
        mirror = await good.ready()
        silent = [
            await stack.enter_async_context(await anyio.connect_tcp("127.0.0.1", port)) for _ in range(16)
        ]
        await until(lambda: gate.unauthenticated == 16)
        late = Client(tcp("127.0.0.1", port), lamp.schema, client_id="late")
        tasks.start_soon(late.run)
        await until(lambda: len(server.entrance._waiting) == 1)
        for _ in range(3):
            await stack.enter_async_context(await anyio.connect_tcp("127.0.0.1", port))
        await until(lambda: len(server.entrance._waiting) == 4)
        async with await anyio.connect_tcp("127.0.0.1", port) as extra:
            with anyio.fail_after(5), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await extra.receive()
        assert (await mirror.add("Start")).executed
        await silent.pop().aclose()
        with anyio.fail_after(5):
            await late.ready()
        assert (await late.machine.add("On")).executed
        good.stop()
        late.stop()


@pytest.mark.anyio
async def test_who_guesses_waits(lamp: Machine) -> None:
    """H46, H57: after five failures each guess takes longer than the one before."""
    limits = Limits(refusal_seconds=0.001, failures=2, failure_delay=0.15)
    server = Server(lamp, Acl.tickets("client", TicketBook()), config=RpcConfig(limits=limits))
    took: list[float] = []
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(server.serve, listener)
        port = listener.extra(SocketAttribute.local_port)
        for _ in range(4):
            began = anyio.current_time()
            client = Client(tcp("127.0.0.1", port), lamp.schema, client_id="x", ticket=KEY)
            with anyio.fail_after(5):
                await client.run()
            assert isinstance(client.error, Refused)
            took.append(anyio.current_time() - began)
        tasks.cancel_scope.cancel()
    assert took[2] >= 0.1
    assert took[3] >= 0.15


@pytest.mark.anyio
async def test_who_gives_up_waiting_leaves_no_trace(lamp: Machine) -> None:
    limits = Limits(preauth_connections=1, preauth_seconds=0.05)
    server = Server(lamp, Acl.open("client"), config=RpcConfig(limits=limits))
    entrance = server.entrance
    assert entrance.gate.enter("")
    assert not await entrance.wait("", limits)
    visit = Visit(entrance, Peer())

    async def come() -> None:
        try:
            await visit.enter(Limits())
            await anyio.sleep_forever()
        finally:
            visit.over()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(come)
        await until(lambda: len(entrance._waiting) == 1)
        entrance.left("")  # the visitor has the place now, and is cancelled before it knows
        tasks.cancel_scope.cancel()
    assert entrance._waiting == []
    assert entrance.gate.unauthenticated == 0
