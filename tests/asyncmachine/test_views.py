from __future__ import annotations

from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest

from asyncmachine.errors import UnknownState
from asyncmachine.machine import Machine
from asyncmachine.schema import Schema, State
from asyncmachine.views import Pending

SCHEMA = Schema("Test", {"A": State(), "B": State(), "M": State(multi=True)})


def machine() -> Machine:
    return Machine(SCHEMA, id="test")


def test_reads() -> None:
    m = machine()
    m.add("A", "M")
    m.add("M")
    assert m.is_active("A", "M")
    assert not m.is_active("A", "B")
    assert m.is_active()
    assert m.is_inactive("B")
    assert not m.is_inactive("A", "B")
    assert m.any_active("A", "B")
    assert not m.any_active("B")
    assert "A" in m
    assert "B" not in m
    assert (m.tick("M"), m.time("M", "A"), m.time()) == (3, (3, 1), (1, 0, 3, 0))
    assert m.clock().as_dict() == {"A": 1, "B": 0, "M": 3, "Exception": 0}
    assert m.active_states() == ("A", "M")
    assert (str(m), repr(m)) == ("(A:1 M:3)", "<Machine test (A:1 M:3)>")
    assert (m.id, m.schema, m.disposed) == ("test", SCHEMA, False)


def test_a_clock_is_a_copy() -> None:
    m = machine()
    before = m.clock()
    m.add("A")
    assert (before["A"], m.clock()["A"]) == (0, 1)


@pytest.mark.parametrize(
    "ask",
    [
        lambda m: m.is_active("Aa"),
        lambda m: m.is_inactive("Aa"),
        lambda m: m.any_active("B", "Aa"),
        lambda m: "Aa" in m,
        lambda m: ["A"] in m,
        lambda m: m.tick("Aa"),
        lambda m: m.time("Aa"),
        lambda m: m.when("Aa"),
        lambda m: m.when_not("Aa"),
        lambda m: m.when_tick("Aa", 1),
        lambda m: m.when_next("Aa"),
        lambda m: m.when_args("Aa", x=1),
        lambda m: m.scope("Aa").__enter__(),
    ],
)
def test_unknown_names_raise_everywhere(ask: Callable[[Machine], object]) -> None:
    with pytest.raises(UnknownState):
        ask(machine())


@pytest.mark.anyio
async def test_waits_give_the_clock_at_the_moment_they_fired() -> None:
    m = machine()
    waits = [
        m.when("A", "B"),
        m.when_tick("A", 3),
        m.when_next("M"),
        m.when_args("M", x=1),
        m.when_query(lambda t: t["B"] > 0),
    ]
    m.add("A", "B")
    m.remove("A")
    m.add("M", x=2)
    m.add("M", x=1, y=2)
    m.add("A")
    m.remove("A", "B", "M")
    clocks = [await w for w in waits]
    assert [(c["A"], c["B"], c["M"]) for c in clocks] == [
        (1, 1, 0),
        (3, 1, 3),
        (2, 1, 1),
        (2, 1, 3),
        (1, 1, 0),
    ]
    assert await waits[0] == clocks[0]


@pytest.mark.anyio
async def test_waits_for_what_holds_already_are_done_at_once() -> None:
    m = machine()
    m.add("A")
    assert (await m.when("A"))["A"] == 1
    assert (await m.when_not("B", "M"))["B"] == 0
    assert (await m.when_tick("A", 1))["A"] == 1
    assert (await m.when()).ticks == m.time()


@pytest.mark.anyio
async def test_when_next_does_not_mean_the_present_activity() -> None:
    m = machine()
    m.add("A", "M")
    waits = [m.when_next("A"), m.when_next("M")]
    m.add("M")
    assert [w.done for w in waits] == [False, True]
    m.remove("A")
    assert not waits[0].done
    m.add("A")
    assert (await waits[0])["A"] == 3


async def wait_for(pending: Pending) -> None:
    await pending


