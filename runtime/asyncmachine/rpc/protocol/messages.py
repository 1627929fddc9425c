"""Messages and their wire form: one CBOR array ``[type, seq, ack, *fields]`` each.

A message is an immutable tuple of its fields, in wire order. Those of the handshake are rare and must
be able to grow: they have one field on the wire, a map with short text keys, of which unknown ones are
ignored. Of the others, up to 8 fields that this version does not know are ignored.

:mod:`.codec` turns them into bytes and back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

__all__ = [
    "FATAL",
    "NOREPLY",
    "WAIT_FINAL",
    "Auth",
    "Bye",
    "Cancel",
    "Challenge",
    "Code",
    "Error",
    "Hello",
    "Message",
    "Mutate",
    "Op",
    "Payload",
    "PayloadAck",
    "PayloadStatus",
    "Ping",
    "Pong",
    "Ready",
    "Result",
    "Resync",
    "Snapshot",
    "Status",
    "Type",
    "Update",
    "Welcome",
]

NOREPLY: Final = 1
WAIT_FINAL: Final = 2


class Type(IntEnum):
    """Message types. Numbers not listed are reserved."""

    HELLO = 1
    CHALLENGE = 2
    AUTH = 3
    WELCOME = 4
    SNAPSHOT = 5
    READY = 6
    BYE = 7
    ERROR = 8
    PING = 10
    PONG = 11
    MUTATE = 20
    RESULT = 21
    CANCEL = 22
    UPDATE = 30
    RESYNC = 32
    PAYLOAD = 40
    PAYLOAD_ACK = 41


class Code(IntEnum):
    """Reasons in ERROR and BYE."""

    OK = 0
    PROTO = 1
    VERSION = 2
    AUTH = 3
    DENIED = 4
    BUSY = 5
    SCHEMA = 6
    LIMIT = 7
    STATE = 8
    DISPOSED = 9
    SLOW = 10
    TIMEOUT = 11
    INTERNAL = 12
    MOVED = 13
    LEASE = 14
    FRAME = 15
    TOO_BIG = 16
    CBOR = 17
    TYPE = 18
    ORDER = 19
    ARGS = 20
    RATE = 21
    MIRROR = 22


FATAL: Final = frozenset((Code.VERSION, Code.AUTH, Code.DENIED, Code.SCHEMA, Code.LEASE))
"""Connecting again will not help."""


class Op(IntEnum):
    """What MUTATE asks for. TOGGLE and the checks are evaluated at the source."""

    ADD = 0
    REMOVE = 1
    SET = 2
    CAN_ADD = 3
    CAN_REMOVE = 4
    TOGGLE = 5


class Status(IntEnum):
    """How a mutation ended. BUSY (3) and DENIED (5) are told by an ERROR with the request's id.

    FORGOTTEN: it was asked before and has ended, nobody knows how any more.
    """

    EXECUTED = 0
    CANCELED = 1
    QUEUED = 2
    EXPIRED = 4
    DISPOSED = 6
    FORGOTTEN = 7


class PayloadStatus(IntEnum):
    """What became of a payload."""

    ACCEPTED = 0
    REJECTED = 1
    NO_CONSUMER = 2
    DUPLICATE = 3
    TOO_BIG = 4


class Hello(NamedTuple):
    """C to S. ``client_id`` is a claim until AUTH; ``schema`` is the digest of the client's schema.

    ``source`` is the id of the machine that is wanted, where a port has several; "" for any.
    """

    vmin: int
    vmax: int
    client_id: str
    instance: bytes
    nonce: bytes
    auth: tuple[str, ...]
    schema: str
    kind: str
    source: str = ""


class Challenge(NamedTuple):
    """S to C: the version and the method chosen. ``heartbeat`` is in milliseconds."""

    version: int
    session: bytes
    nonce: bytes
    auth: str
    heartbeat: int


class Auth(NamedTuple):
    """C to S. ``proof`` is the ticket, or the proof of a key; None for the other methods."""

    proof: bytes | None


class Welcome(NamedTuple):
    """S to C: the client is in. ``epoch`` is random per server; ``limits`` as ``Limits.as_wire``.

    ``client_id`` is what the client is called here, ``proof`` that the server knows the key, with ``psk``.
    ``last``: the highest request id that this life of the client has used here, None if it is not known.
    """

    source: str
    kind: str
    epoch: int
    schema: str
    role: str
    limits: Mapping[str, int]
    client_id: str = ""
    proof: bytes = b""
    last: int | None = None


class Snapshot(NamedTuple):
    """S to C: all ticks, packed varints in index order; states the role may not read are 0."""

    ver: int
    qtick: int
    ticks: bytes


class Ready(NamedTuple):
    """C to S: the snapshot is installed; pushes may begin."""

    ver: int


class Bye(NamedTuple):
    """A planned end."""

    code: int
    text: str


class Error(NamedTuple):
    """A failure: of request ``rid``, or of the connection when it is None."""

    code: int
    text: str
    rid: int | None


class Ping(NamedTuple):
    """``stamp``: microseconds on the sender's clock, echoed in PONG."""

    stamp: int


class Pong(NamedTuple):
    """Answer to PING, by the loop that also runs the machine."""

    stamp: int


class Mutate(NamedTuple):
    """C to S. ``states`` are indexes, ``args`` one CBOR map as opaque bytes, ``ttl`` milliseconds.

    ``flags``: with NOREPLY no RESULT is wanted; an ERROR still comes. With WAIT_FINAL the RESULT comes when
    the mutation was processed, not when it was queued.
    """

    rid: int
    op: int
    states: Sequence[int]
    args: bytes | None
    flags: int
    ttl: int


class Update(NamedTuple):
    """S to C: from version ``base`` to ``ver``; ``diff`` as in :mod:`.clocksync`."""

    base: int
    ver: int
    qtick: int
    diff: bytes


class Result(NamedTuple):
    """S to C. ``update`` is what the mirror still lacks to show the effect."""

    rid: int
    status: int
    qtick: int
    update: Update | None


class Cancel(NamedTuple):
    """C to S: nobody waits for request ``rid`` any more. What still waits at the source is taken back."""

    rid: int


class Resync(NamedTuple):
    """C to S: the mirror is at ``have`` and lost track; a SNAPSHOT answers."""

    have: int


class Payload(NamedTuple):
    """S to C. ``total`` and ``offset`` are there for chunking: one chunk in this version."""

    pid: int
    name: str
    source: str
    total: int
    offset: int
    data: bytes


class PayloadAck(NamedTuple):
    """C to S: what the consumer said."""

    pid: int
    status: int
    text: str


Message: TypeAlias = (
    Hello | Challenge | Auth | Welcome | Snapshot | Ready | Bye | Error | Ping | Pong | Mutate | Update
    | Result | Cancel | Resync | Payload | PayloadAck
)  # fmt: skip
