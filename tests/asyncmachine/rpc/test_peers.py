from __future__ import annotations

import os
import socket
from typing import Any

import anyio
import pytest

from asyncmachine.rpc.client import stream_of
from asyncmachine.rpc.peers import Peer, host_of, identity_in, is_loopback, peer_of


@pytest.mark.anyio
async def test_a_socket_pair_has_the_ids_of_its_process() -> None:
    one, other = socket.socketpair()
    stream: Any = await stream_of(one)
    peer = peer_of(stream)
    assert (peer.host, peer.name, peer.encrypted) == ("", "a local peer", False)
    if hasattr(socket, "SO_PEERCRED"):
        assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.getuid(), os.getgid())
    await stream.aclose()
    other.close()
    assert peer_of(stream).uid is None


@pytest.mark.anyio
async def test_a_tcp_stream_has_an_address() -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            peer = peer_of(stream)
    assert (peer.host, peer.name, peer.uid) == ("127.0.0.1", f"127.0.0.1:{port}", None)


def test_what_is_no_stream_of_the_system() -> None:
    assert peer_of(object()) == Peer()


@pytest.mark.parametrize(
    ("names", "identity"),
    [
        ((), ""),
        ((("DNS", "a"),), "a"),
        ((("URI", "spiffe://p/a"), ("DNS", "a")), "spiffe://p/a"),
        ((("DNS", "a"), ("DNS", "b")), ""),
        ((("URI", "u"), ("URI", "v"), ("DNS", "a")), ""),
        ((("IP Address", "1.2.3.4"), ("email", "a@b")), ""),
        ((("DNS", "x" * 256),), ""),
    ],
)
def test_the_identity_in_a_certificate(names: Any, identity: str) -> None:
    subject = ((("commonName", "root"),),)
    assert identity_in({"subject": subject, "subjectAltName": names}) == identity


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("", True),
        ("0.0.0.0", False),  # noqa: S104 - that it is none
        ("::", False),
        ("10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("localhost", False),  # a name, not an address
    ],
)
def test_loopback(host: str, local: bool) -> None:
    assert is_loopback(host) is local


def test_addresses_have_one_form() -> None:
    assert host_of("::ffff:10.0.0.1") == "10.0.0.1"
    assert host_of("fe80::1%eth0") == "fe80::1"
    assert host_of("name") == "name"
