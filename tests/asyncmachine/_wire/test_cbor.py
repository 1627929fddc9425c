from __future__ import annotations

import datetime as dt
import math
import struct
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmachine._wire.cbor import MAX_DEPTH, MAX_ITEMS, CborError, decode, decode_small, dump, encode, scan

plain: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def same(one: object, other: object) -> bool:
    return repr(one) == repr(other)  # tells True from 1 and 1.0


@given(plain)
def test_what_is_encoded_is_decoded_to_the_same(value: Any) -> None:
    data = encode(value)
    assert same(decode(data), value)
    assert same(decode_small(data), value)


@given(st.binary(max_size=60))
def test_bytes_that_pass_the_scan_can_be_decoded_or_are_refused(data: bytes) -> None:
    try:
        value = decode(data)
    except CborError:
        return
    assert scan(data) >= 1
    again = encode(value)
    assert same(decode(again), value)
    assert len(again) <= len(data) or any(isinstance(x, float) for x in flat(value))


@given(st.binary(max_size=60))
def test_the_fast_way_accepts_no_trailing_bytes_and_no_tags(data: bytes) -> None:
    try:
        value = decode_small(data)
    except CborError:
        return
    assert cbor2.dumps(value) == data or scan(data)


def flat(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [leaf for item in value for leaf in flat(item)]
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in flat(item)]
    return [value]


HOSTILE = {
    "nothing": b"",
    "indefinite array": b"\x9f\x01\xff",
    "indefinite array, open": b"\x9f\x01",
    "indefinite map": b"\xbf\xff",
    "indefinite text": b"\x7f\x61a\xff",
    "indefinite bytes": b"\x5f\x41a\xff",
    "17 levels": b"\x81" * 17 + b"\x00",
    "401 levels": b"\x81" * 401 + b"\x00",
    "100,000 levels": b"\x81" * 100_000 + b"\x00",
    "17 maps": b"\xa1\x61a" * 17 + b"\x00",
    "array of 2**32 - 1": b"\x9a\xff\xff\xff\xff",
    "array of 2**63": b"\x9b" + struct.pack(">Q", 2**63),
    "map of 2**63: twice that overflows": b"\xbb" + struct.pack(">Q", 2**63),
    "bytes of 2**62": b"\x5b" + struct.pack(">Q", 2**62),
    "text of 2**62": b"\x7b" + struct.pack(">Q", 2**62),
    "duplicate keys": b"\xa2\x61a\x01\x61a\x02",
    "integer keys": b"\xa2\x01\x01\x02\x01",
    "key of bytes": b"\xa1\x41a\x01",
    "key of float": b"\xa1\xf9\x3c\x00\x01",
    "key of list": b"\xa1\x80\x01",
    "text that is not UTF-8": b"\x61\xff",
    "overlong UTF-8": b"\x62\xc0\xaf",
    "surrogate": b"\x63\xed\xa0\x80",
    "below -2**63": b"\x3b" + b"\xff" * 8,
    "undefined": b"\xf7",
    "simple 0": b"\xe0",
    "simple 255": b"\xf8\xff",
    "break alone": b"\xff",
    "reserved info 28": b"\x1c",
    "reserved info 30": b"\x5e",
    "two items": b"\x01\x02",
    "trailing byte": b"\x81\x01\x00",
    "trailing byte after a half float": b"\x81\xf9\x00\x00" + b"\x00" * 6,
    "truncated": b"\x82\x01",
    "truncated head": b"\x19\x01",
    "truncated text": b"\x63ab",
}

TAGS = (0, 1, 2, 3, 4, 5, 6, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)


CONTENTS = [b"\x00", b"\x60", b"\x41\x01", b"\x80", b"\x82\x01\x00", b"\xa0", b"\x61a"]


@pytest.mark.parametrize("name", HOSTILE)
def test_refuses(name: str) -> None:
    with pytest.raises(CborError):
        decode(HOSTILE[name])


FIELD_CHECKS = ("undefined", "simple", "integer keys", "key of", "below")


@pytest.mark.parametrize("name", [n for n in HOSTILE if not n.startswith(FIELD_CHECKS)])
def test_the_fast_way_refuses(name: str) -> None:
    with pytest.raises(CborError):
        decode_small(HOSTILE[name])


@pytest.mark.parametrize("way", [decode, decode_small])
@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("content", CONTENTS)
def test_refuses_every_tag_whatever_is_in_it(way: Any, tag: int, content: bytes) -> None:
    head = cbor2.dumps(cbor2.CBORTag(tag, 0))[:-1]
    with pytest.raises(CborError):
        way(head + content)
    with pytest.raises(CborError):
        way(b"\x81" + head + content)


def test_sixteen_levels_are_fine() -> None:
    data = b"\x81" * MAX_DEPTH + b"\x00"
    assert scan(data) == MAX_DEPTH + 1
    assert decode(data) == decode_small(data)


def test_a_mebibyte_of_empty_maps_is_refused_by_the_scan() -> None:
    with pytest.raises(CborError, match=f"more than {MAX_ITEMS} items"):
        decode(b"\x9a\x00\x10\x00\x00" + b"\xa0" * 2**20)


def test_a_mebibyte_of_bytes_is_two_items() -> None:
    assert scan(dump([bytes(2**20)])) == 2


@pytest.mark.parametrize(
    "value",
    [
        2**64,
        -(2**63) - 1,
        dt.date(2026, 1, 1),
        {1: 2},
        {b"a": 1},
        {1, 2},
        object(),
        cbor2.CBORTag(1, 0),
        [[2**70]],
    ],
)
def test_does_not_encode_what_it_would_not_decode(value: object) -> None:
    with pytest.raises(CborError):
        encode(value)


def test_does_not_encode_a_circle() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(CborError):
        encode(circle)


def test_floats_are_left_to_the_checks_of_fields() -> None:
    assert math.isnan(decode(b"\xf9\x7e\x00"))
    assert decode(b"\xf9\x3c\x00") == decode_small(b"\xf9\x3c\x00") == 1.0
