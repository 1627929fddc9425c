"""A client and servers that are not what they seem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from asyncmachine._wire.frames import frame
from asyncmachine.errors import NotConnected, Refused, RpcError
from asyncmachine.machine import Machine
from asyncmachine.rpc.auth import Credentials
from asyncmachine.rpc.client import Client
from asyncmachine.rpc.config import DEFAULTS, Limits, RpcConfig
from asyncmachine.rpc.protocol.connection import Connection
from asyncmachine.rpc.protocol.events import Closed
from asyncmachine.rpc.protocol.messages import (
    Auth,
    Bye,
    Challenge,
    Error,
    Hello,
    Message,
    Mutate,
    Payload,
    PayloadAck,
    Ready,
    Result,
    Snapshot,
    Update,
    Welcome,
)
from asyncmachine.rpc.protocol.states import Role
from asyncmachine.rpc.upstream import Identity

pytestmark = pytest.mark.anyio

HASTY = RpcConfig(limits=Limits(handshake_seconds=0.05))
Answers = dict[type, Callable[[Any], list[Message]]]


def honest(lamp: Machine) -> Answers:
    ticks = bytes(len(lamp.schema))
    return {
        Hello: lambda m: [Challenge(0, bytes(16), bytes(32), "none", 5000)],
        Auth: lambda m: [Welcome("src", "", 1, lamp.schema.digest, "client", {}), Snapshot(1, 1, ticks)],
        Ready: lambda m: [],
        Mutate: lambda m: [Result(m.rid, 0, 1, None)],
    }


class Actor:
    """A server that follows a script."""

    def say(self, message: Message) -> None:
        if isinstance(message, Error) and message.rid is not None:
            self.conn.reply_error(message.rid, message.code, message.text, 0.0)
        elif isinstance(message, Error | Bye):
            self.conn.close(message.code, message.text, 0.0)
        else:
            self.conn.send(message)

    def __init__(self, stream: Any, answers: Answers) -> None:
        self.stream = stream
        self.answers = answers
        self.conn = Connection(Role.SERVER, Limits(), now=0.0)
        self.heard: list[Any] = []

    async def run(self) -> None:
        try:
            while True:
                for event in self.conn.receive_data(await self.stream.receive(), 0.0):
                    self.heard.append(event)
                    for message in self.answers.get(type(event), lambda m: [])(event):
                        self.say(message)
                if data := self.conn.data_to_send(0.0):
                    await self.stream.send(data)
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            await self.stream.aclose()


async def meet(lamp: Machine, link: Any, answers: Answers, **options: Any) -> tuple[Client, Actor]:
    """Run a client against a scripted server until the client has stopped."""
    near, far = link()
    actor = Actor(far, answers)

    async def dial() -> Any:
        return near

    client = Client(dial, lamp.schema, client_id="me", reconnect=False, **options)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(actor.run)
        with anyio.fail_after(5):
            await client.run()
        await near.aclose()
    return client, actor


LIES: dict[str, Callable[[Machine], Answers]] = {
    "another version": lambda lamp: {Hello: lambda m: [Challenge(1, bytes(16), bytes(32), "none", 5000)]},
    "no heartbeat": lambda lamp: {Hello: lambda m: [Challenge(0, bytes(16), bytes(32), "none", 0)]},
    "asks for a ticket": lambda lamp: {Hello: lambda m: [Challenge(0, bytes(16), bytes(32), "ticket", 5000)]},
    "unknown method": lambda lamp: {Hello: lambda m: [Challenge(0, bytes(16), bytes(32), "trust me", 5000)]},
    "another kind": lambda lamp: {
        Auth: lambda m: [
            Welcome("src", "cubes", 1, lamp.schema.digest, "client", {}),
            Snapshot(1, 1, bytes(len(lamp.schema))),
        ]
    },
    "another schema": lambda lamp: {Auth: lambda m: [Welcome("src", "", 1, "0" * 32, "client", {})]},
}


@pytest.mark.parametrize("name", LIES)
async def test_a_server_that_cannot_be_right_is_left_for_good(lamp: Machine, link: Any, name: str) -> None:
    client, actor = await meet(lamp, link, {**honest(lamp), **LIES[name](lamp)}, kind="squares")
    assert isinstance(client.error, Refused), client.error
    assert "this side" in str(client.error)
    assert not any(isinstance(event, Ready | Mutate) for event in actor.heard)


TROUBLE: dict[str, Callable[[Machine], Answers]] = {
    "too few ticks": lambda lamp: {
        Auth: lambda m: [Welcome("s", "", 1, lamp.schema.digest, "client", {}), Snapshot(1, 1, b"\0")]
    },
    "a huge schema": lambda lamp: {
        Auth: lambda m: [Welcome("s", "", 1, lamp.schema.digest, "client", {}), Snapshot(1, 1, bytes(60_000))]
    },
    "silence after hello": lambda lamp: {Hello: lambda m: []},
    "silence after auth": lambda lamp: {Auth: lambda m: []},
    "an update of a state that is not there": lambda lamp: {Ready: lambda m: [Update(1, 2, 1, b"\x7f\x01")]},
    "a snapshot nobody asked for": lambda lamp: {Ready: lambda m: [Snapshot(2, 1, bytes(len(lamp.schema)))]},
    "bye": lambda lamp: {Ready: lambda m: [Bye(0, "so\x1b[31m long")]},
    "busy": lambda lamp: {Ready: lambda m: [Error(5, "busy", None)]},
}


@pytest.mark.parametrize("name", TROUBLE)
async def test_a_server_in_trouble_is_left_for_now(lamp: Machine, link: Any, name: str) -> None:
    config = HASTY if "silence" in name else DEFAULTS
    client, _ = await meet(lamp, link, {**honest(lamp), **TROUBLE[name](lamp)}, config=config)
    assert isinstance(client.error, NotConnected), client.error
    assert "\x1b" not in str(client.error)
    assert client.machine.disposed


async def test_a_payload_that_comes_twice_is_consumed_once(lamp: Machine, link: Any) -> None:
    got: list[Payload] = []
    twice = [
        Payload(1, "n", "s", 1, 0, b"a"),
        Payload(1, "n", "s", 1, 0, b"a"),
        Payload(2, "n", "s", 1, 0, b"b"),
    ]
    answers = honest(lamp)
    answers[Ready] = lambda m: twice
    answers[PayloadAck] = lambda m: [Bye(0, "")] if m.pid == 2 else []
    _, actor = await meet(lamp, link, answers, on_payload=got.append)
    assert [p.data for p in got] == [b"a", b"b"]
    acks = [(e.pid, e.status) for e in actor.heard if isinstance(e, PayloadAck)]
    assert acks == [(1, 0), (1, 3), (2, 0)]


async def test_answers_to_nobody_are_ignored(lamp: Machine, link: Any) -> None:
    answers = honest(lamp)
    answers[Ready] = lambda m: [Result(99, 0, 1, None), Error(4, "no", 98), Bye(0, "fine")]
    client, _ = await meet(lamp, link, answers)
    assert "fine" in str(client.error)


async def test_what_a_client_says_in_the_handshake(lamp: Machine, link: Any) -> None:
    answers = honest(lamp)
    welcome = Welcome("src", "squares", 1, lamp.schema.digest, "client", {})
    answers[Auth] = lambda m: [welcome, Snapshot(1, 1, bytes(len(lamp.schema)))]
    answers[Ready] = lambda m: [Bye(0, "")]
    _, actor = await meet(lamp, link, answers, kind="squares")
    hello, auth, ready = actor.heard[:3]
    assert (hello.client_id, hello.kind, hello.schema, hello.auth) == (
        "me",
        "squares",
        lamp.schema.digest,
        ("none", "peercred"),
    )
    assert (auth.proof, ready.ver) == (None, 1)


async def test_a_ticket_is_not_offered_to_a_server_that_lets_everyone_in(lamp: Machine, link: Any) -> None:
    client, actor = await meet(lamp, link, honest(lamp), ticket=bytes(32))
    assert isinstance(client.error, Refused)
    assert [type(event) for event in actor.heard] == [Hello, Closed]


def test_a_ticket_is_not_shown() -> None:
    assert "secret" not in repr(Identity("me", bytes(16), Credentials(b"secret"), ""))


async def test_a_frame_of_another_protocol(lamp: Machine, link: Any) -> None:
    near, far = link()

    async def dial() -> Any:
        return near

    client = Client(dial, lamp.schema, client_id="me", reconnect=False)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.run)
        await far.receive()
        await far.send(frame(b"\x16\x03\x01"))
        with anyio.fail_after(5), pytest.raises(RpcError):
            await client.ready()
        await far.aclose()
