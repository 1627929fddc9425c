"""The grammar of types: what is read, what it comes to, and the regular expression that says the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amgen import arg_types

KINDS = {"Level": "enum", "Place": "record"}


@pytest.mark.parametrize(
    ("text", "annotation", "decoder"),
    [
        ("int", "int", "decode_int"),
        (" bytes ", "bytes", "decode_bytes"),
        ("datetime", "datetime", "decode_datetime"),
        ("float|None", "float | None", "decode_optional(decode_float)"),
        ("list[str]", "list[str]", "decode_list(decode_str)"),
        ("dict[str,bool]", "dict[str, bool]", "decode_dict(decode_bool)"),
        ("Level", "Level", "decode_enum(Level)"),
        ("list[ Place | None ]", "list[Place | None]", "decode_list(decode_optional(decode_record(Place)))"),
        (
            "dict[str, list[int | None]] | None",
            "dict[str, list[int | None]] | None",
            "decode_optional(decode_dict(decode_list(decode_optional(decode_int))))",
        ),
    ],
)
def test_types(text: str, annotation: str, decoder: str) -> None:
    expr = arg_types.parse(text)
    assert (str(expr), arg_types.decoder(expr, KINDS)) == (annotation, decoder)
    assert arg_types.parse(str(expr)) == expr


def test_named_types() -> None:
    expr = arg_types.parse("dict[str, list[Level | None]] | None")
    assert list(arg_types.named(expr)) == ["Level"]
    assert list(arg_types.named(arg_types.parse("list[int]"))) == []
    assert str(expr.base) == "dict[str, list[Level | None]]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unknown type ''; types are bool, int"),
        ("strr", "did you mean 'str'"),
        ("date", "unknown type 'date'"),
        ("datetim", "did you mean 'datetime'"),
        ("list", "unknown type 'list'"),
        ("list[int", "unknown type"),
        ("list[]", "unknown type"),
        ("dict[int, int]", r"dict\[str, T\]"),
        ("dict[str]", r"dict\[str, T\]"),
        ("int | str", "unknown type"),
        ("int | None | None", "None is given twice"),
        ("list[" * 9 + "int" + "]" * 9, "more than 8 deep"),
        ("int; import os", "unknown type"),
        ("print('x')", "unknown type"),
        ("Level()", "unknown type"),
        ("int\n", "unknown type"),
    ],
)
def test_other_types_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        arg_types.parse(text)


WORDS = ["int", "datetime", "Level", "None", " ", "|", "list[", "dict[", "str", ",", "]", "x", "\n"]


@given(st.lists(st.sampled_from(WORDS), max_size=12).map("".join))
@example("list[" * 8 + "int" + "]" * 8)
@example("list[" * 9 + "int" + "]" * 9)
@example("dict[ str , int | None ] | None")
@example("list[int | None | None]")
@example("int\n")
def test_the_pattern_accepts_what_is_read(text: str) -> None:
    try:
        arg_types.parse(text)
    except ValueError:
        read = False
    else:
        read = True
    # fullmatch, since "$" of Python also matches before a last newline, and that of JSON Schema does not
    assert bool(re.fullmatch(arg_types.pattern(), text)) == read
