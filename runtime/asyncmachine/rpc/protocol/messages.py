"""Messages and their wire form: one CBOR array ``[type, seq, ack, *fields]`` each.

A message is an immutable tuple of its fields, in wire order. Those of the handshake are rare and must
be able to grow: they have one field on the wire, a map with short text keys, of which unknown ones are
ignored. Of the others, up to 8 fields that this version does not know are ignored.

Every field is checked by type and range here, before anything uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple, TypeAlias

from asyncmachine.errors import ProtocolError

__all__ = [
    "EXTRA",
    "FATAL",
    "NOREPLY",
    "TYPES",
    "U64",
    "Auth",
    "Bye",
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
    "from_wire",
    "to_wire",
]

U64: Final = 2**64 - 1
EXTRA: Final = 8
NOREPLY: Final = 1


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
    """How a mutation ended. BUSY (3) and DENIED (5) are told by an ERROR with the request's id."""

    EXECUTED = 0
    CANCELED = 1
    QUEUED = 2
    EXPIRED = 4
    DISPOSED = 6


class PayloadStatus(IntEnum):
    """What became of a payload."""

    ACCEPTED = 0
    REJECTED = 1
    NO_CONSUMER = 2
    DUPLICATE = 3
    TOO_BIG = 4


class Hello(NamedTuple):
    """C to S. ``client_id`` is a claim until AUTH; ``schema`` is the digest of the client's schema."""

    vmin: int
    vmax: int
    client_id: str
    instance: bytes
    nonce: bytes
    auth: tuple[str, ...]
    schema: str
    kind: str


class Challenge(NamedTuple):
    """S to C: the version and the method chosen. ``heartbeat`` is in milliseconds."""

    version: int
    session: bytes
    nonce: bytes
    auth: str
    heartbeat: int


class Auth(NamedTuple):
    """C to S. ``proof`` is the ticket, or None for the method ``none``."""

    proof: bytes | None


class Welcome(NamedTuple):
    """S to C: the client is in. ``epoch`` is random per server; ``limits`` as ``Limits.as_wire``."""

    source: str
    kind: str
    epoch: int
    schema: str
    role: str
    limits: Mapping[str, int]


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

    ``flags``: with NOREPLY no RESULT is wanted; an ERROR still comes.
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
    | Result | Resync | Payload | PayloadAck
)  # fmt: skip


# -- checks ---------------------------------------------------------------------------------------


def _fault(what: str, value: object) -> ProtocolError:
    return ProtocolError(Code.TYPE, f"{what} cannot be {type(value).__name__}")


def _uint(value: object, what: str, top: int = U64) -> int:
    if type(value) is not int:
        raise _fault(what, value)
    if not 0 <= value <= top:
        raise ProtocolError(Code.TYPE, f"{what} is out of range")
    return value


def _text(value: object, what: str, top: int = 255) -> str:
    if type(value) is not str:
        raise _fault(what, value)
    if len(value) > top:
        raise ProtocolError(Code.LIMIT, f"{what} has {len(value)} characters, the limit is {top}")
    return value


def _bytes(value: object, what: str, low: int = 0, top: int = U64) -> bytes:
    if type(value) is not bytes:
        raise _fault(what, value)
    if not low <= len(value) <= top:
        raise ProtocolError(Code.LIMIT, f"{what} has {len(value)} bytes")
    return value


def _map(fields: Sequence[Any]) -> dict[str, object]:
    if len(fields) != 1 or type(fields[0]) is not dict:
        raise ProtocolError(Code.TYPE, "a handshake message holds one map")
    return fields[0]


def _hello(fields: Sequence[Any]) -> Hello:
    m = _map(fields)
    auth = m.get("auth")
    if type(auth) is not list or len(auth) > 8:
        raise ProtocolError(Code.TYPE, "auth is a list of at most 8 methods")
    return Hello(
        _uint(m.get("vmin"), "vmin", 255),
        _uint(m.get("vmax"), "vmax", 255),
        _text(m.get("id"), "id"),
        _bytes(m.get("inst"), "inst", 16, 16),
        _bytes(m.get("nonce"), "nonce", 32, 32),
        tuple(_text(a, "auth", 32) for a in auth),
        _text(m.get("sh"), "sh", 64),
        _text(m.get("kind"), "kind"),
    )


def _challenge(fields: Sequence[Any]) -> Challenge:
    m = _map(fields)
    return Challenge(
        _uint(m.get("v"), "v", 255),
        _bytes(m.get("sid"), "sid", 16, 16),
        _bytes(m.get("nonce"), "nonce", 32, 32),
        _text(m.get("auth"), "auth", 32),
        _uint(m.get("hb"), "hb", 3_600_000),
    )


def _auth(fields: Sequence[Any]) -> Auth:
    proof = _map(fields).get("proof")
    return Auth(None if proof is None else _bytes(proof, "proof", 0, 256))


def _welcome(fields: Sequence[Any]) -> Welcome:
    m = _map(fields)
    limits = m.get("lim")
    if type(limits) is not dict or len(limits) > 64:
        raise ProtocolError(Code.TYPE, "lim is a map of at most 64 numbers")
    return Welcome(
        _text(m.get("src"), "src"),
        _text(m.get("kind"), "kind"),
        _uint(m.get("epoch"), "epoch"),
        _text(m.get("sh"), "sh", 64),
        _text(m.get("role"), "role"),
        {_text(k, "lim"): _uint(v, "lim") for k, v in limits.items()},
    )


