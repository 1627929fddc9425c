"""Values of one shape: numbers as every reader of JSON has them, nothing, and what is told of the rest."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amgen.errors import Report, Span
from amgen.shapes import MAX_INT, Shapes, is_nothing, kind, number, whole
from amgen.source import ListNode, MapNode, ScalarNode

SPAN = Span("x.yaml")


def plain(text: str) -> ScalarNode:
    return ScalarNode(text, True, SPAN)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-MAX_INT, MAX_INT))
def test_numbers_of_json_are_read(value: float) -> None:
    assert number(plain(json.dumps(value))) == pytest.approx(value, rel=1e-15)


@given(st.integers(-(2**65), 2**65))
def test_whole_numbers_are_exact_within_64_bits(value: int) -> None:
    assert whole(plain(str(value))) == (value if -MAX_INT - 1 <= value <= MAX_INT else None)


@pytest.mark.parametrize("text", ["5", "5.0", "5e0", "50e-1"])
def test_a_whole_number_may_be_written_as_a_float(text: str) -> None:
    value = whole(plain(text))
    assert (value, type(value)) == (5, int)


@pytest.mark.parametrize(
    "text", ["5.5", "1e400", "1e19", "0x5", "05", "+5", "5.", ".5", "1_0", "", "-", "9" * 4000]
)
def test_other_text_is_no_whole_number(text: str) -> None:
    assert whole(plain(text)) is None


def test_a_quoted_number_is_text() -> None:
    assert number(ScalarNode("5", False, SPAN)) is None
    assert whole(ScalarNode("5", False, SPAN)) is None
    assert number(ListNode((plain("5"),), SPAN)) is None


@pytest.mark.parametrize("text", ["", "~", "null"])
def test_nothing(text: str) -> None:
    assert is_nothing(plain(text))
    assert not is_nothing(ScalarNode(text, False, SPAN))
    assert kind(plain(text)) == "nothing"


def test_what_stands_there_is_told() -> None:
    assert kind(plain("x" * 99)) == f"'{'x' * 60}'"
    assert kind(ScalarNode("true", False, SPAN)) == "the text 'true'"
    assert kind(MapNode((), SPAN)) == "a mapping"
    assert kind(ListNode((), SPAN)) == "a list"


def test_words_of_a_list() -> None:
    report = Report()
    items = (plain("a"), plain("b"), plain("a"), plain(""), MapNode((), SPAN))
    assert [n.value for n in Shapes(report).scalars(ListNode(items, SPAN), "tags")] == ["a", "b"]
    assert sorted(d.message for d in report.sorted()) == [
        "'a' is given twice in tags",
        "an item of tags must be a word, not a mapping",
        "an item of tags must be a word, not nothing",
    ]
