"""What a client has to show, and keys out of files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from asyncmachine.errors import RpcError
from asyncmachine.rpc.acl import MTLS, NONE, PEERCRED, PSK, TICKET, Acl, check_key
from asyncmachine.rpc.peers import Peer
from asyncmachine.rpc.protocol.proofs import client_proof, same, server_proof

__all__ = ["Credentials", "Psk", "read_keys", "same_user"]

LARGEST = 1024 * 1024  # of a file of keys


@dataclass(frozen=True, slots=True)
class Psk:
    """A key that client and server share: at least 32 random bytes.

    Attributes:
        name: whose it is, where the server has a key per identity; "" for one key for all.
    """

    key: bytes = field(repr=False)
    name: str = ""

    def __post_init__(self) -> None:
        check_key(self.key, self.name)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client can show. With a ticket or a key it accepts no server that does not ask for it."""

    ticket: bytes | None = field(default=None, repr=False)
    psk: Psk | None = None

    def methods(self, peer: Peer) -> tuple[str, ...]:
        """What it offers to a server."""
        if self.ticket is not None:
            return (TICKET,)
        if self.psk is not None:
            return (PSK,)
        return (MTLS, NONE) if peer.encrypted else (NONE, PEERCRED)

    def prove(self, transcript: bytes, peer: Peer) -> bytes | None:
        """What goes into AUTH."""
        if self.psk is None:
            return self.ticket
        return client_proof(self.psk.key, transcript, peer.channel)

    def convinced(self, proof: bytes, transcript: bytes, peer: Peer) -> bool:
        """Whether the server has shown what it must."""
        return self.psk is None or same(server_proof(self.psk.key, transcript, peer.channel), proof)


def read_keys(path: str | Path) -> bytes | dict[str, bytes]:
    """Keys from a file: one for all, or one per identity.

    A line is a key in hex, at least 64 digits, as ``openssl rand -hex 32`` makes it, or a name and such a
    key; empty lines and lines that begin with ``#`` are left out.

    Raises:
        RpcError: there is no such file, others can read it, or a line is wrong. No part of a key is shown.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
        with os.fdopen(descriptor) as file:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode) or about.st_size > LARGEST:
                raise RpcError(f"{path} is no regular file of at most {LARGEST} bytes")
            if about.st_mode & 0o077:
                raise RpcError(f"{path} can be read by others; chmod 600 {path}")
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RpcError(
            f"cannot read the keys in {path}: {getattr(error, 'strerror', None) or 'not text'}"
        ) from None
    keys: dict[str, bytes] = {}
    for name, key in _keys(lines, path):
        if name in keys:
            raise RpcError(f"{path} has two keys for {name or 'all'!r}")
        keys[name] = key
    if not keys or ("" in keys and len(keys) > 1):
        raise RpcError(f"{path} must have one key without a name, or only keys with names")
    return keys.get("", keys)


def _keys(lines: list[str], path: str | Path) -> Iterator[tuple[str, bytes]]:
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            key = bytes.fromhex(words[-1])
            check_key(key, words[0] if len(words) == 2 else "")
        except (ValueError, RpcError):
            key = b""
        if not key or len(words) > 2:
            raise RpcError(
                f"{path}:{number} is no key: 64 hex digits or more, with a name before them or none"
            )
        yield (words[0] if len(words) == 2 else ""), key


def same_user(role: str) -> Acl:
    """Processes of the user of this one are let in with *role*, over Unix sockets and socket pairs."""
    return Acl.peercred({os.getuid(): role})
