from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest

from asyncmachine._core.waits import ACTIVE, INACTIVE
from asyncmachine.api import Tracer
from asyncmachine.errors import ArgsError, Denied, MachineDisposed, RemoteError, RpcError, UnknownState
from asyncmachine.machine import Machine
from asyncmachine.rpc.config import Limits
from asyncmachine.rpc.netmachine import Change, MirrorHub, NetMachine
from asyncmachine.rpc.protocol.connection import Connection
from asyncmachine.rpc.protocol.messages import Welcome
from asyncmachine.rpc.protocol.states import Role
from asyncmachine.schema import Schema, State
from asyncmachine.views import Pending

pytestmark = pytest.mark.anyio

HUB_SCHEMA = Schema("Hub", {"Foo": State(), "Bar": State(), "Many": State(multi=True)})


async def test_a_mirror_shows_its_own_mutation_as_soon_as_it_is_answered(session: Any) -> None:
    async with session() as pair:
        assert not pair.mirror.is_active("Start")
        result = await pair.mirror.add("Start")
        assert result.executed
        assert pair.mirror.is_active("Start")
        assert pair.source.is_active("Start")
        assert "Start" in pair.mirror
        assert pair.mirror.time("Start", "On") == (1, 0)
        assert pair.mirror.active_states() == ("Start",)


async def test_all_kinds_of_mutations(session: Any) -> None:
    async with session() as pair:
        mirror = pair.mirror
        assert (await mirror.add("On")).canceled
        assert (await mirror.can_add("On")).canceled
        assert (await mirror.can_add("Start")).executed
        assert not mirror.is_active("Start")
        assert (await mirror.add(["Start", "On"])).executed
        assert (await mirror.can_remove("Start")).executed
        assert (await mirror.toggle("On")).executed
        assert not mirror.is_active("On")
        assert (await mirror.toggle("On")).executed
        assert (await mirror.set("Start")).executed
        assert mirror.active_states() == pair.source.active_states() == ("Start",)
        assert (await mirror.remove("Start")).executed
        assert mirror.active_states() == ()


async def test_args_arrive_typed(lamp: Machine, session: Any) -> None:
    seen = []

    class Handlers:
        def work_state(self, event: Any) -> None:
            seen.append((event.data.number, event.data.note, event.source.machine))

    lamp.bind(Handlers())
    async with session(lamp) as pair:
        await pair.mirror.add("Work", number=7)
        await pair.mirror.add("Work", number=8, note="hi")
        bad: list[dict[str, Any]] = [{}, {"number": "7"}, {"number": 7, "other": 1}, {"number": True}]
        for args in [*bad, {"number": 1, "self": 2}, {"number": 1, "__dict__": {}}]:
            with pytest.raises(ArgsError):
                await pair.client._call(0, [lamp.schema.position("Work")], args, False)
        with pytest.raises(ArgsError, match="take no arg 'number'"):
            await pair.mirror.add("Start", number=1)
        with pytest.raises(ArgsError, match="cannot be sent"):
            pair.mirror.add("Work", number=object())
        with pytest.raises(ArgsError, match="bytes, the peer accepts"):
            pair.mirror.add("Work", number=1, note="x" * (pair.client.config.limits.args + 1))
    assert [s[:2] for s in seen] == [(7, None), (8, "hi")]


async def test_what_is_denied_is_not_executed(session: Any) -> None:
    async with session() as pair:
        for call in (
            pair.mirror.add,
            pair.mirror.remove,
            pair.mirror.set,
            pair.mirror.toggle,
            pair.mirror.can_add,
        ):
            with pytest.raises(Denied, match="role 'client' may not"):
                await call("Secret")
        with pytest.raises(Denied):
            await pair.mirror.add("Start", "Secret")
        with pytest.raises(Denied):
            await pair.mirror.add_error(ValueError("x"))
        assert pair.source.active_states() == ()
        assert (await pair.mirror.add("Start")).executed


async def test_a_set_may_not_end_what_the_role_may_not_remove(session: Any) -> None:
    async with session() as pair:
        pair.source.add("Secret")
        with pytest.raises(Denied) as caught:
            await pair.mirror.set("Start")
        assert "Secret" not in str(caught.value)
        assert pair.source.is_active("Secret")


async def test_states_that_may_not_be_read_never_move_here(session: Any) -> None:
    async with session() as pair:
        ver = pair.mirror.ver
        pair.source.add("Secret")
        pair.source.add("Pushed")
        await pair.mirror.add("Start")
        assert pair.source.is_active("Secret", "Pushed")
        assert pair.mirror.active_states() == ("Start",)
        assert pair.mirror.ver > ver


async def test_hidden_states_are_not_in_the_first_snapshot_either(lamp: Machine, session: Any) -> None:
    lamp.add("Secret", "Start")
    async with session(lamp) as pair:
        assert pair.mirror.active_states() == ("Start",)


async def test_unknown_names_are_errors_here(session: Any) -> None:
    async with session() as pair:
        for name in ("Strat", "StartEnter", "__class__", "", 3):
            with pytest.raises(UnknownState):
                pair.mirror.add(name)


async def test_an_unknown_index_is_an_error_there(session: Any) -> None:
    async with session() as pair:
        for index in (-1, -2, 8, 2**63):
            with pytest.raises(RemoteError, match="no state with index"):
                await pair.client._call(0, [index], {}, False)
        with pytest.raises(RemoteError, match="no state was called"):
            await pair.client._call(0, [], {}, False)