def _snapshot(f: Sequence[Any]) -> Snapshot:
    return Snapshot(_uint(f[0], "ver"), _uint(f[1], "qtick"), _bytes(f[2], "ticks"))


def _ready(f: Sequence[Any]) -> Ready:
    return Ready(_uint(f[0], "ver"))


def _bye(f: Sequence[Any]) -> Bye:
    return Bye(_uint(f[0], "code"), _text(f[1], "text", 65536))


def _error(f: Sequence[Any]) -> Error:
    rid = f[2]
    return Error(
        _uint(f[0], "code"),
        _text(f[1], "text", 65536),
        None if rid is None else _uint(rid, "rid"),
    )


def _ping(f: Sequence[Any]) -> Ping:
    return Ping(_uint(f[0], "stamp"))


def _pong(f: Sequence[Any]) -> Pong:
    return Pong(_uint(f[0], "stamp"))


def _mutate(f: Sequence[Any]) -> Mutate:
    rid, op, states, args, flags, ttl = f[:6]
    if type(states) is not list:
        raise _fault("states", states)
    for state in states:
        if type(state) is not int:
            raise _fault("a state index", state)
    if args is not None and type(args) is not bytes:
        raise _fault("args", args)
    return Mutate(
        _uint(rid, "rid"),
        _uint(op, "op", Op.TOGGLE),
        states,
        args,
        _uint(flags, "flags", NOREPLY),
        _uint(ttl, "ttl", 86_400_000),
    )


def _update(f: Sequence[Any]) -> Update:
    return Update(
        _uint(f[0], "base"),
        _uint(f[1], "ver"),
        _uint(f[2], "qtick"),
        _bytes(f[3], "diff"),
    )


def _result(f: Sequence[Any]) -> Result:
    rid, status, qtick, update = f[:4]
    if update is not None:
        if type(update) is not list or not 4 <= len(update) <= 4 + EXTRA:
            raise ProtocolError(Code.TYPE, "the update in RESULT is not one")
        update = _update(update)
    return Result(_uint(rid, "rid"), _uint(status, "status", 255), _uint(qtick, "qtick"), update)


def _resync(f: Sequence[Any]) -> Resync:
    return Resync(_uint(f[0], "have"))


def _payload(f: Sequence[Any]) -> Payload:
    pid, name, source, total, offset, data = f[:6]
    found = Payload(
        _uint(pid, "pid"), _text(name, "name"), _text(source, "source"),
        _uint(total, "total"), _uint(offset, "offset"), _bytes(data, "data"),
    )  # fmt: skip
    if offset or total != len(data):
        raise ProtocolError(Code.LIMIT, "chunked payloads are not spoken by this version")
    return found


def _payload_ack(f: Sequence[Any]) -> PayloadAck:
    return PayloadAck(_uint(f[0], "pid"), _uint(f[1], "status", 255), _text(f[2], "text", 65536))


_Decoder = Callable[[Sequence[Any]], Message]

_DECODERS: Final[Mapping[int, tuple[int, _Decoder]]] = {
    Type.HELLO: (1, _hello),
    Type.CHALLENGE: (1, _challenge),
    Type.AUTH: (1, _auth),
    Type.WELCOME: (1, _welcome),
    Type.SNAPSHOT: (3, _snapshot),
    Type.READY: (1, _ready),
    Type.BYE: (2, _bye),
    Type.ERROR: (3, _error),
    Type.PING: (1, _ping),
    Type.PONG: (1, _pong),
    Type.MUTATE: (6, _mutate),
    Type.RESULT: (4, _result),
    Type.UPDATE: (4, _update),
    Type.RESYNC: (1, _resync),
    Type.PAYLOAD: (6, _payload),
    Type.PAYLOAD_ACK: (3, _payload_ack),
}

TYPES: Final[Mapping[type[Any], int]] = {
    Hello: Type.HELLO, Challenge: Type.CHALLENGE, Auth: Type.AUTH, Welcome: Type.WELCOME,
    Snapshot: Type.SNAPSHOT, Ready: Type.READY, Bye: Type.BYE, Error: Type.ERROR, Ping: Type.PING,
    Pong: Type.PONG, Mutate: Type.MUTATE, Result: Type.RESULT, Update: Type.UPDATE,
    Resync: Type.RESYNC, Payload: Type.PAYLOAD, PayloadAck: Type.PAYLOAD_ACK,
}  # fmt: skip
"""Type of each message class."""

_MAP_KEYS: Final[Mapping[type[Any], tuple[str, ...]]] = {
    Hello: ("vmin", "vmax", "id", "inst", "nonce", "auth", "sh", "kind"),
    Challenge: ("v", "sid", "nonce", "auth", "hb"),
    Auth: ("proof",),
    Welcome: ("src", "kind", "epoch", "sh", "role", "lim"),
}


def from_wire(kind: int, fields: Sequence[Any]) -> Message:
    """The message in the *fields* after ``[type, seq, ack``.

    Raises:
        ProtocolError: unknown type, too few or far too many fields, a field of another type.
    """
    known = _DECODERS.get(kind)
    if known is None:
        raise ProtocolError(Code.PROTO, f"message type {kind} is not known")
    count, decode = known
    if not count <= len(fields) <= count + EXTRA:
        raise ProtocolError(Code.TYPE, f"{len(fields)} fields in {Type(kind).name}, expected {count}")
    return decode(fields)


def to_wire(message: Message) -> Sequence[Any]:
    """The fields after ``[type, seq, ack``: the inverse of :func:`from_wire`."""
    keys = _MAP_KEYS.get(type(message))
    return message if keys is None else (dict(zip(keys, message, strict=True)),)
