from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from asyncmachine.errors import RpcError
from asyncmachine.machine import Machine
from asyncmachine.rpc.acl import Acl, Admission, Claim, Rights, TicketBook, ticket_digest
from asyncmachine.rpc.peers import Peer
from asyncmachine.rpc.protocol.messages import Op
from asyncmachine.rpc.protocol.proofs import client_proof, server_proof
from asyncmachine.schema import EXCEPTION

TICKET = bytes(range(32))
DIGEST = ticket_digest(TICKET)


def book() -> TicketBook:
    made = TicketBook()
    made.register(DIGEST, "me", 10.0)
    return made


def test_a_ticket_is_good_once() -> None:
    tickets = book()
    assert tickets.valid(TICKET, "me", 0.0)
    assert tickets.consume(TICKET, "me", 0.0)
    assert not tickets.consume(TICKET, "me", 0.0)
    assert not tickets.valid(TICKET, "me", 0.0)
    assert len(tickets) == 0


@pytest.mark.parametrize(
    ("ticket", "client", "now"),
    [
        (TICKET, "you", 0.0),
        (TICKET, "", 0.0),
        (TICKET, "me", 10.0),
        (TICKET[:-1], "me", 0.0),
        (b"", "me", 0.0),
        (TICKET + b"\0", "me", 0.0),
        (bytes([TICKET[0] ^ 1]) + TICKET[1:], "me", 0.0),
        (DIGEST, "me", 0.0),
    ],
)
def test_another_ticket_client_or_time_is_not_let_in_and_uses_nothing_up(
    ticket: bytes, client: str, now: float
) -> None:
    tickets = book()
    assert not tickets.consume(ticket, client, now)
    assert tickets.consume(TICKET, "me", 9.9)


def test_tickets_are_bounded() -> None:
    tickets = TicketBook(limit=2)
    tickets.register(ticket_digest(b"1"), "a", 1.0)
    tickets.register(ticket_digest(b"2"), "a", 5.0)
    with pytest.raises(RpcError, match="2 tickets are pending"):
        tickets.register(ticket_digest(b"3"), "a", 5.0)
    tickets.register(ticket_digest(b"3"), "a", 5.0, now=1.0)
    assert len(tickets) == 2


def test_revoked() -> None:
    tickets = book()
    assert not tickets.revoke(bytes(32))
    assert tickets.revoke(DIGEST)
    assert not tickets.consume(TICKET, "me", 0.0)


def test_what_is_registered_is_a_digest() -> None:
    with pytest.raises(RpcError, match="digest"):
        TicketBook().register(b"short", "me", 1.0)


def claim(client_id: str = "me", proof: bytes | None = None, transcript: bytes = b"", **peer: Any) -> Claim:
    return Claim(client_id, proof, transcript, Peer(**peer))


def test_an_open_door() -> None:
    acl = Acl.open("client")
    assert acl.method == "none"
    assert acl.admit(claim("anyone"), 0.0) == Admission("anyone", "anyone", "client")
    assert isinstance(acl.admit(claim("#anyone"), 0.0), str)


def test_a_door_with_tickets() -> None:
    acl = Acl.tickets("client", book())
    assert acl.method == "ticket"
    assert acl.admit(claim(), 0.0) == "client 'me' has no valid ticket"
    assert isinstance(acl.admit(claim(proof=TICKET), 0.0, use=False), Admission)
    assert acl.admit(claim(proof=TICKET), 0.0) == Admission("me", "me", "client")
    assert isinstance(acl.admit(claim(proof=TICKET), 0.0), str)


KEY, OTHER = bytes(range(32)), bytes(32)


def test_a_key_for_all() -> None:
    acl = Acl.psk("client", KEY)
    proof = client_proof(KEY, b"t")
    assert acl.admit(claim("me", proof, b"t"), 0.0) == Admission(
        "me", "me", "client", server_proof(KEY, b"t")
    )
    for wrong in (None, b"", proof[:-1], client_proof(OTHER, b"t"), server_proof(KEY, b"t"), KEY):
        assert isinstance(acl.admit(claim("me", wrong, b"t"), 0.0), str)
    assert isinstance(acl.admit(claim("me", proof, b"another handshake"), 0.0), str)
    assert isinstance(acl.admit(claim("me", proof, b"t", channel=b"another server"), 0.0), str)