async def test_without_reply(session: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with session() as pair:
        pair.mirror.add_nowait("Start")
        await pair.mirror.when("Start")
        pair.mirror.remove_nowait("Start")
        await pair.mirror.when_not("Start")
        with caplog.at_level(logging.WARNING, "asyncmachine.rpc"):
            pair.mirror.add_nowait("Secret")
            await pair.mirror.add("Start")
        assert "refused: role 'client' may not add Secret" in caplog.text


async def test_waits_and_scopes(session: Any) -> None:
    async with session() as pair:
        pair.source.add("Start")
        with anyio.fail_after(5):
            await pair.mirror.when("Start")
            next_time = pair.mirror.when_next("Start")
            with pair.mirror.scope("Start") as scope:
                pair.source.remove("Start")
                await anyio.sleep_forever()
            assert scope.cancelled_caught
            pair.source.add("Start")
            assert (await next_time)["Start"] == 3
            by_query = pair.mirror.when_query(lambda time: time.is_active("Seen"))
            pair.source.add("Seen")
            await by_query
            pair.source.set("Exception")
            await pair.mirror.when_not("Seen")


async def test_a_pulse_between_two_pushes_is_seen(session: Any) -> None:
    async with session() as pair:
        on = pair.mirror.when("Seen")
        pair.source.add("Seen")
        pair.source.remove("Seen")
        with anyio.fail_after(5):
            await on
        assert pair.mirror.tick("Seen") == 2


async def test_what_a_mirror_cannot_do_says_so(session: Any) -> None:
    async with session() as pair:
        for call in (
            lambda: pair.mirror.when_args("Work", number=1),
            lambda: pair.mirror.bind(object()),
            lambda: pair.mirror.unbind(object()),
        ):
            with pytest.raises(RpcError, match="mirror"):
                call()


async def test_tracers_see_changes(session: Any) -> None:
    seen: list[Any] = []

    class Watch(Tracer):
        def transition_end(self, machine: Any, transition: Any) -> None:
            seen.append((machine.id, transition.enters, transition.exits, transition.accepted))

        def machine_dispose(self, machine: Any) -> None:
            seen.append("disposed")

    class Broken(Tracer):
        def transition_end(self, machine: Any, transition: Any) -> None:
            raise ValueError("a fault of the tracer")

    async with session() as pair:
        watch = Watch()
        pair.mirror.trace(watch)
        pair.mirror.trace(Broken())
        await pair.mirror.add("Start")
        await pair.mirror.remove("Start")
        pair.mirror.untrace(watch)
        await pair.mirror.add("Start")
        pair.mirror.trace(watch)
    name = pair.mirror.id
    assert seen == [(name, ("Start",), (), True), (name, (), ("Start",), True), "disposed"]


def test_a_change_names_what_flipped() -> None:
    change = Change("m", HUB_SCHEMA, (1, 0, 2, 0))
    change.time_after = (2, 1, 4, 0)
    assert (change.enters, change.exits, change.called) == (("Bar",), ("Foo",), ("Bar",))


def hub_with(kind: int, state: str) -> tuple[MirrorHub, Pending]:
    hub = MirrorHub(HUB_SCHEMA, "m")
    wait = Pending(kind, (HUB_SCHEMA.index[state],), hub)
    hub.add_wait(wait)
    return hub, wait


@pytest.mark.parametrize(
    ("old", "new", "multi", "ended"),
    [(1, 2, False, True), (1, 3, False, True), (2, 3, False, True), (1, 3, True, False), (1, 2, True, True)],
)
def test_which_moves_end_a_scope(old: int, new: int, multi: bool, ended: bool) -> None:
    hub = MirrorHub(HUB_SCHEMA, "m")
    index = 2 if multi else 0
    hub.ticks[index] = old
    token = hub.token(index)
    hub.install([(index, old, new)])
    assert token.expired is ended


def test_a_call_of_an_active_multi_state_is_no_pulse_off() -> None:
    hub = MirrorHub(HUB_SCHEMA, "m")
    hub.ticks[2] = 1
    off = Pending(INACTIVE, (HUB_SCHEMA.index["Many"],), hub)
    hub.add_wait(off)
    hub.install([(2, 1, 3)])
    assert not off.done
    hub.install([(2, 3, 4)])
    assert off.done


def test_a_disposed_hub_fails_waits_and_gives_expired_tokens() -> None:
    hub, wait = hub_with(ACTIVE, "Foo")
    token = hub.token(0)
    hub.dispose()
    hub.dispose()
    assert isinstance(wait.error, MachineDisposed)
    assert token.expired
    assert hub.token(1).expired
    late = Pending(ACTIVE, (0,), hub)
    hub.add_wait(late)
    assert isinstance(late.error, MachineDisposed)


async def test_a_new_life_of_the_source_ends_all_scopes_and_may_go_back(lamp: Machine) -> None:
    mirror = NetMachine(lamp.schema, "m", lambda *_: pytest.fail("no call"))
    conn = Connection(Role.CLIENT, Limits(), now=0.0, states=len(lamp.schema))
    welcome = Welcome("lamp", "", 1, "", "client", {})
    mirror.install([5, 0, 0, 0, 0, 0, 0, 0], welcome, conn)
    assert mirror.is_active("Start")
    with mirror.scope("On") as scope:
        mirror.install([0] * 8, welcome._replace(epoch=2), conn)
        assert scope.cancel_called
    assert mirror.time() == (0,) * 8
    assert (mirror.epoch, mirror.source_id, mirror.role, mirror.rtt) == (2, "lamp", "client", None)
