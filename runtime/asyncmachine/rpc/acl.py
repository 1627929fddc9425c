"""Who may come in, and as what. Pure: ``now`` is passed in."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from asyncmachine.errors import RpcError
from asyncmachine.rpc.protocol.messages import Op
from asyncmachine.schema import Schema

__all__ = ["NONE", "TICKET", "TICKET_SIZE", "Acl", "Rights", "TicketBook", "ticket_digest"]

NONE = "none"
TICKET = "ticket"
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


class Acl:
    """The door of a server: one method of authentication and the role it leads to.

    Attributes:
        method: ``none`` or ``ticket``.
        role: as in ``State.rpc``; "" may do nothing.
    """

    def __init__(self, method: str, role: str, tickets: TicketBook | None) -> None:
        self.method, self.role, self._book = method, role, tickets

    @classmethod
    def open(cls, role: str) -> Acl:
        """Everyone is let in with *role*. For socket pairs, Unix sockets and loopback only."""
        return cls(NONE, role, None)

    @classmethod
    def tickets(cls, role: str, tickets: TicketBook) -> Acl:
        """Holders of a ticket are let in with *role*."""
        return cls(TICKET, role, tickets)

    def check(self, client_id: str, proof: bytes | None, now: float) -> bool:
        """Whether :meth:`admit` would let this client in; nothing is used up."""
        if self._book is None:
            return True
        return proof is not None and self._book.valid(proof, client_id, now)

    def admit(self, client_id: str, proof: bytes | None, now: float) -> bool:
        """Let a client in, or not; its ticket is used up."""
        if self._book is None:
            return True
        return proof is not None and self._book.consume(proof, client_id, now)


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
