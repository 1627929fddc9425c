"""Typed args of states: what a mutation carries, and its form on the wire. Part of the ABI.

The wire knows null, booleans, integers, floats, text, bytes, lists and maps. An enum travels as the text
of its value, a record as a map of its fields, a time as text such as ``2026-11-24T22:01:00Z``, always in
UTC. Decoders are strict, nothing is coerced: :func:`to_wire` is the other way.

Public through :mod:`asyncmachine.schema`, the one module that generated code imports.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar, Self, TypeAlias, cast

from asyncmachine.errors import ArgsError, did_you_mean

__all__ = [
    "Args",
    "Decoder",
    "Record",
    "decode_any",
    "decode_bool",
    "decode_bytes",
    "decode_datetime",
    "decode_dict",
    "decode_enum",
    "decode_float",
    "decode_int",
    "decode_list",
    "decode_optional",
    "decode_record",
    "decode_str",
    "signature",
    "to_wire",
    "wire_enum",
    "wire_record",
]


Decoder: TypeAlias = Callable[[object, str], Any]
"""``(wire value, where) -> value``; raises :class:`ArgsError` naming *where*. Never coerces.

Those of this module have an attribute ``wire``, a text that says what they accept: peers compare it.
"""

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{6})?Z\Z")


def _expected(what: str, value: object, where: str) -> ArgsError:
    return ArgsError(f"{where}: expected {what}, got {type(value).__name__}")


def decode_bool(value: object, where: str) -> bool:
    """Accept true or false, nothing else."""
    if value is True or value is False:
        return value
    raise _expected("bool", value, where)


def decode_int(value: object, where: str) -> int:
    """Accept an integer within 64 bits; a bool is not one."""
    if type(value) is int:
        if -(2**63) <= value < 2**64:
            return value
        raise ArgsError(f"{where}: {value.bit_length()} bits do not fit in 64")
    raise _expected("int", value, where)


def decode_float(value: object, where: str) -> float:
    """Accept a finite float or an integer."""
    if type(value) is float or type(value) is int:
        number = float(value)
        if number - number == 0.0:
            return number
        raise ArgsError(f"{where}: {number} is not finite")
    raise _expected("float", value, where)


def decode_str(value: object, where: str) -> str:
    """Accept text."""
    if type(value) is str:
        return value
    raise _expected("str", value, where)


def decode_bytes(value: object, where: str) -> bytes:
    """Accept bytes."""
    if type(value) is bytes:
        return value
    raise _expected("bytes", value, where)


def decode_any(value: object, where: str) -> object:
    """Accept anything: for args declared ``local``, which never cross the wire."""
    return value


def decode_datetime(value: object, where: str) -> datetime:
    """Accept a time in UTC as text, ``2026-11-24T22:01:00Z``, with six digits of a fraction or none."""
    if type(value) is not str:
        raise _expected("a time as text", value, where)
    if not _TIME.match(value):
        raise ArgsError(f"{where}: {value[:40]!r} is not a time in UTC such as '2026-11-24T22:01:00Z'")
    try:
        return datetime.fromisoformat(value[:-1]).replace(tzinfo=UTC)
    except ValueError as error:
        raise ArgsError(f"{where}: {value!r}: {error}") from None


def _named(decoder: Decoder, wire: str) -> Decoder:
    cast(Any, decoder).wire = wire
    return decoder


def _wire(decoder: Decoder) -> str:
    """What a decoder accepts; of one that was written elsewhere only its name is known."""
    known = getattr(decoder, "wire", None) or getattr(decoder, "__qualname__", type(decoder).__qualname__)
    return str(known)


for _simple in (decode_bool, decode_int, decode_float, decode_str, decode_bytes, decode_any, decode_datetime):
    _named(_simple, _simple.__name__.removeprefix("decode_"))


def decode_list(item: Decoder) -> Decoder:
    """Accept a list whose every item passes *item*."""

    def decode(value: object, where: str) -> list[Any]:
        if isinstance(value, list | tuple):
            return [item(x, f"{where}[{i}]") for i, x in enumerate(value)]
        raise _expected("list", value, where)

    return _named(decode, f"list[{_wire(item)}]")


def decode_dict(item: Decoder) -> Decoder:
    """Accept a map with text keys whose every value passes *item*."""

    def decode(value: object, where: str) -> dict[str, Any]:
        if type(value) is dict:
            return {decode_str(k, f"{where} key"): item(x, f"{where}[{k!r}]") for k, x in value.items()}
        raise _expected("dict", value, where)

    return _named(decode, f"dict[{_wire(item)}]")


def decode_optional(item: Decoder) -> Decoder:
    """Accept null or what *item* accepts."""

    def decode(value: object, where: str) -> Any:
        return None if value is None else item(value, where)

    return _named(decode, f"{_wire(item)}?")


def decode_enum(kind: type[StrEnum]) -> Decoder:
    """Accept the text of one of the values of *kind*."""
    known = {member.value: member for member in kind}

    def decode(value: object, where: str) -> StrEnum:
        if type(value) is str and value in known:
            return known[value]
        if type(value) is not str:
            raise _expected(f"a value of {kind.__name__}", value, where)
        hint = did_you_mean(value, known) or f"; they are {', '.join(known)}"
        raise ArgsError(f"{where}: {kind.__name__} has no value {value[:80]!r}{hint}")

    return _named(decode, wire_enum(known))


def decode_record(kind: type[Record]) -> Decoder:
    """Accept a map of the fields of *kind*."""

    def decode(value: object, where: str) -> Record:
        if type(value) is dict:
            return kind(**_decoded(kind, value, f"{where}."))
        raise _expected(f"a map of the fields of {kind.__name__}", value, where)

    return _named(decode, wire_record(kind.signature()))


# ---------------------------------------------------------------------------------------------
# What peers compare


def signature(declared: Iterable[tuple[str, str, bool]]) -> str:
    """Args or fields as ``(name, what is accepted, has a default)`` in one text, whatever their order."""
    return ",".join(sorted(f"{name}{'=' if optional else ':'}{wire}" for name, wire, optional in declared))


def wire_enum(values: Iterable[str]) -> str:
    """What an enum with these values is on the wire."""
    return _short(f"({'|'.join(sorted(values))})")


def wire_record(inside: str) -> str:
    """What a record with this signature is on the wire."""
    return _short(f"{{{inside}}}")


def _short(text: str) -> str:
    """Records may hold records, so a text could grow without bounds; a hash stands for a long one."""
    if len(text) <= 128:
        return text
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


# ---------------------------------------------------------------------------------------------
# Fields


def _decoded(kind: type[_Typed], values: Mapping[str, object], where: str) -> dict[str, Any]:
    """The declared fields out of *values*, nothing else, and none missing."""
    decoded: dict[str, Any] = {}
    for key, value in values.items():
        decoder = kind.decoders.get(key)
        if decoder is None:
            raise ArgsError(f"{kind.__name__} has no field {where}{key}{did_you_mean(key, kind.decoders)}")
        decoded[key] = decoder(value, f"{where}{key}")
    for name in kind.decoders:
        if name not in decoded and not _optional(kind, name):
            raise ArgsError(f"{kind.__name__} needs field {where}{name}")
    return decoded


def _optional(kind: type[_Typed], name: str) -> bool:
    """Whether a field has a default."""
    spec = next(f for f in fields(cast(Any, kind)) if f.name == name)
    return spec.default is not MISSING or spec.default_factory is not MISSING


class _Typed:
    """What args and records share: ``decoders`` maps each field that crosses the wire to its decoder."""

    __slots__ = ()
    decoders: ClassVar[Mapping[str, Decoder]] = {}

    @classmethod
    def signature(cls) -> str:
        """What a peer must agree on: names and types of what crosses the wire, and which must be there."""
        return signature((name, _wire(d), _optional(cls, name)) for name, d in cls.decoders.items())


class Record(_Typed):
    """Base of the records under ``types:``. Subclasses are frozen, keyword-only dataclasses.

    Each generated module has classes of its own for the types that it inherits. Records of one name
    with equal fields are equal, whichever module they come from.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record) or type(self).__name__ != type(other).__name__:
            return NotImplemented
        return _values(self) == _values(other)

    def __hash__(self) -> int:
        return hash((type(self).__name__, *_values(self).items()))


