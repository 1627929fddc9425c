"""Who may say what when. Everything that moves a connection through its phases is in two tables.

::

    server  WAIT_HELLO -HELLO-> GREETED +CHALLENGE+> WAIT_AUTH -AUTH-> ADMITTING
            +WELCOME+> WELCOMED +SNAPSHOT+> WAIT_READY -READY-> OPEN
    client  START +HELLO+> WAIT_CHALLENGE -CHALLENGE-> CHALLENGED +AUTH+> WAIT_WELCOME
            -WELCOME-> WAIT_SNAPSHOT -SNAPSHOT-> INSTALLING +READY+> OPEN

``-X->`` receives, ``+X+>`` sends. In a phase that waits for its own side (GREETED, ADMITTING, WELCOMED,
START, CHALLENGED, INSTALLING) the peer has nothing to say, but that it leaves: in ADMITTING and INSTALLING,
where that may have arrived together with what it said before.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from asyncmachine.rpc.protocol.messages import Type

__all__ = ["AUTHENTICATED", "RECEIVE", "SEND", "Phase", "Role"]


class Role(IntEnum):
    """Which end of a connection."""

    CLIENT = 0
    SERVER = 1


class Phase(IntEnum):
    """Where a connection is."""

    WAIT_HELLO = 0
    GREETED = 1
    WAIT_AUTH = 2
    ADMITTING = 3
    WELCOMED = 4
    WAIT_READY = 5
    START = 6
    WAIT_CHALLENGE = 7
    CHALLENGED = 8
    WAIT_WELCOME = 9
    WAIT_SNAPSHOT = 10
    INSTALLING = 11
    OPEN = 12
    CLOSED = 13


_Table = Mapping[Phase, Mapping[int, Phase]]

AUTHENTICATED: Final = frozenset(
    (
        Phase.WELCOMED,
        Phase.WAIT_READY,
        Phase.WAIT_SNAPSHOT,
        Phase.INSTALLING,
        Phase.OPEN,
        Phase.CLOSED,
    )
)
"""Phases after WELCOME: limits are wider and errors are told."""

_END: Final[Mapping[int, Phase]] = {Type.BYE: Phase.CLOSED, Type.ERROR: Phase.CLOSED}


def _open(*types: Type) -> dict[int, Phase]:
    return {**_END, **dict.fromkeys(types, Phase.OPEN)}


_FROM_CLIENT: Final = _open(Type.MUTATE, Type.CANCEL, Type.RESYNC, Type.PAYLOAD_ACK, Type.PING, Type.PONG)
_FROM_SERVER: Final = _open(Type.RESULT, Type.UPDATE, Type.SNAPSHOT, Type.PAYLOAD, Type.PING, Type.PONG)

RECEIVE: Final[Mapping[Role, _Table]] = {
    Role.SERVER: {
        Phase.WAIT_HELLO: {Type.HELLO: Phase.GREETED},
        Phase.WAIT_AUTH: {Type.AUTH: Phase.ADMITTING},
        Phase.ADMITTING: {Type.BYE: Phase.CLOSED},
        Phase.WAIT_READY: {Type.READY: Phase.OPEN, **_END},
        Phase.OPEN: _FROM_CLIENT,
    },
    Role.CLIENT: {
        Phase.WAIT_CHALLENGE: {Type.CHALLENGE: Phase.CHALLENGED, **_END},
        Phase.WAIT_WELCOME: {Type.WELCOME: Phase.WAIT_SNAPSHOT, **_END},
        Phase.WAIT_SNAPSHOT: {Type.SNAPSHOT: Phase.INSTALLING, **_END},
        Phase.INSTALLING: dict(_END),
        Phase.OPEN: _FROM_SERVER,
    },
}
"""A message that is not here is an ``ORDER`` error."""

SEND: Final[Mapping[Role, _Table]] = {
    Role.SERVER: {
        Phase.WAIT_HELLO: {Type.ERROR: Phase.CLOSED},
        Phase.GREETED: {Type.CHALLENGE: Phase.WAIT_AUTH, Type.ERROR: Phase.CLOSED},
        Phase.WAIT_AUTH: {Type.ERROR: Phase.CLOSED},
        Phase.ADMITTING: {Type.WELCOME: Phase.WELCOMED, Type.ERROR: Phase.CLOSED},
        Phase.WELCOMED: {Type.SNAPSHOT: Phase.WAIT_READY, **_END},
        Phase.WAIT_READY: dict(_END),
        Phase.OPEN: _FROM_SERVER,
    },
    Role.CLIENT: {
        Phase.START: {Type.HELLO: Phase.WAIT_CHALLENGE},
        Phase.CHALLENGED: {Type.AUTH: Phase.WAIT_WELCOME, **_END},
        Phase.WAIT_WELCOME: dict(_END),
        Phase.WAIT_SNAPSHOT: dict(_END),
        Phase.INSTALLING: {Type.READY: Phase.OPEN, **_END},
        Phase.OPEN: _FROM_CLIENT,
    },
}
"""ERROR for a request (with an id) leaves the phase as it is."""
