"""Who is at the other end of a stream, as far as the operating system or TLS says so."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anyio.abc import SocketAttribute

__all__ = ["Peer", "host_of", "identity_in", "is_loopback", "peer_of"]

_UCRED = struct.Struct("3i")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The other end of a stream.

    Attributes:
        host: its IP address; "" for a Unix socket, a socket pair, or memory.
        name: for the log.
        pid, uid, gid: of its process, on Unix sockets and socket pairs, where the system tells; else None.
        certificate: the identity in its verified certificate, "" without one.
        encrypted: the stream is TLS.
        channel: SHA-256 of the server's certificate, with TLS.
    """

    host: str = ""
    name: str = "a local peer"
    pid: int | None = None
    uid: int | None = None
    gid: int | None = None
    certificate: str = ""
    encrypted: bool = False
    channel: bytes = b""


def peer_of(stream: Any) -> Peer:
    """What is known of the peer of *stream*."""
    extra = getattr(stream, "extra", None)
    if extra is None:
        return Peer()
    address = extra(SocketAttribute.remote_address, None)
    raw = extra(SocketAttribute.raw_socket, None)
    pid, uid, gid = _credentials(raw)
    inet = isinstance(address, tuple)
    certificate = getattr(stream, "peer_certificate", None)
    return Peer(
        host=host_of(address[0]) if inet else "",
        name=f"{address[0]}:{address[1]}" if inet else str(address or "a local peer"),
        pid=pid,
        uid=uid,
        gid=gid,
        certificate=identity_in(certificate) if certificate is not None else "",
        encrypted=certificate is not None,
        channel=getattr(stream, "channel", b""),
    )


def _credentials(raw: Any) -> tuple[int | None, int | None, int | None]:
    if raw is None or raw.family != getattr(socket, "AF_UNIX", None) or not hasattr(socket, "SO_PEERCRED"):
        return None, None, None
    try:
        pid, uid, gid = _UCRED.unpack(raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    except OSError:  # it is gone already
        return None, None, None
    return pid, uid, gid


def identity_in(certificate: Mapping[str, Any]) -> str:
    """The identity in a certificate as ``ssl`` shows it: its one URI name, or its one DNS name; else "".

    The common name is not looked at. Two names of a kind are no identity: which one would it be?
    """
    names = certificate.get("subjectAltName", ())
    for kind in ("URI", "DNS"):
        found = [value for key, value in names if key == kind]
        if found:
            return found[0] if len(found) == 1 and len(found[0]) <= 255 else ""
    return ""


def host_of(text: str) -> str:
    """An address without its zone, and IPv4 as IPv4: ``::ffff:10.0.0.1`` is ``10.0.0.1``."""
    text = text.partition("%")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def is_loopback(host: str) -> bool:
    """Whether only this computer can reach it: a literal loopback address, or no address at all."""
    if not host:
        return True
    try:
        return ipaddress.ip_address(host_of(host)).is_loopback
    except ValueError:
        return False
