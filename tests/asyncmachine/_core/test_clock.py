from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmachine._core.clock import active_mask, compare, next_active, next_inactive

TICKS = st.integers(min_value=0, max_value=2**64)


@given(TICKS)
def test_next_active_is_the_next_odd_tick_above(tick: int) -> None:
    assert next_active(tick) % 2 == 1
    assert tick < next_active(tick) <= tick + 2


@given(TICKS)
def test_next_inactive_is_the_next_even_tick_above(tick: int) -> None:
    assert next_inactive(tick) % 2 == 0
    assert tick < next_inactive(tick) <= tick + 2


@given(st.lists(TICKS))
def test_active_mask_has_the_bits_of_odd_ticks(ticks: list[int]) -> None:
    assert [bool(active_mask(ticks) >> i & 1) for i in range(len(ticks))] == [t % 2 == 1 for t in ticks]


def test_compare_tells_the_four_kinds_of_moves_apart() -> None:
    change = compare((0, 1, 1, 2, 5, 4), (1, 2, 3, 4, 5, 4))
    assert change == (0b0001, 0b0010, 0b0100, 0b1000)
    assert change.moved == 0b1111


def test_compare_refuses_clocks_of_different_schemas() -> None:
    with pytest.raises(ValueError, match="zip"):
        compare((0, 1), (0, 1, 2))


@given(st.lists(st.tuples(TICKS, TICKS)))
def test_compare_puts_every_moved_state_in_exactly_one_kind(pairs: list[tuple[int, int]]) -> None:
    change = compare([a for a, _ in pairs], [b for _, b in pairs])
    for i, (old, new) in enumerate(pairs):
        assert sum(mask >> i & 1 for mask in change) == int(old != new)
