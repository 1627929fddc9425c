from __future__ import annotations

from itertools import product

import pytest

from asyncmachine._wire.cbor import dump
from asyncmachine.errors import RemoteError
from asyncmachine.machine import Machine
from asyncmachine.rpc.acl import Rights
from asyncmachine.rpc.protocol.messages import Code, Mutate, Op, Status
from asyncmachine.rpc.requests import execute
from asyncmachine.schema import Schema


def ask(
    lamp: Machine, op: Op, *states: str, role: str = "client", args: bytes | None = None, ttl: int = 1
) -> int:
    request = Mutate(1, op.value, [lamp.schema.position(s) for s in states], args, 0, ttl)
    return execute(lamp, Rights(lamp.schema, role), request, "me", 100)[0]


ARGS = dump({"number": 1})
NEEDED = {
    Op.ADD: {"add"},
    Op.CAN_ADD: {"add"},
    Op.REMOVE: {"remove"},
    Op.CAN_REMOVE: {"remove"},
    Op.TOGGLE: {"add", "remove"},
    Op.SET: {"add"},
}


@pytest.mark.parametrize("role", ["client", "other", ""])
@pytest.mark.parametrize("op", Op)
def test_every_state_by_every_operation_and_role(lamp: Machine, op: Op, role: str) -> None:
    """The table is computed from the schema's text, not from the masks under test."""
    for name, state in lamp.schema.states.items():
        machine = Machine(lamp.schema)
        before = machine.time()
        allowed = NEEDED[op] <= set(state.rpc.get(role, ()))
        args = ARGS if name == "Work" else None
        if allowed:
            assert ask(machine, op, name, role=role, args=args) in (Status.EXECUTED, Status.CANCELED)
            continue
        with pytest.raises(RemoteError, match=f"role {role!r} may not") as caught:
            ask(machine, op, name, role=role, args=args)
        assert caught.value.code == Code.DENIED
        assert machine.time() == before


@pytest.mark.parametrize(("op", "other"), list(product(Op, ["Secret", "Exception", "Seen"])))
def test_one_forbidden_state_among_allowed_ones(lamp: Machine, op: Op, other: str) -> None:
    with pytest.raises(RemoteError) as caught:
        ask(lamp, op, "Start", other)
    assert caught.value.code == Code.DENIED
    assert other in caught.value.text
    assert lamp.active_states() == ()


def test_a_set_does_not_name_what_the_role_may_not_know(lamp: Machine) -> None:
    lamp.add("Secret")
    with pytest.raises(RemoteError, match="may not set what that would end"):
        ask(lamp, Op.SET, "Start")


@pytest.mark.parametrize("index", [-1, -8, 8, 2**63])
def test_indexes_never_count_from_the_end(lamp: Machine, index: int) -> None:
    with pytest.raises(RemoteError) as caught:
        execute(lamp, Rights(lamp.schema, "client"), Mutate(1, 0, [index], None, 0, 1), "me", 100)
    assert caught.value.code == Code.STATE


def test_args_are_looked_at_after_the_rights(lamp: Machine) -> None:
    with pytest.raises(RemoteError) as caught:
        ask(lamp, Op.ADD, "Secret", args=b"\xff")
    assert caught.value.code == Code.DENIED
    with pytest.raises(RemoteError) as caught:
        ask(lamp, Op.ADD, "Work", args=b"\xff")
    assert caught.value.code == Code.ARGS
    assert lamp.tick("Work") == 0


def test_results(lamp: Machine) -> None:
    assert ask(lamp, Op.ADD, "On") == Status.CANCELED
    assert ask(lamp, Op.CAN_ADD, "Start") == Status.EXECUTED
    assert ask(lamp, Op.ADD, "Start", ttl=0) == Status.EXPIRED
    assert lamp.active_states() == ()
    assert ask(lamp, Op.TOGGLE, "Start") == Status.EXECUTED
    assert lamp.active_states() == ("Start",)
    assert ask(lamp, Op.TOGGLE, "Start") == Status.EXECUTED
    assert lamp.active_states() == ()
    lamp.dispose()
    assert ask(lamp, Op.ADD, "Start") == Status.DISPOSED


def test_duplicates_are_one(lamp: Machine) -> None:
    assert ask(lamp, Op.ADD, "Start", "Start") == Status.EXECUTED
    assert lamp.tick("Start") == 1


def test_handlers_see_which_client_it_was(lamp: Machine) -> None:
    seen = []

    class Handlers:
        def start_state(self, event: object) -> None:
            seen.append(event.source.machine)  # type: ignore[attr-defined]

    lamp.bind(Handlers())
    ask(lamp, Op.ADD, "Start")
    assert seen == ["me"]


def test_no_state_has_rights_by_accident() -> None:
    lamp = Machine(Schema("Bare", {}))
    with pytest.raises(RemoteError):
        ask(lamp, Op.ADD, "Exception")
