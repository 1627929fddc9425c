"""TLS 1.3 with client certificates, over real sockets: who comes in, and what each is told (H4, H51, H52)."""

from __future__ import annotations

import datetime as dt
import logging
import os
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trustme
from anyio.abc import SocketAttribute

from asyncmachine.errors import NotConnected, Refused, RpcError
from asyncmachine.machine import Machine
from asyncmachine.rpc.acl import Acl
from asyncmachine.rpc.client import Client, Psk, tcp
from asyncmachine.rpc.config import Limits, RpcConfig
from asyncmachine.rpc.protocol.connection import PREFACE
from asyncmachine.rpc.server import Server
from asyncmachine.rpc.tls import Tls

CONFIG = RpcConfig(limits=Limits(preauth_seconds=2.0, refusal_seconds=0.01))
KEY = bytes(range(32))


class Pki:
    """A CA and what it has issued, as files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.authority = trustme.CA()
        self.ca = str(folder / "ca.pem")
        self.authority.cert_pem.write_to_path(self.ca)

    def issue(self, *names: str, **how: Any) -> tuple[str, str]:
        leaf = self.authority.issue_cert(*names, **how)
        base = self.folder / "-".join(name.replace("/", "_") for name in names)
        key, chain = f"{base}.key", f"{base}.pem"
        leaf.private_key_pem.write_to_path(key)
        Path(chain).write_bytes(b"".join(part.bytes() for part in leaf.cert_chain_pems))
        return chain, key

    def tls(self, *names: str, trust: Pki | None = None, **how: Any) -> Tls:
        cert, key = self.issue(*names, **how)
        return Tls(cert=cert, key=key, ca=(trust or self).ca)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("evil"))


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[int]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, listener)
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


async def knock(port: int, lamp: Machine, tls: Tls | None, **options: Any) -> str:
    """One session; what the server calls us. Raises what ``ready`` raises."""
    options = {"client_id": "#me", "reconnect": False, "config": CONFIG, **options}
    client = Client(tcp("127.0.0.1", port, tls=tls), lamp.schema, **options)
    failure: RpcError | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.run)
        with anyio.fail_after(5):
            try:
                mirror = await client.ready()
                assert (await mirror.add("Start")).executed
            except RpcError as error:
                failure = error
        client.stop()
    if failure is not None:
        raise failure
    return client.client_id


@pytest.mark.anyio
async def test_the_identity_is_in_the_certificate(lamp: Machine, pki: Pki) -> None:
    acl = Acl.mtls({"alice.pool": "client"})
    server = Server(lamp, acl, config=CONFIG, tls=pki.tls("127.0.0.1"))
    async with serving(server) as port:
        assert await knock(port, lamp, pki.tls("alice.pool")) == "alice.pool#me"
        assert await knock(port, lamp, pki.tls("alice.pool"), client_id="alice.pool") == "alice.pool"
        for claim in ("bob.pool", "bob.pool#1", "alice.pool.evil"):
            with pytest.raises(Refused, match=r"refused$"):
                await knock(port, lamp, pki.tls("alice.pool"), client_id=claim)
        with pytest.raises(Refused, match=r"refused$"):
            await knock(port, lamp, pki.tls("bob.pool"))
        with pytest.raises(Refused, match=r"refused$"):
            await knock(port, lamp, pki.tls("alice.pool", "bob.pool"), client_id="alice.pool")


def audited(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "asyncmachine.audit"]


@pytest.mark.anyio
async def test_the_client_is_told_why(
    lamp: Machine, pki: Pki, evil: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    cases: list[tuple[str, Tls, str, str]] = [
        ("none", Tls(ca=pki.ca), "certificate required", "peer did not return a certificate"),
        (
            "other CA",
            evil.tls("alice.pool", trust=pki),
            "unknown ca",
            "unable to get local issuer|self.signed",
        ),
        ("expired", pki.tls("alice.pool", not_after=past), "certificate expired", "has expired"),
    ]
    server = Server(lamp, Acl.mtls("client"), config=CONFIG, tls=pki.tls("127.0.0.1"))
    caplog.set_level(logging.INFO, "asyncmachine.audit")
    async with serving(server) as port:
        for _, tls, told, noted in cases:
            caplog.clear()
            with pytest.raises(Refused, match=told):
                await knock(port, lamp, tls)
            with anyio.fail_after(5):
                while not (audit := audited(caplog)):
                    await anyio.lowlevel.checkpoint()
            assert len(audit) == 1, audit
            assert '"refused"' in audit[0]
            assert re.search(noted, audit[0]), audit
        assert await knock(port, lamp, pki.tls("alice.pool")) == "alice.pool#me"
    assert server.entrance.gate.unauthenticated == 0


@pytest.mark.anyio
async def test_a_server_that_the_client_does_not_trust(lamp: Machine, pki: Pki, evil: Pki) -> None:
    async def at(tls: Tls) -> int:
        server = Server(lamp, Acl.open("client"), config=CONFIG, tls=tls)
        port = await stack.start(serve, server)
        return int(port)

    async def serve(server: Server, *, task_status: Any) -> None:
        async with serving(server) as port:
            task_status.started(port)
            await anyio.sleep_forever()

    async with anyio.create_task_group() as stack:
        plain = Tls(ca=pki.ca)
        cert, key = evil.issue("127.0.0.1")
        with pytest.raises(Refused, match=r"not accepted: (unable to get local issuer|self-signed)"):
            await knock(await at(Tls(cert=cert, key=key)), lamp, plain)
        cert, key = pki.issue("other.example")
        with pytest.raises(Refused, match=r"not accepted: .*IP address mismatch"):
            await knock(await at(Tls(cert=cert, key=key)), lamp, plain, client_id="me")
        named = Tls(ca=pki.ca, name="other.example")
        assert await knock(await at(Tls(cert=cert, key=key)), lamp, named, client_id="me") == "me"
        stack.cancel_scope.cancel()


@pytest.mark.anyio
async def test_older_versions_and_other_protocols(lamp: Machine, pki: Pki) -> None:
    server = Server(lamp, Acl.mtls("client"), config=CONFIG, tls=pki.tls("127.0.0.1"))
    mine = pki.tls("alice.pool")
    async with serving(server) as port:
        for change in ("version", "alpn"):
            context = mine.client_context()
            if change == "version":
                context.minimum_version = ssl.TLSVersion.TLSv1_2
                context.maximum_version = ssl.TLSVersion.TLSv1_2
            else:
                context.set_alpn_protocols(["h2"])
            with anyio.fail_after(5), pytest.raises((ssl.SSLError, anyio.EndOfStream)):
                async with await anyio.connect_tcp(
                    "127.0.0.1", port, ssl_context=context, tls_standard_compatible=False
                ) as stream:
                    await stream.receive()
        assert await knock(port, lamp, mine) == "alice.pool#me"


@pytest.mark.anyio
@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", PREFACE + bytes(100), b""])
async def test_plain_bytes_or_silence_at_a_tls_port(lamp: Machine, pki: Pki, data: bytes) -> None:
    """H4: an alert and the end, or just the end; within the time for strangers."""
    quick = RpcConfig(limits=Limits(preauth_seconds=0.2))
    server = Server(lamp, Acl.mtls("client"), config=quick, tls=pki.tls("127.0.0.1"))
    async with serving(server) as port:
        got = b""
        with anyio.fail_after(5):
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                if data:
                    await stream.send(data)
                try:
                    while True:
                        got += await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    pass
        assert got == b"" or (data and got[:1] == b"\x15")  # OpenSSL has no alert for what is not TLS at all
        assert b"ARPC" not in got
        with anyio.fail_after(5):
            while server.entrance.gate.unauthenticated:
                await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
async def test_tls_to_a_plain_port(lamp: Machine, pki: Pki) -> None:
    async with serving(Server(lamp, Acl.open("client"), config=CONFIG)) as port:
        with pytest.raises(NotConnected, match="within the TLS handshake"):
            await knock(port, lamp, Tls(ca=pki.ca))


@pytest.mark.anyio
async def test_a_key_over_tls_is_bound_to_the_server(lamp: Machine, pki: Pki) -> None:
    cert, key = pki.issue("127.0.0.1")
    server = Server(lamp, Acl.psk("client", {"bob": KEY}), config=CONFIG, tls=Tls(cert=cert, key=key))
    async with serving(server) as port:
        assert await knock(port, lamp, Tls(ca=pki.ca), psk=Psk(KEY), client_id="bob#1") == "bob#1"
        with pytest.raises(Refused, match=r"refused$"):
            await knock(port, lamp, Tls(ca=pki.ca), psk=Psk(bytes(32)), client_id="bob")
        # The handshake is passed on by somebody whose own certificate is good too: the proof does not fit.
        relay_cert, relay_key = pki.issue("127.0.0.1", "relay")
        async with relay(port, Tls(cert=relay_cert, key=relay_key), Tls(ca=pki.ca)) as other:
            with pytest.raises(Refused, match=r"refused$"):
                await knock(other, lamp, Tls(ca=pki.ca), psk=Psk(KEY), client_id="bob")


@asynccontextmanager
async def relay(port: int, mine: Tls, theirs: Tls) -> AsyncIterator[int]:
    """Ends TLS, and passes on what is inside."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")

    async def pump(source: Any, target: Any) -> None:
        try:
            while True:
                await target.send(await source.receive())
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            await target.aclose()

    async def serve() -> None:
        from asyncmachine.rpc.tls import wrap_server

        while True:
            near = await wrap_server(await listener.listeners[0].accept(), mine.server_context(), b"")
            far = await tcp("127.0.0.1", port, tls=theirs)()
            tasks.start_soon(pump, near, far)
            tasks.start_soon(pump, far, near)

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_certificates_are_renewed_while_it_runs(lamp: Machine, tmp_path: Path) -> None:
    old, new = Pki(tmp_path / "old"), Pki(tmp_path / "new")
    cert, key = old.issue("127.0.0.1")
    server = Server(lamp, Acl.open("client"), config=CONFIG, tls=Tls(cert=cert, key=key))
    async with serving(server) as port:
        assert await knock(port, lamp, Tls(ca=old.ca), client_id="me") == "me"
        replace(cert, b"nonsense", 1)
        assert await knock(port, lamp, Tls(ca=old.ca), client_id="me") == "me"
        fresh, fresh_key = new.issue("127.0.0.1")
        replace(key, content(fresh_key), 2)
        replace(cert, content(fresh), 2)
        assert await knock(port, lamp, Tls(ca=new.ca), client_id="me") == "me"
        with pytest.raises(Refused, match="not accepted"):
            await knock(port, lamp, Tls(ca=old.ca), client_id="me")


def replace(path: str, data: bytes, when: int) -> None:
    Path(path).write_bytes(data)
    os.utime(path, ns=(when, when))


def content(path: str) -> bytes:
    return Path(path).read_bytes()


def test_settings_that_are_wrong(pki: Pki, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give both, or none"):
        Tls(cert="x")
    with pytest.raises(RpcError, match=r"needs Tls\.cert and Tls\.key"):
        Tls(ca=pki.ca).server_context()
    with pytest.raises(RpcError, match="cannot use the TLS files '/nowhere'"):
        Tls(ca="/nowhere").client_context()
    (tmp_path / "x").write_text("no PEM")
    with pytest.raises(RpcError, match="cannot use the TLS files"):
        Tls(ca=str(tmp_path / "x")).client_context()


@pytest.mark.anyio
async def test_a_client_whose_files_are_wrong_stops(lamp: Machine) -> None:
    async with serving(Server(lamp, Acl.open("client"))) as port:
        with pytest.raises(Refused, match="cannot use the TLS files '/nowhere'"):
            await knock(port, lamp, Tls(ca="/nowhere"), reconnect=True)