def _values(record: Record) -> dict[str, Any]:
    return {spec.name: getattr(record, spec.name) for spec in fields(cast(Any, record))}


class Args(_Typed):
    """Base of the typed args of one state. Subclasses are frozen, keyword-only dataclasses."""

    __slots__ = ()

    @classmethod
    def decode(cls, values: Mapping[str, object]) -> Self:
        """Build from values that came over the wire.

        Raises:
            ArgsError: unknown or missing key, or a value of another type. Nothing is coerced.
        """
        decoded: dict[str, Any] = {}
        for key, value in values.items():
            decoder = cls.decoders.get(key)
            if decoder is None:
                raise ArgsError(f"{cls.__name__} has no arg {key!r}{did_you_mean(key, cls.decoders)}")
            decoded[key] = decoder(value, key)
        return cls.of(decoded)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Build from the keyword arguments of a local mutation; keys of other states are ignored.

        Raises:
            ArgsError: a required arg is missing.
        """
        own: dict[str, Any] = {}
        for spec in fields(cast(Any, cls)):
            if spec.name in values:
                own[spec.name] = values[spec.name]
            elif spec.default is MISSING and spec.default_factory is MISSING:
                raise ArgsError(f"{cls.__name__} needs arg {spec.name!r}")
        return cls(**own)

    def encode(self) -> dict[str, Any]:
        """The keyword arguments that :meth:`of` takes."""
        return {spec.name: getattr(self, spec.name) for spec in fields(cast(Any, self))}


# ---------------------------------------------------------------------------------------------
# To the wire


def to_wire(value: object, where: str = "args") -> Any:
    """A value, or args, with enums, records and times in their wire form; all else stays as it is.

    Raises:
        ArgsError: a time that does not say its zone.
    """
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Record):
        return {name: to_wire(x, f"{where}.{name}") for name, x in _values(value).items()}
    if isinstance(value, datetime):
        return _time(value, where)
    if isinstance(value, Mapping):
        return {key: to_wire(x, f"{where}.{key}") for key, x in value.items()}
    if isinstance(value, list | tuple):
        return [to_wire(x, f"{where}[{i}]") for i, x in enumerate(value)]
    return value


def _time(value: datetime, where: str) -> str:
    if value.utcoffset() is None:
        raise ArgsError(f"{where}: {value.isoformat()} has no time zone; use datetime.now(UTC)")
    try:
        return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"
    except OverflowError:
        raise ArgsError(f"{where}: {value.isoformat()} cannot be told in UTC") from None
