"""Who may come in, and as what. Pure: ``now`` is passed in."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from asyncmachine.errors import RpcError
from asyncmachine.rpc.peers import Peer
from asyncmachine.rpc.protocol.messages import Op
from asyncmachine.rpc.protocol.proofs import (
    KEY_SIZE,
    client_proof,
    full_id,
    identity_of,
    same,
    server_proof,
)
from asyncmachine.schema import Schema

__all__ = [
    "MTLS",
    "NONE",
    "PEERCRED",
    "PSK",
    "TICKET",
    "TICKET_SIZE",
    "Acl",
    "Admission",
    "Claim",
    "Rights",
    "Roles",
    "TicketBook",
    "check_key",
    "ticket_digest",
]

NONE = "none"
TICKET = "ticket"
PSK = "psk"
MTLS = "mtls"
PEERCRED = "peercred"
TICKET_SIZE = 32


def ticket_digest(ticket: bytes) -> bytes:
    """What is registered of a ticket: its SHA-256, 32 bytes."""
    return hashlib.sha256(ticket).digest()


@dataclass(slots=True)
class _Entry:
    digest: bytes
    client_id: str
    expires: float


class TicketBook:
    """Tickets that may be used once each. The tickets themselves are never kept, only their digests.

    Args:
        limit: tickets pending at a time.
    """

    def __init__(self, limit: int = 4) -> None:
        self._limit = limit
        self._entries: list[_Entry] = []

    def __len__(self) -> int:
        return len(self._entries)

    def clear(self) -> None:
        """Forget all tickets: none of them opens anything any more."""
        self._entries.clear()

    def register(self, digest: bytes, client_id: str, expires: float, *, now: float | None = None) -> None:
        """Accept the ticket with this SHA-256 from *client_id*, once, until *expires*.

        Args:
            expires: on the monotonic clock that is passed to :meth:`consume` as *now*.
            now: forgets tickets that have expired; without it they count until they are used.

        Raises:
            RpcError: too many are pending, or *digest* is not 32 bytes.
        """
        if len(digest) != hashlib.sha256().digest_size:
            raise RpcError(f"a ticket's digest has 32 bytes, not {len(digest)}; use ticket_digest()")
        if now is not None:
            self._entries = [e for e in self._entries if e.expires > now]
        if len(self._entries) >= self._limit:
            raise RpcError(f"{len(self._entries)} tickets are pending, the limit; revoke one first")
        self._entries.append(_Entry(digest, client_id, expires))

    def revoke(self, digest: bytes) -> bool:
        """Forget a ticket; whether it was there."""
        before = len(self._entries)
        self._entries = [e for e in self._entries if not hmac.compare_digest(e.digest, digest)]
        return len(self._entries) < before

    def _find(self, ticket: bytes, client_id: str, now: float) -> _Entry | None:
        digest = ticket_digest(ticket)
        found: _Entry | None = None
        for entry in self._entries:  # all of them, whatever is found: time says nothing
            same = hmac.compare_digest(entry.digest, digest)
            if same and entry.client_id == client_id and entry.expires > now:
                found = entry
        return found

    def valid(self, ticket: bytes, client_id: str, now: float) -> bool:
        """Whether :meth:`consume` would accept it."""
        return self._find(ticket, client_id, now) is not None

    def consume(self, ticket: bytes, client_id: str, now: float) -> bool:
        """Use a ticket up. False when it is unknown, used, expired or somebody else's."""
        entry = self._find(ticket, client_id, now)
        if entry is None:
            return False
        self._entries.remove(entry)
        return True


class Claim(NamedTuple):
    """What a client says of itself, and what is known of it."""

    client_id: str
    proof: bytes | None
    transcript: bytes = b""
    peer: Peer = Peer()


class Admission(NamedTuple):
    """A client that may come in. ``proof`` is for the client, that the server knows the key too."""

    client_id: str
    identity: str
    role: str
    proof: bytes = b""


Roles: TypeAlias = "str | Mapping[str, str]"
"""One role for all, or the role of each identity; who is not in it is refused."""


