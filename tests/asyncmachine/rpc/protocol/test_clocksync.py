from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmachine.errors import ProtocolError
from asyncmachine.rpc.protocol.clocksync import (
    MAX_TICK,
    Fit,
    MirrorClock,
    pack_diff,
    pack_ticks,
    unpack_diff,
    unpack_ticks,
)
from asyncmachine.rpc.protocol.messages import Snapshot, Update

ticks = st.integers(0, MAX_TICK)


@given(st.lists(ticks, max_size=200))
def test_ticks_survive(values: list[int]) -> None:
    assert unpack_ticks(pack_ticks(values), len(values)) == values


@given(st.dictionaries(st.integers(0, 4000), st.integers(1, MAX_TICK), max_size=50))
def test_a_diff_survives(moved: dict[int, int]) -> None:
    pairs = sorted(moved.items())
    assert unpack_diff(pack_diff(pairs), 4001) == pairs


def test_the_example_of_the_wire_page() -> None:
    assert pack_diff([(0, 1), (2, 2)]) == bytes([0, 1, 1, 2])


@pytest.mark.parametrize(
    "data",
    [
        b"\x00",  # half a pair
        b"\x00\x00",  # moved by nothing
        b"\x03\x01",  # index 3 of 3
        b"\x00\x01\x02\x01",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01",  # an index of more than 64 bits
        b"\x00\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",  # a tick of 2**63
        b"\x80\x00\x01",  # not the shortest form
        b"\x00\x81",  # truncated
    ],
)
def test_a_bad_diff_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        unpack_diff(data, 3)


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\0\0", b"\0\0\x80", b"\0\0" + b"\xff" * 9 + b"\x01"])
def test_bad_ticks_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        unpack_ticks(data, 3)


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 300)), max_size=5), max_size=12), st.data()
)
def test_a_mirror_equals_its_source_however_updates_are_merged(
    steps: list[list[tuple[int, int]]], data: st.DataObject
) -> None:
    source, ver = [0] * 10, 1
    mirror = MirrorClock(10)
    mirror.snapshot(Snapshot(ver, 0, pack_ticks(source)))
    base, sent = ver, list(source)
    for step in steps:
        for index, delta in step:
            source[index] += delta
        ver += 1
        if data.draw(st.booleans()):
            moved = [
                (i, new - old) for i, (new, old) in enumerate(zip(source, sent, strict=True)) if new != old
            ]
            update = Update(base, ver, ver, pack_diff(moved))
            assert mirror.fit(update) is Fit.NEXT
            for index, old, new in mirror.apply(update):
                assert (old, new) == (sent[index], source[index])
            base, sent = ver, list(source)
            assert mirror.ticks == source
    assert mirror.ticks == sent
    assert mirror.ver == base


def test_how_updates_fit() -> None:
    mirror = MirrorClock(2)
    mirror.snapshot(Snapshot(5, 0, pack_ticks([1, 2])))
    assert mirror.fit(Update(5, 7, 0, b"")) is Fit.NEXT
    assert mirror.fit(Update(3, 5, 0, b"")) is Fit.OLD
    assert mirror.fit(Update(6, 7, 0, b"")) is Fit.GAP
    assert mirror.fit(Update(4, 7, 0, b"")) is Fit.GAP
    with pytest.raises(ProtocolError):
        mirror.fit(Update(5, 4, 0, b""))


def test_nothing_fits_a_lost_mirror_but_a_snapshot() -> None:
    mirror = MirrorClock(1)
    mirror.lost = True
    assert mirror.fit(Update(0, 1, 0, b"\0\1")) is Fit.GAP
    mirror.snapshot(Snapshot(4, 0, b"\x03"))
    assert not mirror.lost
    assert (mirror.ver, mirror.ticks) == (4, [3])


def test_a_mirror_never_goes_back() -> None:
    mirror = MirrorClock(2)
    mirror.snapshot(Snapshot(5, 0, pack_ticks([4, 4])))
    with pytest.raises(ProtocolError):
        mirror.snapshot(Snapshot(4, 0, pack_ticks([4, 4])))
    with pytest.raises(ProtocolError):
        mirror.snapshot(Snapshot(6, 0, pack_ticks([5, 3])))
    assert mirror.ticks == [4, 4]


def test_a_tick_that_would_overflow_is_refused_and_nothing_is_applied() -> None:
    mirror = MirrorClock(2)
    mirror.snapshot(Snapshot(1, 0, pack_ticks([1, MAX_TICK])))
    with pytest.raises(ProtocolError):
        mirror.apply(Update(1, 2, 0, pack_diff([(0, 1), (1, 1)])))
    assert mirror.ticks == [1, MAX_TICK]
