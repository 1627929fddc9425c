from __future__ import annotations

from typing import Any

import anyio

from asyncmachine._wire.cbor import dump
from asyncmachine._wire.frames import frame
from asyncmachine.rpc.protocol.codec import TYPES, to_wire
from asyncmachine.rpc.protocol.connection import PREFACE
from asyncmachine.rpc.protocol.messages import (
    NOREPLY,
    Auth,
    Bye,
    Code,
    Error,
    Message,
    Mutate,
    Payload,
    PayloadAck,
    Ping,
    Ready,
    Result,
    Resync,
    Snapshot,
    Update,
)
from asyncmachine.testing.sim.host import Process
from asyncmachine.testing.sim.peek import RpcTap
from asyncmachine.testing.sim.pipe import Connection
from asyncmachine.testing.sim.world import World, simulate


async def wait(process: Process) -> None:
    await anyio.sleep_forever()


def wire(*messages: Message) -> bytes:
    return b"".join(frame(dump((TYPES[type(one)], 1, 0, *to_wire(one)))) for one in messages)


def tapped(*said: tuple[int, bytes]) -> tuple[RpcTap, list[str], list[int]]:
    """What the tap makes of bytes of client (0) and server (1): itself, its texts, and what is unanswered."""
    tap, texts = RpcTap(), []
    left: list[int] = []

    async def scenario(world: World) -> None:
        connection = Connection(world.network, 1, *(world.host(n).start(wait) for n in ("c", "s")))
        texts.extend(tap(connection, connection.ends[side], data) for side, data in said)
        left.extend(tap.unanswered(connection))
        assert tap.unanswered(Connection(world.network, 2, *(e.process for e in connection.ends))) == []

    simulate(scenario, seed=1)
    return tap, texts, left


def ask(rid: int, flags: int = 0) -> Mutate:
    return Mutate(rid, 0, [0], None, flags, 1000)


def test_messages_are_named_however_they_are_cut() -> None:
    told = wire(
        Auth(None), Ready(3), ask(1), Result(1, 0, 1, Update(3, 5, 1, b"")), Result(2, 1, 1, None), Ping(9)
    )
    wanted = "AUTH READY 3 MUTATE 1 RESULT 1 status 0 to 5 RESULT 2 status 1 PING"
    assert tapped((0, PREFACE + told))[1] == [wanted]
    pieces = [(0, bytes([byte])) for byte in PREFACE + told]
    assert " ".join(text for text in tapped(*pieces)[1] if text) == wanted
    more = wire(
        Snapshot(4, 1, b""), Update(4, 6, 1, b""), Resync(2), Error(Code.BUSY, "x", None), Bye(0, ""),
        Payload(7, "n", "s", 0, 0, b""), PayloadAck(7, 0, ""), Error(Code.ARGS, "x", 5),
    )  # fmt: skip
    told = "SNAPSHOT 4 UPDATE 4 to 6 RESYNC 2 ERROR code 5 for None BYE code 0 PAYLOAD 7 PAYLOAD_ACK 7"
    assert tapped((1, more))[1] == [f"{told} ERROR code 20 for 5"]


def test_answers_are_matched() -> None:
    asked = (0, PREFACE + wire(ask(1), ask(2), ask(3), ask(4, NOREPLY)))
    tap, _, left = tapped(asked, (1, wire(Result(2, 0, 1, None), Error(Code.ARGS, "no", 3))))
    assert (tap.faults, left) == ([], [1])


def test_what_must_not_be_said() -> None:
    def faults(*answers: Any, asked: tuple[Mutate, ...] = (ask(1), ask(2, NOREPLY))) -> list[str]:
        return tapped((0, PREFACE + wire(*asked)), (1, wire(*answers)))[0].faults

    result = Result(1, 0, 1, None)
    assert faults(result, result) == ["connection #1: request 1 was answered twice"]
    assert faults(result, Error(Code.ARGS, "", 1)) == ["connection #1: request 1 was answered twice"]
    assert faults(Result(9, 0, 1, None)) == [
        "connection #1: an answer to request 9, which was not sent",
    ]
    assert faults(Result(2, 0, 1, None)) == ["connection #1: a result of request 2, which wants none"]
    assert faults(Error(Code.ARGS, "", 2)) == []
    assert faults(asked=(ask(1), ask(1))) == ["connection #1: request 1 was sent twice"]
    assert faults(Error(Code.ORDER, "seq 5 after 3", None)) == [
        "connection #1: ended for ORDER: seq 5 after 3"
    ]
    assert faults(Error(Code.BUSY, "full", None)) == []


def test_what_is_no_message_is_a_fault_and_read_no_further() -> None:
    good = wire(Ready(3))
    tap, texts, _ = tapped((0, PREFACE + good), (0, frame(b"\xff")), (0, good), (1, good))
    assert texts == ["READY 3", "", "", ""]
    assert [fault.partition(":")[0] for fault in tap.faults] == ["#1 c sends what is no message"]
    for nonsense in (b"\0\0\0\0\0", frame(b"\x01"), frame(b"\x80")):
        assert "is no message" in tapped((0, PREFACE + nonsense))[0].faults[0]
