"""Two connections that talk to each other, one of which may lie."""

from __future__ import annotations

from typing import Any

import pytest

from asyncmachine.rpc.config import Limits
from asyncmachine.rpc.protocol.codec import TYPES
from asyncmachine.rpc.protocol.connection import Connection
from asyncmachine.rpc.protocol.events import Event
from asyncmachine.rpc.protocol.messages import Auth, Challenge, Hello, Message, Ready, Snapshot, Welcome
from asyncmachine.rpc.protocol.states import Phase, Role


class Talk:
    """A client with a mirror of three states, and a server at version 1 of them, both open.

    Attributes:
        now: seconds.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self.now = 0.0
        self.client = Connection(Role.CLIENT, limits, now=0.0, states=3)
        self.server = Connection(Role.SERVER, limits, now=0.0)
        self.client.send(Hello(0, 0, "me", bytes(16), bytes(32), ("none",), "digest", ""))
        self.carry()
        self.server.send(Challenge(0, bytes(16), bytes(32), "none", 5000))
        self.carry()
        self.client.send(Auth(None))
        self.carry()
        self.server.send(Welcome("src", "", 7, "digest", "client", {}))
        self.server.send(Snapshot(1, 1, b"\x01\x00\x00"))
        self.carry()
        self.client.send(Ready(1))
        self.carry()
        assert self.client.phase is self.server.phase is Phase.OPEN

    def carry(self) -> tuple[list[Event], list[Event]]:
        """Carry bytes until both are silent; what the client and the server noticed."""
        heard: tuple[list[Event], list[Event]] = ([], [])
        moved = True
        while moved:
            moved = False
            for one, other, events in (
                (self.client, self.server, heard[1]),
                (self.server, self.client, heard[0]),
            ):
                if data := one.data_to_send(self.now):
                    events.extend(other.receive_data(data, self.now))
                    while other.more:
                        events.extend(other.receive_data(b"", self.now))
                    moved = True
        return heard

    def ask(self, *messages: Message) -> list[Event]:
        """The client says it, right or wrong; what the server noticed."""
        for message in messages:
            self.client._write(TYPES[type(message)], message)
        return self.carry()[1]

    def tell(self, *messages: Message) -> list[Event]:
        """The server says it, right or wrong; what the client noticed."""
        for message in messages:
            self.server._write(TYPES[type(message)], message)
        return self.carry()[0]


@pytest.fixture
def talk() -> Any:
    """See :class:`Talk`; takes ``Limits``."""
    return Talk