class Acl:
    """The door of a server: one method of authentication, and the roles it leads to.

    Roles are given by the owner of the server, per identity; what a role may do is said in the schema.

    Attributes:
        method: ``none``, ``ticket``, ``psk``, ``mtls`` or ``peercred``.
    """

    def __init__(self, method: str, roles: Roles, check: _Check) -> None:
        self.method = method
        self._roles = roles
        self._check = check

    @classmethod
    def open(cls, role: str) -> Acl:
        """Everyone is let in with *role*. For socket pairs, Unix sockets and loopback only."""
        return cls(NONE, role, lambda claim, now, use: _plain(claim))

    @classmethod
    def tickets(cls, role: str, tickets: TicketBook) -> Acl:
        """Holders of a ticket are let in with *role*."""

        def check(claim: Claim, now: float, use: bool) -> Admission | str:
            ticket = claim.proof
            if ticket is None or not (tickets.consume if use else tickets.valid)(
                ticket, claim.client_id, now
            ):
                return f"client {claim.client_id!r} has no valid ticket"
            return _plain(claim)

        return cls(TICKET, role, check)

    @classmethod
    def psk(cls, roles: Roles, keys: bytes | Mapping[str, bytes]) -> Acl:
        """Clients are let in that prove to know a key; the server proves it to them too.

        Args:
            keys: of each identity, or one for all: then anyone with the key can take any client id.

        Raises:
            RpcError: a key is shorter than 32 bytes, or a name cannot be an identity.
        """
        for name, key in keys.items() if isinstance(keys, Mapping) else [("", keys)]:
            check_key(key, name)

        def check(claim: Claim, now: float, use: bool) -> Admission | str:
            identity = identity_of(claim.client_id)
            key = keys.get(identity) if isinstance(keys, Mapping) else keys
            proof = claim.proof or b""
            channel = claim.peer.channel
            if (
                not same(client_proof(key or bytes(KEY_SIZE), claim.transcript, channel), proof)
                or key is None
            ):
                return f"client {claim.client_id!r} does not prove a key of this server"
            if not isinstance(keys, Mapping):
                return _plain(claim, server_proof(key, claim.transcript, channel))
            return Admission(claim.client_id, identity, "", server_proof(key, claim.transcript, channel))

        return cls(PSK, roles, check)

    @classmethod
    def mtls(cls, roles: Roles) -> Acl:
        """Clients are let in by their certificate: its URI name, or its DNS name, is their identity.

        The server needs TLS with a CA for clients. A client id is the identity, or ``identity#name``.
        """

        def check(claim: Claim, now: float, use: bool) -> Admission | str:
            return _proved(claim, claim.peer.certificate, "its certificate")

        return cls(MTLS, roles, check)

    @classmethod
    def peercred(cls, roles: Mapping[int, str]) -> Acl:
        """Processes of these users are let in, over a Unix socket or a socket pair.

        Args:
            roles: user id -> role. The identity is ``uid:1000``, a client id ``uid:1000#name``.
        """

        def check(claim: Claim, now: float, use: bool) -> Admission | str:
            uid = claim.peer.uid
            return _proved(claim, "" if uid is None else f"uid:{uid}", "the operating system")

        return cls(PEERCRED, {f"uid:{uid}": role for uid, role in roles.items()}, check)

    def admit(self, claim: Claim, now: float, *, use: bool = True) -> Admission | str:
        """Who a client is, or, as text for the log, why it is refused.

        Args:
            use: a ticket is used up; False only looks.
        """
        found = self._check(claim, now, use)
        if isinstance(found, str):
            return found
        role = self._roles if isinstance(self._roles, str) else self._roles.get(found.identity)
        if role is None:
            return f"{found.identity!r} has no role here"
        return found._replace(role=role)


_Check: TypeAlias = Callable[[Claim, float, bool], "Admission | str"]


def _plain(claim: Claim, proof: bytes = b"") -> Admission | str:
    """Nobody but the client itself says who it is."""
    if claim.client_id.startswith("#"):
        return f"client id {claim.client_id!r} needs an identity that is proved"
    return Admission(claim.client_id, claim.client_id, "", proof)


def _proved(claim: Claim, identity: str, by: str) -> Admission | str:
    client_id = full_id(identity, claim.client_id)
    if not identity:
        return f"client {claim.client_id!r} is nobody: {by} names no identity"
    if client_id is None or len(client_id) > 255:
        return f"client {claim.client_id!r} is {identity!r}, says {by}"
    return Admission(client_id, identity, "")


def check_key(key: bytes, name: str = "") -> None:
    """Raises :class:`RpcError` for a key that is too short or a name that cannot be an identity."""
    if len(key) < KEY_SIZE:
        raise RpcError(f"the key of {name or 'all'!r} must be at least {KEY_SIZE} random bytes")
    if "#" in name:
        raise RpcError(f"{name!r} cannot be an identity: it has a '#'")


class Rights:
    """What a role may do with the states of a schema, as masks. Deny by default.

    Attributes:
        read, add, remove: states on which it may.
    """

    __slots__ = ("add", "read", "remove", "role")

    def __init__(self, schema: Schema, role: str) -> None:
        self.role = role
        self.read = schema.allowed(role, "read")
        self.add = schema.allowed(role, "add")
        self.remove = schema.allowed(role, "remove")

    def missing(self, op: int, called: int, active: int) -> int:
        """States that stand in the way of *op*: of those called, and for SET of those it would end.

        Args:
            called, active: masks.
        """
        if op in (Op.ADD, Op.CAN_ADD):
            return called & ~self.add
        if op in (Op.REMOVE, Op.CAN_REMOVE):
            return called & ~self.remove
        if op == Op.TOGGLE:
            return called & ~(self.add & self.remove)
        return called & ~self.add | active & ~called & ~self.remove
