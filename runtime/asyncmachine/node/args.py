"""What travels in the payloads of the node protocol, with strict decoders.

Values of users are CBOR: None, bool, int, float, str, bytes, lists and dicts with text keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Final, Self, cast

from asyncmachine._wire.cbor import CborError, decode, dump, encode
from asyncmachine.errors import ArgsError, WorkError, WorkFailed, WorkTimeout
from asyncmachine.schema import (
    Decoder,
    decode_bytes,
    decode_dict,
    decode_float,
    decode_int,
    decode_list,
    decode_str,
)

__all__ = [
    "ERROR",
    "GRANTED",
    "OK",
    "REFUSED",
    "TIMEOUT",
    "Answer",
    "LostNotice",
    "PoolStatus",
    "WorkResult",
    "WorkerStatus",
    "decode_value",
    "encode_value",
]

GRANTED: Final = "granted"
_MAX_ITEMS: Final = 1 << 18


def encode_value(value: object, what: str = "value") -> bytes:
    """Encode a value of the user.

    Raises:
        ArgsError: it holds something that CBOR has no plain form for, e.g. an object or a set.
    """
    try:
        return encode(value, max_items=_MAX_ITEMS)
    except CborError as error:
        raise ArgsError(
            f"{what} cannot be sent: {error}; "
            "use None, bool, int, float, str, bytes, lists and dicts with str keys"
        ) from None


def decode_value(data: bytes, what: str = "value") -> Any:
    """Decode what :func:`encode_value` made. Raises ``ArgsError``."""
    try:
        return decode(data, max_items=_MAX_ITEMS)
    except CborError as error:
        raise ArgsError(f"{what} is not valid CBOR: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """A map of named fields on the wire; unknown, missing or ill-typed ones are errors."""

    decoders: ClassVar[dict[str, Decoder]] = {}

    def encode(self) -> bytes:
        """As CBOR."""
        return encode_value(
            {f.name: _plain(getattr(self, f.name)) for f in fields(self)}, type(self).__name__
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raises ``ArgsError``."""
        return cls.from_wire(decode_value(data, cls.__name__), cls.__name__)

    @classmethod
    def from_wire(cls, value: object, where: str) -> Self:
        """From decoded CBOR."""
        values = decode_dict(lambda item, _: item)(value, where)
        if values.keys() != cls.decoders.keys():
            raise ArgsError(f"{where} has fields {sorted(values)}, expected {sorted(cls.decoders)}")
        return cls(
            **{name: decoder(values[name], f"{where}.{name}") for name, decoder in cls.decoders.items()}
        )


def _plain(value: object) -> object:
    if isinstance(value, _Record):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    return [_plain(v) for v in cast("tuple[object, ...]", value)] if isinstance(value, tuple) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(_Record):
    """The supervisor's answer to ProvideWorker. Exactly one final one comes per request.

    Attributes:
        status: ``granted``, ``queued`` (another answer follows), ``busy`` or ``denied``.
        lease: id of the lease; ``worker``, ``host``, ``port``, ``ticket``: where it is and what opens it.
        position: place in the queue; retry_after: seconds, for ``busy``.
    """

    request: int
    status: str
    reason: str = ""
    lease: int = 0
    worker: str = ""
    host: str = ""
    port: int = 0
    ticket: bytes = b""
    position: int = 0
    retry_after: float = 0.0
    decoders: ClassVar[dict[str, Decoder]] = {
        "request": decode_int,
        "status": decode_str,
        "reason": decode_str,
        "lease": decode_int,
        "worker": decode_str,
        "host": decode_str,
        "port": decode_int,
        "ticket": decode_bytes,
        "position": decode_int,
        "retry_after": decode_float,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class LostNotice(_Record):
    """The supervisor's word on a leased worker that died: which, and how.

    ``report`` is an encoded :class:`~asyncmachine.node.exits.ExitReport`.
    """

    worker: str
    lease: int
    reason: str
    report: bytes = b""
    decoders: ClassVar[dict[str, Decoder]] = {
        "worker": decode_str,
        "lease": decode_int,
        "reason": decode_str,
        "report": decode_bytes,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus(_Record):
    """One worker in ``am-node status``.

    ``age`` in seconds, ``jobs`` asked of it so far, ``rss``: its memory in bytes, 0 if not known.
    """

    worker: str
    phase: str
    pid: int
    age: float
    jobs: int
    client: str
    states: tuple[str, ...]
    rss: int = 0
    decoders: ClassVar[dict[str, Decoder]] = {
        "worker": decode_str,
        "phase": decode_str,
        "pid": decode_int,
        "age": decode_float,
        "jobs": decode_int,
        "client": decode_str,
        "states": lambda value, where: tuple(decode_list(decode_str)(value, where)),
        "rss": decode_int,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus(_Record):
    """What ``am-node status`` shows.

    Attributes:
        states: active states of the supervisor.
        started, lost: workers ever started, and died without having been asked to.
        waiting: requests in the queue.
        config: fields of its ``PoolConfig``.
        admin: path of the socket for administrators on its computer.
    """

    request: int
    kind: str
    states: tuple[str, ...]
    clients: tuple[str, ...]
    started: int
    lost: int
    waiting: int
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    admin: str = ""
    workers: tuple[WorkerStatus, ...] = field(default=())
    decoders: ClassVar[dict[str, Decoder]] = {
        "request": decode_int,
        "kind": decode_str,
        "states": lambda value, where: tuple(decode_list(decode_str)(value, where)),
        "clients": lambda value, where: tuple(decode_list(decode_str)(value, where)),
        "started": decode_int,
        "lost": decode_int,
        "waiting": decode_int,
        "config": decode_dict(lambda item, _: item),
        "admin": decode_str,
        "workers": lambda value, where: tuple(decode_list(WorkerStatus.from_wire)(value, where)),
    }


OK: Final = "ok"
ERROR: Final = "error"
TIMEOUT: Final = "timeout"
REFUSED: Final = "refused"

_DONE: Final = (int, str, bytes, float)
_SHAPES: Final = frozenset((_DONE, (int, str, str, str, str)))


@dataclass(frozen=True, slots=True)
class WorkResult:
    """One answer of a worker: positional on the wire, since there is one per call.

    ``status`` is ``ok`` (``value`` is the encoded result, ``seconds`` the time the work took), ``error``,
    ``timeout``, or ``refused``: it was not begun.
    """

    id: int
    status: str
    value: bytes = b""
    kind: str = ""
    message: str = ""
    traceback: str = ""
    seconds: float = 0.0

    def encode(self) -> bytes:
        """As CBOR."""
        if self.status == OK:
            return dump([self.id, OK, self.value, self.seconds])
        return dump([self.id, self.status, self.kind, self.message, self.traceback])

    @classmethod
    def decode(cls, data: bytes) -> WorkResult:
        """Raises ``ArgsError``."""
        row = decode_value(data, "result")
        if not isinstance(row, list) or tuple(map(type, row)) not in _SHAPES:
            raise ArgsError(f"result is {row!r:.200}, not a result")
        if len(row) == len(_DONE):
            return cls(row[0], row[1], value=row[2], seconds=row[3])
        return cls(row[0], row[1], kind=row[2], message=row[3], traceback=row[4])

    def error(self) -> WorkFailed | None:
        """The exception to raise at the caller, None for ``ok``."""
        if self.status == OK:
            return None
        if self.status == TIMEOUT:
            return WorkTimeout(self.message)
        return WorkError(self.kind, self.message, self.traceback)
