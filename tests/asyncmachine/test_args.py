"""Typed args: strict from the wire, lenient to the keyword arguments of other states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from asyncmachine import schema as s
from asyncmachine.errors import ArgsError
from asyncmachine.schema import Args, Decoder


@dataclass(frozen=True, slots=True, kw_only=True)
class JobArgs(Args):
    decoders: ClassVar[Mapping[str, Decoder]] = {"number": s.decode_int, "names": s.decode_list(s.decode_str)}
    number: int
    names: list[str] = field(default_factory=list)
    local: object = None


def test_args_decode_strictly() -> None:
    assert JobArgs.decode({"number": 1, "names": ["x"]}) == JobArgs(number=1, names=["x"])
    for bad, message in [
        ({"nummer": 1}, "did you mean 'number'?"),
        ({"number": 1, "local": 2}, "has no arg 'local'"),
        ({}, "needs arg 'number'"),
        ({"number": "1"}, "number: expected int, got str"),
        ({"number": 1, "names": [1]}, r"names\[0\]: expected str, got int"),
    ]:
        with pytest.raises(ArgsError, match=message.replace("?", r"\?")):
            JobArgs.decode(bad)


def test_args_of_a_local_mutation_ignore_those_of_other_states() -> None:
    args = JobArgs.of({"number": 1, "local": "x", "other": 2})
    assert args == JobArgs(number=1, local="x")
    assert JobArgs.of(args.encode()) == args


@pytest.mark.parametrize(
    ("decoder", "good", "bad"),
    [
        (s.decode_bool, [True, False], [1, None, "true"]),
        (s.decode_int, [0, -(2**63), 2**64 - 1], [True, 1.0, "1", 2**64, -(2**63) - 1]),
        (s.decode_float, [1.5, 2], [math.nan, math.inf, True, "1"]),
        (s.decode_str, ["", "x"], [b"x", 1, None]),
        (s.decode_bytes, [b""], ["x", bytearray(b"x")]),
        (s.decode_list(s.decode_int), [[], [1]], [{1}, "1", ["1"], None]),
        (s.decode_dict(s.decode_int), [{}, {"a": 1}], [{1: 1}, {"a": "1"}, []]),
        (s.decode_optional(s.decode_int), [None, 1], ["1"]),
    ],
)
def test_decoders_never_coerce(decoder: Decoder, good: list[object], bad: list[object]) -> None:
    for value in good:
        assert decoder(value, "x") == value
    for value in bad:
        with pytest.raises(ArgsError, match=r"^x"):
            decoder(value, "x")


def test_decode_any_takes_anything() -> None:
    value = object()
    assert s.decode_any(value, "x") is value
