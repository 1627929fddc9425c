from __future__ import annotations

from asyncmachine.rpc.protocol import messages as m


def test_numbers_on_the_wire_never_change() -> None:
    assert {t.name: t.value for t in m.Type} == {
        "HELLO": 1,
        "CHALLENGE": 2,
        "AUTH": 3,
        "WELCOME": 4,
        "SNAPSHOT": 5,
        "READY": 6,
        "BYE": 7,
        "ERROR": 8,
        "PING": 10,
        "PONG": 11,
        "MUTATE": 20,
        "RESULT": 21,
        "CANCEL": 22,
        "UPDATE": 30,
        "RESYNC": 32,
        "PAYLOAD": 40,
        "PAYLOAD_ACK": 41,
    }
    assert [op.value for op in m.Op] == list(range(6))
    assert [code.value for code in m.Code] == list(range(23))
    assert [s.value for s in m.Status] == [0, 1, 2, 4, 6, 7]
    assert [s.value for s in m.PayloadStatus] == list(range(5))


def test_what_a_peer_cannot_cure_is_fatal() -> None:
    assert m.Code.BUSY not in m.FATAL
    assert m.Code.TIMEOUT not in m.FATAL
    assert {m.Code.AUTH, m.Code.SCHEMA, m.Code.VERSION} <= m.FATAL
