"""Args of a mutation on the wire: one CBOR map, opaque until the mutation is authorised. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asyncmachine._wire.cbor import CborError, decode, encode
from asyncmachine.errors import ArgsError, did_you_mean
from asyncmachine.schema import Decoder, Schema, to_wire

__all__ = ["decode_args", "encode_args"]


def encode_args(args: Mapping[str, Any], *, max_bytes: int, max_items: int) -> bytes | None:
    """Encode keyword arguments, with enums, records and times as the decoders want them; None when empty.

    Raises:
        ArgsError: a value has no wire form, or all are too large together.
    """
    if not args:
        return None
    try:
        data = _encode(args, max_items)
    except CborError as error:
        raise ArgsError(
            f"args {', '.join(args)} cannot be sent: {error}; "
            "send None, bool, int, float, str, bytes, datetime, enums and records of schemas, and lists and "
            "maps of those"
        ) from None
    if len(data) > max_bytes:
        raise ArgsError(f"args {', '.join(args)} take {len(data)} bytes, the peer accepts {max_bytes}")
    return data


def _encode(args: Mapping[str, Any], max_items: int) -> bytes:
    """Plain values as they are, which is the hot path; the others only when these did not do."""
    try:
        return encode(dict(args), max_items=max_items)
    except CborError:
        try:
            plain = to_wire(args)
        except RecursionError:
            raise CborError("nested too deep, or within itself") from None
        return encode(plain, max_items=max_items)


def decode_args(
    schema: Schema, called: Sequence[str], data: bytes | None, *, complete: bool, max_items: int
) -> dict[str, Any]:
    """Decode args for these called states, strictly: nothing undeclared, nothing coerced.

    Args:
        complete: args that a called state declares without a default must be there.

    Raises:
        ArgsError: unknown or missing key, a value of another type, or not a map.
    """
    try:
        values = decode(data, max_items=max_items) if data is not None else {}
    except CborError as error:
        raise ArgsError(f"args are not valid: {error}") from None
    if type(values) is not dict:
        raise ArgsError(f"args are a map, not {type(values).__name__}")
    if not values and not complete:
        return {}
    known: dict[str, Decoder] = {}
    decoded: dict[str, Any] = {}
    for name in called:
        declared = schema.states[name].args
        if declared is None:
            continue
        known.update(declared.decoders)
        own = {key: value for key, value in values.items() if key in declared.decoders}
        if complete:
            typed = declared.decode(own)
            decoded.update((key, getattr(typed, key)) for key in own)
        else:
            decoded.update((key, declared.decoders[key](value, key)) for key, value in own.items())
    for key in values:
        if key not in known:
            raise ArgsError(f"{', '.join(called)} take no arg {key!r}{did_you_mean(key, known)}")
    return decoded
