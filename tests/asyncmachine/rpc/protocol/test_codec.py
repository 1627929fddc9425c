from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmachine._wire.cbor import decode, dump
from asyncmachine.errors import ProtocolError
from asyncmachine.rpc.protocol import messages as m
from asyncmachine.rpc.protocol.codec import EXTRA, TYPES, U64, from_wire, to_wire

u64 = st.integers(0, U64)
name = st.text(max_size=255)
raw = st.binary(max_size=50)
update = st.builds(m.Update, u64, u64, u64, raw)

MESSAGES = st.one_of(
    st.builds(
        m.Hello,
        st.integers(0, 255),
        st.integers(0, 255),
        name,
        st.binary(min_size=16, max_size=16),
        st.binary(min_size=32, max_size=32),
        st.lists(st.text(max_size=32), max_size=8).map(tuple),
        st.text(max_size=64),
        name,
    ),
    st.builds(
        m.Challenge,
        st.integers(0, 255),
        st.binary(min_size=16, max_size=16),
        st.binary(min_size=32, max_size=32),
        st.text(max_size=32),
        st.integers(0, 3_600_000),
    ),
    st.builds(m.Auth, st.none() | st.binary(max_size=256)),
    st.builds(m.Welcome, name, name, u64, st.text(max_size=64), name, st.dictionaries(name, u64, max_size=5)),
    st.builds(m.Snapshot, u64, u64, raw),
    st.builds(m.Ready, u64),
    st.builds(m.Bye, u64, name),
    st.builds(m.Error, u64, name, st.none() | u64),
    st.builds(m.Ping, u64),
    st.builds(m.Pong, u64),
    st.builds(
        m.Mutate,
        u64,
        st.integers(0, 5),
        st.lists(st.integers(-5, U64), max_size=5),
        st.none() | raw,
        st.integers(0, 1),
        st.integers(0, 86_400_000),
    ),
    update,
    st.builds(m.Result, u64, st.integers(0, 255), u64, st.none() | update),
    st.builds(m.Resync, u64),
    st.builds(lambda pid, n, s, d: m.Payload(pid, n, s, len(d), 0, d), u64, name, name, raw),
    st.builds(m.PayloadAck, u64, st.integers(0, 255), name),
)


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), raw, st.lists(u64, max_size=3)
)


def wire(message: m.Message) -> list[Any]:
    fields = decode(dump((TYPES[type(message)], 1, 0, *to_wire(message))))
    assert isinstance(fields, list)
    return fields


@given(MESSAGES)
def test_every_message_survives_the_wire(message: m.Message) -> None:
    fields = wire(message)
    again = from_wire(fields[0], fields[3:])
    assert again == message
    assert type(again) is type(message)


@given(MESSAGES, st.data())
def test_one_wrong_field_is_an_error_or_another_valid_message_never_a_crash(
    message: m.Message, data: st.DataObject
) -> None:
    fields = wire(message)
    at = data.draw(st.integers(3, len(fields) - 1))
    fields[at] = data.draw(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=3)
        | raw
        | st.lists(u64, max_size=3)
    )
    code = None
    try:
        from_wire(fields[0], fields[3:])
    except ProtocolError as error:
        code = error.code
    assert code in (None, m.Code.TYPE, m.Code.LIMIT)


def test_each_type_has_a_message_and_a_decoder() -> None:
    assert set(TYPES.values()) == {t.value for t in m.Type}


@given(MESSAGES, st.integers(1, EXTRA))
def test_a_few_unknown_fields_are_ignored(message: m.Message, extra: int) -> None:
    fields = wire(message)
    assert from_wire(fields[0], fields[3:] + [None] * extra if len(fields) > 4 else fields[3:]) == message
    with pytest.raises(ProtocolError):
        from_wire(fields[0], fields[3:] + [None] * (EXTRA + 1))


@given(MESSAGES)
def test_a_missing_field_is_an_error(message: m.Message) -> None:
    fields = wire(message)
    with pytest.raises(ProtocolError):
        from_wire(fields[0], fields[3:-1])


@pytest.mark.parametrize("kind", [0, 9, 12, 31, 33, 34, 50, 60, 99, -1, 2**64])
def test_reserved_and_unknown_types_are_errors(kind: int) -> None:
    with pytest.raises(ProtocolError):
        from_wire(kind, [0])


@pytest.mark.parametrize("states", ["Start", {"a": 1}, b"\x01", None, 3, [True], ["On"], [1.0], [None]])
def test_states_are_a_list_of_integers(states: object) -> None:
    with pytest.raises(ProtocolError) as caught:
        from_wire(m.Type.MUTATE, [1, 0, states, None, 0, 1])
    assert caught.value.code == m.Code.TYPE


@pytest.mark.parametrize("rid", [True, 1.0, -1, 2**64, None, "1"])
def test_a_bool_or_a_float_is_no_integer(rid: object) -> None:
    with pytest.raises(ProtocolError):
        from_wire(m.Type.MUTATE, [rid, 0, [1], None, 0, 1])


def test_a_chunk_of_a_payload_is_refused() -> None:
    with pytest.raises(ProtocolError):
        from_wire(m.Type.PAYLOAD, [1, "n", "s", 10, 0, b"abc"])
    with pytest.raises(ProtocolError):
        from_wire(m.Type.PAYLOAD, [1, "n", "s", 3, 3, b"abc"])
