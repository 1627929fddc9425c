from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmachine._wire.frames import BadFlags, FrameError, FrameReader, TooBig, frame


def drain(reader: FrameReader) -> list[bytes]:
    found = []
    while (body := reader.next_body()) is not None:
        found.append(body)
    return found


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=8), st.data())
def test_any_segmentation_gives_the_same_bodies(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(frame, bodies))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    reader, found = FrameReader(100), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        reader.feed(stream[start:end])
        found += drain(reader)
    assert found == bodies
    assert not reader.partial


def test_bytes_one_by_one() -> None:
    reader, found = FrameReader(100), []
    for byte in frame(b"abc") + frame(b"d"):
        reader.feed(bytes([byte]))
        found += drain(reader)
    assert found == [b"abc", b"d"]


def test_ten_thousand_frames_in_one_chunk() -> None:
    reader = FrameReader(100)
    reader.feed(frame(b"x") * 10_000)
    assert len(drain(reader)) == 10_000


@pytest.mark.parametrize("size", [101, 0x80000000, 0xFFFFFFFF])
@pytest.mark.parametrize("first", [1, 4])
def test_a_length_above_the_limit_is_refused_on_its_four_bytes(size: int, first: int) -> None:
    reader = FrameReader(100)
    head = size.to_bytes(4, "big")
    reader.feed(head[:first])
    if first < 4:
        assert reader.next_body() is None
        reader.feed(head[first:])
    with pytest.raises(TooBig, match=str(size)):
        reader.next_body()


def test_a_body_at_the_limit_is_fine() -> None:
    reader = FrameReader(100)
    reader.feed(frame(bytes(100)))
    assert drain(reader) == [bytes(100)]


def test_an_empty_frame_is_refused() -> None:
    reader = FrameReader(100)
    reader.feed(b"\0\0\0\0\0")
    with pytest.raises(FrameError):
        reader.next_body()


@pytest.mark.parametrize("flags", [1, 2, 0x80, 0xFF])
def test_flags_of_another_version_are_refused(flags: int) -> None:
    reader = FrameReader(100)
    reader.feed(b"\0\0\0\1" + bytes([flags]) + b"x")
    with pytest.raises(BadFlags):
        reader.next_body()


def test_partial_tells_of_an_unfinished_frame() -> None:
    reader = FrameReader(100)
    assert not reader.partial
    reader.feed(frame(b"ab")[:-1])
    assert reader.next_body() is None
    assert reader.partial
    reader.feed(b"b")
    assert drain(reader) == [b"ab"]
    assert not reader.partial


def test_the_limit_can_change_between_two_frames() -> None:
    reader = FrameReader(2)
    reader.feed(frame(b"ab") + frame(b"abcd"))
    assert reader.next_body() == b"ab"
    reader.limit = 4
    assert reader.next_body() == b"abcd"
