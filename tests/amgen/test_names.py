"""What may become a name, and literals of everything else."""

from __future__ import annotations

import ast
import builtins
import keyword
import re

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


@pytest.mark.parametrize("text", ["Level", "A", "URL2", "ArgsOf"])
def test_types(text: str) -> None:
    assert names.type_name(text) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("level", "type name 'level' is not CamelCase"),
        ("Event", "reserved"),
        ("StrEnum", "reserved"),
        ("ValueError", "reserved"),
        ("WindowsError", "reserved"),
        ("JobArgs", "ends with 'Args'"),
    ],
)
def test_no_types(text: str, message: str) -> None:
    assert message in (names.type_name(text) or "")


@pytest.mark.parametrize(
    ("value", "member"),
    [
        ("low", "LOW"),
        ("GET", "GET"),
        ("text/plain", "TEXT_PLAIN"),
        ("v1.2-b:x_", "V1_2_B_X_"),
        ("mro", "MRO"),
    ],
)
def test_values_of_enums(value: str, member: str) -> None:
    assert names.member_value(value) is None
    assert names.member_name(value) == member
    assert member.isidentifier()


@pytest.mark.parametrize("value", ["", "2fa", "_x", "a b", "é", "a\n", "x" * 65])
def test_no_values_of_enums(value: str) -> None:
    assert "is not a letter, then" in (names.member_value(value) or "")


def test_all_that_python_takes_for_itself_is_reserved() -> None:
    """Whatever the version of Python that runs the compiler: what is reserved is written out."""
    camel = {name for name in dir(builtins) if re.fullmatch(names.CLASS, name)} - {"Exception"}
    assert camel <= names.RESERVED_CLASSES
    assert set(keyword.kwlist) <= names.RESERVED_CLASSES | names.RESERVED_ARGS


@pytest.mark.parametrize("text", ["client", "a", "a_1", "x" * 64])
def test_roles(text: str) -> None:
    assert names.role_name(text) is None


@pytest.mark.parametrize("text", ["Client", "1a", "", "a-b", "x" * 65, "a\n", "é"])
def test_no_roles(text: str) -> None:
    assert "not snake_case" in (names.role_name(text) or "")
