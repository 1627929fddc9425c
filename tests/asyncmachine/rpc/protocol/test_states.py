from __future__ import annotations

import pytest

from asyncmachine.rpc.protocol.messages import Type
from asyncmachine.rpc.protocol.states import AUTHENTICATED, RECEIVE, SEND, Phase, Role

PEER = {Role.CLIENT: Role.SERVER, Role.SERVER: Role.CLIENT}


@pytest.mark.parametrize("role", Role)
def test_every_message_that_can_be_sent_open_can_be_received_open(role: Role) -> None:
    sent = set(SEND[role][Phase.OPEN])
    received = set(RECEIVE[PEER[role]][Phase.OPEN])
    assert sent == received


def test_the_handshake_meets_in_open() -> None:
    client, server = Phase.START, Phase.WAIT_HELLO
    for sender, kind in (
        (Role.CLIENT, Type.HELLO),
        (Role.SERVER, Type.CHALLENGE),
        (Role.CLIENT, Type.AUTH),
        (Role.SERVER, Type.WELCOME),
        (Role.SERVER, Type.SNAPSHOT),
        (Role.CLIENT, Type.READY),
    ):
        if sender is Role.CLIENT:
            client = SEND[Role.CLIENT][client][kind]
            server = RECEIVE[Role.SERVER][server][kind]
        else:
            server = SEND[Role.SERVER][server][kind]
            client = RECEIVE[Role.CLIENT][client][kind]
    assert client is server is Phase.OPEN


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("phase", [p for p in Phase if p is not Phase.OPEN])
def test_nothing_executes_before_open(role: Role, phase: Phase) -> None:
    for table in (RECEIVE, SEND):
        for kind in (
            Type.MUTATE,
            Type.RESULT,
            Type.UPDATE,
            Type.PAYLOAD,
            Type.PAYLOAD_ACK,
            Type.RESYNC,
            Type.PING,
        ):
            assert kind not in table[role].get(phase, {})


def test_a_client_that_is_not_authenticated_says_hello_auth_and_bye_only() -> None:
    for phase, messages in RECEIVE[Role.SERVER].items():
        if phase not in AUTHENTICATED:
            assert set(messages) <= {Type.HELLO, Type.AUTH, Type.BYE}


@pytest.mark.parametrize("role", Role)
def test_a_side_that_may_leave_is_understood_wherever_the_other_is(role: Role) -> None:
    """What it said before may arrive together with its BYE, before the other side has done its part."""
    for phase, messages in SEND[role].items():
        before = [p for p, sent in SEND[role].items() for kind, to in sent.items() if to is phase]
        if Type.BYE not in messages or phase is Phase.OPEN:
            continue
        for earlier in before:
            last = next(kind for kind, to in SEND[role][earlier].items() if to is phase)
            heard = [received[last] for received in RECEIVE[PEER[role]].values() if last in received]
            assert heard
            assert all(Type.BYE in RECEIVE[PEER[role]].get(there, {}) for there in heard), (phase, heard)


@pytest.mark.parametrize("role", Role)
def test_nothing_is_said_or_heard_once_closed(role: Role) -> None:
    assert Phase.CLOSED not in RECEIVE[role]
    assert Phase.CLOSED not in SEND[role]
