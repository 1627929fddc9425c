from __future__ import annotations

from itertools import product

import pytest

from asyncmachine.errors import RpcError
from asyncmachine.machine import Machine
from asyncmachine.rpc.acl import Acl, Rights, TicketBook, ticket_digest
from asyncmachine.rpc.protocol.messages import Op
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


def test_an_open_door() -> None:
    acl = Acl.open("client")
    assert (acl.method, acl.role) == ("none", "client")
    assert acl.check("anyone", None, 0.0)
    assert acl.admit("anyone", None, 0.0)


def test_a_door_with_tickets() -> None:
    acl = Acl.tickets("client", book())
    assert acl.method == "ticket"
    assert not acl.admit("me", None, 0.0)
    assert acl.check("me", TICKET, 0.0)
    assert acl.admit("me", TICKET, 0.0)
    assert not acl.admit("me", TICKET, 0.0)


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
