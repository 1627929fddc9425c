"""Typed args: strict from the wire, lenient to the keyword arguments of other states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmachine import schema as s
from asyncmachine._wire.cbor import decode, encode
from asyncmachine.errors import ArgsError
from asyncmachine.schema import Args, Decoder, Record


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


# -- enums, records, times ----------------------------------------------------------------------


class Unit(StrEnum):
    MM = "mm"
    INCH = "inch"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Place(Record):
    decoders: ClassVar[Mapping[str, Decoder]] = {"x": s.decode_float, "unit": s.decode_enum(Unit)}
    x: float
    unit: Unit = Unit.MM


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Page(Record):
    decoders: ClassVar[Mapping[str, Decoder]] = {
        "places": s.decode_dict(s.decode_record(Place)),
        "due": s.decode_optional(s.decode_datetime),
    }
    places: dict[str, Place]
    due: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintArgs(Args):
    decoders: ClassVar[Mapping[str, Decoder]] = {
        "pages": s.decode_list(s.decode_record(Page)),
        "unit": s.decode_optional(s.decode_enum(Unit)),
    }
    pages: list[Page]
    unit: Unit | None = None
    handler: Any = None


PLACES = st.builds(
    lambda x, unit: Place(x=x, unit=unit),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(Unit),
)
TIMES = st.datetimes(timezones=st.just(UTC))
PAGES = st.builds(
    lambda places, due: Page(places=places, due=due),
    st.dictionaries(st.text(max_size=5), PLACES, max_size=3),
    st.none() | TIMES,
)


@given(st.lists(PAGES, max_size=3), st.none() | st.sampled_from(Unit))
def test_typed_args_cross_the_wire(pages: list[Page], unit: Unit | None) -> None:
    args = PrintArgs(pages=pages, unit=unit)
    wire = decode(encode(s.to_wire({"pages": args.pages, "unit": args.unit})))
    again = PrintArgs.decode(wire)
    assert again == args
    assert all(type(place.unit) is Unit for page in again.pages for place in page.places.values())


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (
            {"pages": [{"places": {"a": {"x": 1, "unit": "cm"}}}]},
            r"pages\[0\].places\['a'\].unit: Unit has no value 'cm'; they are mm, inch",
        ),
        ({"pages": [{"places": {"a": {"x": 1, "unit": "inhc"}}}]}, r"did you mean 'inch'\?"),
        ({"pages": [{"places": {"a": {"x": 1, "unit": 1}}}]}, "expected a value of Unit, got int"),
        ({"pages": [{"places": {"a": {}}}]}, r"Place needs field pages\[0\].places\['a'\].x"),
        ({"pages": [{"places": {"a": {"x": "1"}}}]}, r"places\['a'\].x: expected float, got str"),
        ({"pages": [{"places": {}, "deu": None}]}, r"Page has no field pages\[0\].deu; did you mean 'due'\?"),
        ({"pages": [{"places": {}, "decoders": {}}]}, "Page has no field"),
        ({"pages": [[]]}, r"pages\[0\]: expected a map of the fields of Page, got list"),
        ({"pages": [], "unit": "MM"}, "Unit has no value 'MM'"),
        ({"pages": [], "handler": None}, "has no arg 'handler'"),
    ],
)
def test_decoders_of_types_are_strict(wire: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgsError, match=message):
        PrintArgs.decode(wire)


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (datetime(2026, 11, 24, 22, 1, tzinfo=UTC), "2026-11-24T22:01:00Z"),
        (datetime(2026, 11, 24, 22, 1, 0, 5, tzinfo=UTC), "2026-11-24T22:01:00.000005Z"),
        (datetime(2026, 11, 25, tzinfo=timezone(timedelta(hours=2))), "2026-11-24T22:00:00Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
    ],
)
def test_times_are_text_in_utc(time: datetime, text: str) -> None:
    assert s.to_wire(time) == text
    assert s.decode_datetime(text, "due") == time
    assert s.decode_datetime(text, "due").tzinfo is UTC


@given(TIMES)
def test_times_are_exact(time: datetime) -> None:
    assert s.decode_datetime(s.to_wire(time), "due") == time


@pytest.mark.parametrize(
    "text",
    [
        *(
            "2026-11-24T22:01:00",
            "2026-11-24T22:01:00+00:00",
            "2026-11-24 22:01:00Z",
            "2026-11-24T22:01Z",
            "",
        ),
        *("2026-13-24T22:01:00Z", "2026-11-24T22:01:00.5Z", "2026-11-24T24:01:00Z", "20261124T220100Z"),
        *("\uff12026-11-24T22:01:00Z", "2026-11-24T22:01:00Z\n", "2026-W48-2T22:01:00Z", 1795557660, None),
    ],
)
def test_other_notations_of_times_are_refused(text: object) -> None:
    with pytest.raises(ArgsError, match=r"^due: "):
        s.decode_datetime(text, "due")


def test_a_time_must_say_its_zone() -> None:
    with pytest.raises(ArgsError, match=r"args.due\[0\]: 2026-11-24T00:00:00 has no time zone"):
        s.to_wire({"due": [datetime(2026, 11, 24)]})  # noqa: DTZ001 - that is the point
    with pytest.raises(ArgsError, match="cannot be told in UTC"):
        s.to_wire(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2))))


def test_records_of_one_name_with_equal_fields_are_equal() -> None:
    """Each generated module has its own class for a type that it inherits."""

    def elsewhere(name: str) -> type[Any]:
        namespace = {
            "decoders": Place.decoders,
            "__annotations__": {"x": float, "unit": Unit},
            "unit": Unit.MM,
        }
        return dataclass(frozen=True, kw_only=True, eq=False)(type(name, (Record,), namespace))

    one = Place(x=1.0)
    assert one == elsewhere("Place")(x=1.0)
    assert hash(one) == hash(elsewhere("Place")(x=1.0))
    assert one != elsewhere("Point")(x=1.0)
    assert one != Place(x=1.0, unit=Unit.INCH)
    assert one != {"x": 1.0, "unit": "mm"}
    with pytest.raises(FrozenInstanceError):
        one.x = 2.0  # type: ignore[misc]


def test_signatures_say_what_a_peer_must_agree_on() -> None:
    assert JobArgs.signature() == "names=list[str],number:int"
    assert Place.signature() == "unit=(inch|mm),x:float"
    assert (
        PrintArgs.signature()
        == "pages:list[{due=datetime?,places:dict[{unit=(inch|mm),x:float}]}],unit=(inch|mm)?"
    )
    assert s.signature([]) == ""


def test_a_long_signature_is_hashed() -> None:
    long = s.wire_enum(f"value{i}" for i in range(99))
    assert len(long) == 32
    assert long != s.wire_enum(f"value{i}" for i in range(98))


def test_a_decoder_of_ones_own_is_known_by_its_name() -> None:
    def decode_even(value: object, where: str) -> int:
        raise NotImplementedError

    @dataclass(frozen=True, kw_only=True)
    class EvenArgs(Args):
        decoders: ClassVar[Mapping[str, Decoder]] = {"number": s.decode_list(decode_even)}
        number: list[int]

    assert EvenArgs.signature() == f"number:list[{decode_even.__qualname__}]"