def test_a_key_for_each_and_their_roles() -> None:
    acl = Acl.psk({"alice": "admin", "bob": "client"}, {"alice": KEY, "bob": OTHER, "carol": OTHER})
    for who, key, role in (("alice", KEY, "admin"), ("alice#laptop", KEY, "admin"), ("bob", OTHER, "client")):
        found = acl.admit(claim(who, client_proof(key, b"t"), b"t"), 0.0)
        assert isinstance(found, Admission)
        assert (found.client_id, found.identity, found.role) == (who, who.partition("#")[0], role)
    for who, key in (("bob", KEY), ("dave", KEY), ("", KEY), ("#alice", KEY), ("bob#alice", KEY)):
        assert "does not prove a key" in acl.admit(claim(who, client_proof(key, b"t"), b"t"), 0.0)
    assert acl.admit(claim("carol", client_proof(OTHER, b"t"), b"t"), 0.0) == "'carol' has no role here"


def test_who_is_not_known_cannot_use_the_key_that_stands_in() -> None:
    acl = Acl.psk("client", {"alice": KEY})
    assert isinstance(acl.admit(claim("bob", client_proof(bytes(32), b"t"), b"t"), 0.0), str)


@pytest.mark.parametrize("keys", [b"short", {"a": b"short"}, {"a#b": bytes(32)}])
def test_keys_that_are_none(keys: Any) -> None:
    with pytest.raises(RpcError, match=r"at least 32 random bytes|cannot be an identity"):
        Acl.psk("client", keys)


def test_certificates() -> None:
    acl = Acl.mtls({"alice.pool": "admin"})
    peer = {"certificate": "alice.pool", "encrypted": True}
    for who, known in (
        ("alice.pool", "alice.pool"),
        ("alice.pool#1", "alice.pool#1"),
        ("#1", "alice.pool#1"),
    ):
        assert acl.admit(claim(who, **peer), 0.0) == Admission(known, "alice.pool", "admin")
    for who in ("bob.pool", "bob.pool#1", "alice.pool.evil", "alice.poo", "", "#" + "x" * 250):
        assert "says its certificate" in acl.admit(claim(who, **peer), 0.0)
    assert "names no identity" in acl.admit(claim("alice.pool"), 0.0)
    assert acl.admit(claim("bob.pool", certificate="bob.pool"), 0.0) == "'bob.pool' has no role here"


def test_users_of_this_computer() -> None:
    acl = Acl.peercred({1000: "client", 0: "admin"})
    assert acl.admit(claim("#x", uid=1000), 0.0) == Admission("uid:1000#x", "uid:1000", "client")
    assert acl.admit(claim("uid:0", uid=0), 0.0) == Admission("uid:0", "uid:0", "admin")
    for who, uid in (("#x", 1001), ("#x", None), ("uid:0", 1000), ("x", 1000)):
        assert isinstance(acl.admit(claim(who, uid=uid), 0.0), str)


def expected(lamp: Machine, role: str, op: Op, state: str) -> bool:
    may = lamp.schema.states[state].rpc.get(role, ())
    needed = {
        Op.ADD: {"add"},
        Op.CAN_ADD: {"add"},
        Op.REMOVE: {"remove"},
        Op.CAN_REMOVE: {"remove"},
        Op.TOGGLE: {"add", "remove"},
        Op.SET: {"add"},
    }[op]
    return needed <= set(may)


def test_the_whole_table_of_rights(lamp: Machine) -> None:
    allowed = 0
    for role, op, state in product(("client", "admin", ""), Op, lamp.schema.names):
        rights = Rights(lamp.schema, role)
        missing = rights.missing(op, lamp.schema.mask([state]), 0)
        assert (missing == 0) is expected(lamp, role, op, state), (role, op, state)
        allowed += not missing
    assert 0 < allowed < 3 * 6 * len(lamp.schema)


def test_by_default_nothing_is_allowed(lamp: Machine) -> None:
    rights = Rights(lamp.schema, "nobody")
    assert rights.read == rights.add == rights.remove == 0
    rights = Rights(lamp.schema, "client")
    assert not (rights.read | rights.add | rights.remove) & lamp.schema.mask(["Secret", EXCEPTION])


def test_one_state_that_is_not_allowed_spoils_all(lamp: Machine) -> None:
    rights = Rights(lamp.schema, "client")
    both = lamp.schema.mask(["Start", "Secret"])
    assert rights.missing(Op.ADD, both, 0) == lamp.schema.mask(["Secret"])
    start = lamp.schema.mask(["Start"])
    assert rights.missing(Op.SET, start, both) == lamp.schema.mask(["Secret"])
    assert rights.missing(Op.SET, start, start) == 0