@pytest.mark.anyio
async def test_cancelling_the_awaiting_task_unsubscribes_and_awaiting_again_subscribes_again() -> None:
    m = machine()
    pending = m.when("A")
    for _ in range(2):
        async with anyio.create_task_group() as group:
            group.start_soon(wait_for, pending)
            await anyio.wait_all_tasks_blocked()
            assert m._engine.waits.mask == 1
            group.cancel_scope.cancel()
        assert m._engine.waits.mask == 0
    m.add("A")
    assert (await pending)["A"] == 1


@pytest.mark.anyio
async def test_one_of_several_awaiting_tasks_may_leave() -> None:
    m = machine()
    pending = m.when("A")
    scope = anyio.CancelScope()
    got: list[int] = []

    async def leave() -> None:
        with scope:
            await pending

    async def stay() -> None:
        got.append((await pending)["A"])

    async with anyio.create_task_group() as group:
        group.start_soon(leave)
        group.start_soon(stay)
        await anyio.wait_all_tasks_blocked()
        scope.cancel()
        await anyio.wait_all_tasks_blocked()
        m.add("A")
    assert got == [1]


def test_a_wait_can_be_cancelled_without_a_loop() -> None:
    m = machine()
    pending = m.when("A")
    pending.cancel()
    m.add("A")
    assert not pending.done
    assert m._engine.waits.mask == 0


@pytest.mark.anyio
@pytest.mark.parametrize("state", ["A", "B"])
async def test_a_scope_ends_with_the_present_tick_of_its_state(state: str) -> None:
    m = machine()
    m.add("A")
    after: list[bool] = []

    async def hold() -> None:
        with m.scope(state) as scope:
            await anyio.sleep_forever()
        after.append(scope.cancelled_caught)

    async with anyio.create_task_group() as group:
        group.start_soon(hold)
        await anyio.wait_all_tasks_blocked()
        m.add("M")
        await anyio.wait_all_tasks_blocked()
        assert after == []
        m.toggle(state)
    assert after == [True]


@pytest.mark.anyio
async def test_a_scope_of_a_multi_state_ends_when_it_is_called_again() -> None:
    m = machine()
    m.add("M")
    with m.scope("M") as scope:
        m.add("M")
        await anyio.sleep_forever()
    assert scope.cancelled_caught


@pytest.mark.anyio
async def test_leaving_a_scope_early_is_fine() -> None:
    m = machine()
    m.add("A")
    with m.scope("A") as scope:
        pass
    m.remove("A")
    await anyio.lowlevel.checkpoint()
    assert not scope.cancel_called


@pytest.mark.anyio
async def test_disposal_ends_scopes_and_new_ones_are_over_at_once() -> None:
    m = machine()
    with m.scope("A") as scope:
        m.dispose()
        await anyio.sleep_forever()
    assert scope.cancelled_caught
    with m.scope("A") as late:
        await anyio.sleep_forever()
    assert late.cancelled_caught


def test_inspect_shows_ticks_properties_and_relations() -> None:
    schema = Schema(
        "Shown",
        {
            "A": State(auto=True, require=("C",)),
            "B": State(multi=True, add=("C", "D")),
            "C": State(after=("D",)),
            "D": State(remove=("A",)),
        },
    )
    m = Machine(schema, id="shown")
    m.add("C")
    m.add("B")
    assert m.inspect("A", "C").splitlines() == [
        "0 A",
        "    |Tick     2",
        "    |Auto     true",
        "    |Require  C",
        "1 C",
        "    |Tick     1",
        "    |After    D",
    ]
    assert m.inspect("B") == "1 B\n    |Tick     1\n    |Multi    true\n    |Add      C D"
    assert m.inspect("D").endswith("|Remove   A")
    assert m.inspect().splitlines()[-3:] == ["0 Exception", "    |Tick     0", "    |Multi    true"]
    assert (str(m), repr(m)) == ("(B:1 C:1 D:1)", "<Machine shown (B:1 C:1 D:1)>")
    with pytest.raises(UnknownState, match="did you mean"):
        m.inspect("Excepton")
