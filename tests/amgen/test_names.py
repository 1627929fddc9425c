"""What may become a name, and literals of everything else."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amgen import names


@given(st.text())
def test_literals_are_exact_and_ascii(text: str) -> None:
    assert names.literal(text).isascii()
    assert ast.literal_eval(names.literal(text)) == text


@given(st.text(max_size=500), st.integers(30, 100))
def test_lines_of_literals_are_exact(text: str, width: int) -> None:
    lines = names.text_lines(text, width)
    assert ast.literal_eval(f"({' '.join(lines)})") == text
    assert "\n" not in "".join(lines)


@given(st.text(max_size=300))
def test_docstrings_are_harmless(text: str) -> None:
    source = f'"""{names.docstring(text, 0)}"""'
    assert source.isascii()
    tree = ast.parse(source)
    assert len(tree.body) == 1
    assert isinstance(tree.body[0], ast.Expr)
    assert isinstance(tree.body[0].value, ast.Constant)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", '"a"'),
        ("it's", '"it\'s"'),
        ('a "b"', "'a \"b\"'"),
        ("'\"", '"\'\\""'),
        ("\\", '"\\\\"'),
        ("\\'", '"\\\\\'"'),
        ("\n\x00é", '"\\n\\x00\\xe9"'),
        (None, "None"),
        (True, "True"),
        (-1.5, "-1.5"),
    ],
)
def test_literals_have_the_quotes_of_ruff(value: str | float | None, text: str) -> None:
    assert names.literal(value) == text


@pytest.mark.parametrize(
    ("text", "annotation", "decoder"),
    [
        ("int", "int", "decode_int"),
        (" bytes ", "bytes", "decode_bytes"),
        ("float|None", "float | None", "decode_optional(decode_float)"),
        ("list[str]", "list[str]", "decode_list(decode_str)"),
        ("dict[str,bool]", "dict[str, bool]", "decode_dict(decode_bool)"),
        (
            "dict[str, list[int | None]] | None",
            "dict[str, list[int | None]] | None",
            "decode_optional(decode_dict(decode_list(decode_optional(decode_int))))",
        ),
    ],
)
def test_types(text: str, annotation: str, decoder: str) -> None:
    assert names.arg_type(text) == (annotation, decoder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unknown type"),
        ("strr", "did you mean 'str'"),
        ("datetime", "unknown type 'datetime'"),
        ("list", "unknown type 'list'"),
        ("list[int", "unknown type"),
        ("dict[int, int]", r"dict\[str, T\]"),
        ("dict[str]", r"dict\[str, T\]"),
        ("int | str", "unknown type"),
        ("None", "unknown type"),
        ("int | None | None", "None is given twice"),
        ("list[" * 20 + "int" + "]" * 20, "more than 8 deep"),
        ("int; import os", "unknown type"),
        ("Any", "unknown type"),
    ],
)
def test_other_types_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        names.arg_type(text)


@pytest.mark.parametrize("text", ["client", "a", "a_1", "x" * 64])
def test_roles(text: str) -> None:
    assert names.role_name(text) is None


@pytest.mark.parametrize("text", ["Client", "1a", "", "a-b", "x" * 65, "a\n", "é"])
def test_no_roles(text: str) -> None:
    assert "not snake_case" in (names.role_name(text) or "")
