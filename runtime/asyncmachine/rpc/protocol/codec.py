"""Messages to wire fields and back. Every field is checked by type and range before anything uses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from asyncmachine.errors import ProtocolError
from asyncmachine.rpc.protocol.messages import (
    NOREPLY,
    WAIT_FINAL,
    Auth,
    Bye,
    Cancel,
    Challenge,
    Code,
    Error,
    Hello,
    Message,
    Mutate,
    Op,
    Payload,
    PayloadAck,
    Ping,
    Pong,
    Ready,
    Result,
    Resync,
    Snapshot,
    Type,
    Update,
    Welcome,
)

__all__ = ["EXTRA", "TYPES", "U64", "from_wire", "to_wire"]

U64: Final = 2**64 - 1
EXTRA: Final = 8
"""So many trailing fields that this version does not know are ignored."""


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
        _text(m.get("src", ""), "src"),
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
        _text(m.get("id", ""), "id"),
        _bytes(m.get("proof", b""), "proof", 0, 64),
        None if m.get("rid") is None else _uint(m["rid"], "rid"),
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
        _uint(flags, "flags", NOREPLY | WAIT_FINAL),
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


def _cancel(f: Sequence[Any]) -> Cancel:
    return Cancel(_uint(f[0], "rid"))


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
    Type.CANCEL: (1, _cancel),
    Type.UPDATE: (4, _update),
    Type.RESYNC: (1, _resync),
    Type.PAYLOAD: (6, _payload),
    Type.PAYLOAD_ACK: (3, _payload_ack),
}

TYPES: Final[Mapping[type[Any], int]] = {
    Hello: Type.HELLO, Challenge: Type.CHALLENGE, Auth: Type.AUTH, Welcome: Type.WELCOME,
    Snapshot: Type.SNAPSHOT, Ready: Type.READY, Bye: Type.BYE, Error: Type.ERROR, Ping: Type.PING,
    Pong: Type.PONG, Mutate: Type.MUTATE, Result: Type.RESULT, Cancel: Type.CANCEL, Update: Type.UPDATE,
    Resync: Type.RESYNC, Payload: Type.PAYLOAD, PayloadAck: Type.PAYLOAD_ACK,
}  # fmt: skip
"""Type of each message class."""

_MAP_KEYS: Final[Mapping[type[Any], tuple[str, ...]]] = {
    Hello: ("vmin", "vmax", "id", "inst", "nonce", "auth", "sh", "kind", "src"),
    Challenge: ("v", "sid", "nonce", "auth", "hb"),
    Auth: ("proof",),
    Welcome: ("src", "kind", "epoch", "sh", "role", "lim", "id", "proof", "rid"),
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
