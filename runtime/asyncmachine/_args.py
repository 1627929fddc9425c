"""Typed args of states: what a mutation carries, and how it is decoded from the wire. Part of the ABI.

Public through :mod:`asyncmachine.schema`, the one module that generated code imports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, ClassVar, Self, TypeAlias, cast

from asyncmachine.errors import ArgsError, did_you_mean

__all__ = [
    "Args",
    "Decoder",
    "decode_any",
    "decode_bool",
    "decode_bytes",
    "decode_dict",
    "decode_float",
    "decode_int",
    "decode_list",
    "decode_optional",
    "decode_str",
]


Decoder: TypeAlias = Callable[[object, str], Any]
"""``(wire value, where) -> value``; raises :class:`ArgsError` naming *where*. Never coerces."""


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


def decode_list(item: Decoder) -> Decoder:
    """Accept a list whose every item passes *item*."""

    def decode(value: object, where: str) -> list[Any]:
        if isinstance(value, list | tuple):
            return [item(x, f"{where}[{i}]") for i, x in enumerate(value)]
        raise _expected("list", value, where)

    return decode


def decode_dict(item: Decoder) -> Decoder:
    """Accept a map with text keys whose every value passes *item*."""

    def decode(value: object, where: str) -> dict[str, Any]:
        if type(value) is dict:
            return {decode_str(k, f"{where} key"): item(x, f"{where}[{k!r}]") for k, x in value.items()}
        raise _expected("dict", value, where)

    return decode


def decode_optional(item: Decoder) -> Decoder:
    """Accept null or what *item* accepts."""
    return lambda value, where: None if value is None else item(value, where)


class Args:
    """Base of the typed args of one state. Subclasses are frozen, keyword-only dataclasses.

    ``decoders`` maps each field that may cross the wire to its decoder.
    """

    __slots__ = ()
    decoders: ClassVar[Mapping[str, Decoder]] = {}

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
