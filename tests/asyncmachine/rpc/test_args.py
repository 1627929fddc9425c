from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

import pytest

from asyncmachine._wire.cbor import dump
from asyncmachine.errors import ArgsError
from asyncmachine.machine import Machine
from asyncmachine.rpc.args import decode_args, encode_args
from asyncmachine.schema import (
    Args,
    Decoder,
    Record,
    Schema,
    State,
    decode_datetime,
    decode_enum,
    decode_list,
    decode_record,
)


def there_and_back(
    lamp: Machine, args: dict[str, Any], *called: str, complete: bool = True
) -> dict[str, Any]:
    data = encode_args(args, max_bytes=1000, max_items=100)
    return decode_args(lamp.schema, called, data, complete=complete, max_items=100)


def test_declared_args_pass(lamp: Machine) -> None:
    assert there_and_back(lamp, {"number": 1}, "Work") == {"number": 1}
    assert there_and_back(lamp, {"number": 1, "note": None}, "Start", "Work") == {"number": 1, "note": None}
    assert there_and_back(lamp, {}, "Start") == {}


def test_missing_args_matter_where_the_state_is_activated(lamp: Machine) -> None:
    with pytest.raises(ArgsError, match="needs arg 'number'"):
        there_and_back(lamp, {}, "Work")
    with pytest.raises(ArgsError, match="needs arg 'number'"):
        there_and_back(lamp, {"note": "x"}, "Work")
    assert there_and_back(lamp, {}, "Work", complete=False) == {}
    assert there_and_back(lamp, {"note": "x"}, "Work", complete=False) == {"note": "x"}


@pytest.mark.parametrize(
    "args",
    [
        {"number": "1"},
        {"number": 1.0},
        {"number": True},
        {"number": None},
        {"number": [1]},
        {"number": 1, "note": b"bytes"},
        {"number": 1, "error": "x"},
        {"number": 1, "self": 1},
        {"number": 1, "__dict__": 1},
        {"number": 1, "": 1},
    ],
)
@pytest.mark.parametrize("complete", [True, False])
def test_what_is_not_declared_so_is_refused(lamp: Machine, args: dict[str, Any], complete: bool) -> None:
    with pytest.raises(ArgsError):
        there_and_back(lamp, args, "Work", complete=complete)


def test_a_state_without_args_takes_none(lamp: Machine) -> None:
    with pytest.raises(ArgsError, match="Start take no arg 'number'"):
        there_and_back(lamp, {"number": 1}, "Start")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        dump([1]),
        dump("number"),
        dump(None),
        b"\xa1\x01\x02",
        b"\xa2aa\x01aa\x02",
        dump({}) + b"\x00",
        b"\xa1fnumber\xc2A\x01",
        b"\x81" * 40 + b"\x00",
        dump({"number": list(range(200))}),
    ],
)
def test_bytes_that_are_no_map(lamp: Machine, data: bytes) -> None:
    with pytest.raises(ArgsError):
        decode_args(lamp.schema, ["Work"], data, complete=False, max_items=100)


def test_what_cannot_be_sent_is_an_error_at_the_sender() -> None:
    with pytest.raises(ArgsError, match="args when cannot be sent"):
        encode_args({"when": object()}, max_bytes=1000, max_items=100)
    with pytest.raises(ArgsError, match="take 1013 bytes, the peer accepts 1000"):
        encode_args({"number": bytes(1002)}, max_bytes=1000, max_items=100)
    with pytest.raises(ArgsError, match="more than 100 items"):
        encode_args({"number": [0] * 100}, max_bytes=1000, max_items=100)
    assert encode_args({}, max_bytes=0, max_items=0) is None


# -- enums, records and times over a real mirror ------------------------------------------------


class Level(StrEnum):
    LOW = "low"
    HIGH = "high"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Order(Record):
    decoders: ClassVar[Mapping[str, Decoder]] = {"level": decode_enum(Level), "due": decode_datetime}
    level: Level
    due: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeArgs(Args):
    decoders: ClassVar[Mapping[str, Decoder]] = {
        "orders": decode_list(decode_record(Order)),
        "level": decode_enum(Level),
    }
    orders: list[Order]
    level: Level = Level.LOW


SERVE = Schema(
    "Serve", {"Serve": State(multi=True, args=ServeArgs, rpc={"client": ("add",)})}, roles=("client",)
)


@pytest.mark.anyio
async def test_typed_args_arrive_typed(session: Any) -> None:
    seen: list[ServeArgs] = []

    class Handlers:
        def serve_state(self, event: Any) -> None:
            seen.append(event.data)

    orders = [Order(level=Level.HIGH, due=datetime(2026, 11, 24, 22, 1, tzinfo=UTC))]
    async with session(Machine(SERVE, Handlers(), id="serve")) as pair:
        assert (await pair.mirror.add("Serve", orders=orders, level=Level.HIGH)).executed
        assert (await pair.mirror.add("Serve", orders=[])).executed
        with pytest.raises(ArgsError, match=r"orders\[0\].due: .* has no time zone"):
            await pair.mirror.add("Serve", orders=[Order(level=Level.LOW, due=datetime(2026, 1, 1))])  # noqa: DTZ001
        (await pair.source.add("Serve", orders=orders, level=Level.HIGH))
    assert seen == [ServeArgs(orders=orders, level=Level.HIGH), ServeArgs(orders=[]), seen[0]]
    assert type(seen[0].level) is Level
    assert type(seen[0].orders[0].level) is Level


def test_args_within_themselves_cannot_be_sent() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ArgsError, match="cannot be sent"):
        encode_args({"orders": circle}, max_bytes=1000, max_items=100)
