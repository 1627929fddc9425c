"""A strict profile of CBOR (RFC 8949), and the only importer of cbor2.

One item; definite lengths; no tags; no simple values but false, true and null; integers within 64
bits; text keys, unique; bounded depth and number of items. A scan of the structure comes before any
object is built, since a decoder of full CBOR turns 1 MiB of input into 69 MiB of empty maps, and runs
its built-in tag decoders (regular expressions, big decimals, shared references) before any hook.
"""

from __future__ import annotations

from typing import Any, Final

import cbor2

__all__ = ["MAX_DEPTH", "MAX_ITEMS", "CborError", "decode", "decode_small", "dump", "encode", "scan"]

MAX_DEPTH: Final = 16
MAX_ITEMS: Final = 4096

_TAGS = (
    0,
    1,
    2,
    3,
    4,
    5,
    25,
    28,
    29,
    30,
    35,
    36,
    37,
    52,
    54,
    100,
    256,
    258,
    260,
    261,
    1004,
    43000,
    55799,
)
_BREAK_AND_FLOATS: Final = frozenset((20, 21, 22, 25, 26, 27))

dump = cbor2.dumps
"""Encode a value that is known to consist of plain types, unchecked: the hot path."""


class CborError(ValueError):
    """Bytes that are not one item of the profile, or a value that does not fit into it."""


def _deny(*_: object) -> Any:
    raise CborError("tags are not allowed")


_DENY: dict[int, Any] = dict.fromkeys(_TAGS, _deny)


def scan(data: bytes, *, max_items: int = MAX_ITEMS, max_depth: int = MAX_DEPTH) -> int:
    """Check the structure without building anything; the number of items.

    Time is linear in the number of items, not of bytes: strings are skipped.

    Raises:
        CborError: *data* is not exactly one item of the profile.
    """
    size, at, items = len(data), 0, 0
    open_items: list[int] = [1]  # what is still to come on each level
    is_map: list[bool] = [False]
    while open_items:
        left = open_items[-1]
        if not left:
            open_items.pop()
            is_map.pop()
            continue
        open_items[-1] = left - 1
        if at >= size:
            raise CborError("truncated")
        head = data[at]
        at += 1
        items += 1
        if items > max_items:
            raise CborError(f"more than {max_items} items")
        major, info = head >> 5, head & 31
        if info < 24:
            value = info
        elif info < 28:
            width = 1 << (info - 24)
            value = int.from_bytes(data[at : at + width], "big")
            at += width
            if at > size:
                raise CborError("truncated")
        else:
            raise CborError("indefinite length" if info == 31 else f"reserved length {info}")
        if is_map[-1] and not left & 1 and major != 3:
            raise CborError("a map key that is not text")
        if major <= 1:
            if major and value >= 1 << 63:
                raise CborError("an integer below -2**63")
        elif major <= 3:
            at += value
            if at > size:
                raise CborError("a string longer than its frame")
        elif major <= 5:
            count = value << (major - 4)
            if count > size - at:
                raise CborError("a container longer than its frame")
            if len(open_items) > max_depth:
                raise CborError(f"nested deeper than {max_depth}")
            open_items.append(count)
            is_map.append(major == 5)
        elif major == 6:
            raise CborError(f"tag {value}: tags are not allowed")
        elif info not in _BREAK_AND_FLOATS:
            raise CborError(f"simple value {value}")
    if at != size:
        raise CborError(f"{size - at} bytes after the item")
    return items


def decode(data: bytes, *, max_items: int = MAX_ITEMS) -> Any:
    """The one item in *data*: None, bool, int, float, str, bytes, list, dict.

    Raises:
        CborError: it is not exactly one item of the profile.
    """
    scan(data, max_items=max_items)
    return _loads(data)


def decode_small(data: bytes) -> Any:
    """As :func:`decode`, for an envelope whose every field is checked by type afterwards: faster.

    No more items than bytes can be in it, so the scan has nothing to protect; what encodes to the same
    bytes again was exactly one item. Simple values, and integers and map keys beyond the profile, are
    left to the checks of the fields.
    """
    if len(data) > MAX_ITEMS:
        return decode(data)
    value = _loads(data)
    if dump(value) != data:
        scan(data)  # legal, if not in its shortest form, or what is wrong with it
    return value


def _loads(data: bytes) -> Any:
    try:
        return cbor2.loads(
            data,
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            semantic_decoders=_DENY,
            tag_hook=_deny,
        )
    except (cbor2.CBORError, ValueError) as error:
        raise CborError(str(error)) from None


def encode(value: object, *, max_items: int = MAX_ITEMS) -> bytes:
    """Encode a value of the user, checked against the profile.

    Raises:
        CborError: it holds something else than None, bool, int (64 bits), float, str, bytes, and
            lists, tuples and dicts with text keys of those.
    """
    try:
        data = cbor2.dumps(value)
    except (cbor2.CBORError, ValueError, TypeError, RecursionError) as error:
        raise CborError(str(error)) from None
    if not _is_flat(value):
        scan(data, max_items=max_items)
    return data


_SMALL: Final = 16
_FLAT: Final = frozenset((str, bytes, float, bool, type(None)))


def _is_flat(value: object) -> bool:
    """Whether *value* is of the profile for sure, by its types alone: the common small cases."""
    if type(value) is dict and len(value) <= _SMALL:
        return all(type(key) is str and _is_scalar(item) for key, item in value.items())
    return _is_scalar(value)


def _is_scalar(value: object) -> bool:
    return type(value) in _FLAT or (type(value) is int and -(1 << 63) <= value < 1 << 64)
