"""The machine with its tasks and waits, on both backends."""

from __future__ import annotations

import logging
import traceback
import tracemalloc
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asyncmachine.api import CANCELED, EXECUTED, Result, Tracer
from asyncmachine.errors import AsyncMachineError, MachineDisposed, UnknownState
from asyncmachine.machine import Machine
from asyncmachine.schema import Schema, State

SCHEMA = Schema(
    "Test",
    {
        "Start": State(),
        "A": State(),
        "B": State(require=("A",)),
        "M": State(multi=True),
        "ErrWork": State(require=("Exception",)),
    },
)


def machine(*, schema: Schema = SCHEMA, **handlers: Callable[[Any], object]) -> Machine:
    return Machine(schema, SimpleNamespace(**handlers), id="test")


# -- without an event loop ----------------------------------------------------------------------


def test_mutations_are_plain_calls() -> None:
    m = machine()
    assert m.add("A", "B") == EXECUTED
    assert m.remove("A") == EXECUTED
    assert m.active_states() == ()
    assert m.add("B") == CANCELED
    assert m.set(["A", "M"]) == EXECUTED
    assert m.time("A", "B", "M") == (3, 2, 1)


def test_toggle_removes_only_when_all_are_active() -> None:
    m = machine()
    m.toggle("A")
    assert m.is_active("A")
    m.toggle("A", "M")
    assert m.is_active("A", "M")
    m.toggle(["A", "M"])
    assert m.is_inactive("A", "M")


def test_errors_are_states_and_keep_their_traceback() -> None:
    errors: list[BaseException] = []

    def broken(event: Any) -> None:
        raise LookupError("the original")

    m = machine(a_state=broken, exception_state=lambda event: errors.append(event.args["error"]))
    m.add("A")
    assert m.is_active("Exception")
    assert traceback.extract_tb(errors[0].__traceback__)[-1].name == "broken"
    assert m.add_error(ValueError("x"), "ErrWork", extra=1) == EXECUTED
    assert m.is_active("ErrWork", "Exception")
    assert m.tick("Exception") == 3


def test_a_cancellation_is_no_error() -> None:
    m = machine()
    assert m.add_error(KeyboardInterrupt()) == CANCELED
    assert not m.is_active("Exception")


def test_checks_have_no_effect() -> None:
    m = machine(a_enter=lambda event: not event.args)
    assert m.can_add("A") == EXECUTED
    assert m.can_add("A", veto=True) == CANCELED
    assert m.can_add("B") == CANCELED
    assert m.can_remove("A") == EXECUTED
    assert m.time() == (0,) * len(SCHEMA)
    assert m.queue_tick == 1


def test_the_queue_limit_is_an_argument() -> None:
    results: list[Result] = []
    handlers = SimpleNamespace(a_state=lambda event: results.extend([m.add("M"), m.add("Start")]))
    m = Machine(SCHEMA, handlers, queue_limit=1)
    m.add("A")
    assert [r.queued for r in results] == [True, False]
    assert (m.queue_len, m.draining) == (0, False)


def test_ids_are_given_or_made_from_the_schema() -> None:
    assert machine().id == "test"
    one, two = Machine(SCHEMA), Machine(SCHEMA)
    assert one.id.startswith("test-")
    assert one.id != two.id


def test_an_async_handler_outside_of_async_with_is_an_error_state() -> None:
    async def work(event: Any) -> None: ...

    errors: list[str] = []
    m = machine(a_state=work, exception_state=lambda event: errors.append(str(event.args["error"])))
    m.add("A")
    assert m.is_active("A", "Exception")
    assert "async with" in errors[0]


def test_a_slow_handler_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    m = machine(a_state=lambda event: None)
    m._engine.slow_after = -1.0
    with caplog.at_level(logging.WARNING, "asyncmachine.machine"):
        m.add("A")
    assert "slow-handler handler='a_state'" in caplog.text


# -- tasks --------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_an_async_handler_ends_with_its_state() -> None:
    ended = anyio.Event()
    started = anyio.Event()

    async def work(event: Any) -> None:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    async with machine(a_state=work) as m:
        m.add("A")
        await started.wait()
        m.remove("A")
        await ended.wait()
        assert not m.is_active("Exception")


@pytest.mark.anyio
async def test_a_task_whose_state_ends_before_its_first_turn_never_runs() -> None:
    ran: list[int] = []

    async def work(event: Any) -> None:
        ran.append(m.tick("A"))

    async with machine(a_state=work) as m:
        m.add("A")
        m.remove("A")
        m.add("A")
        await anyio.wait_all_tasks_blocked()
    assert ran == [3]


@pytest.mark.anyio
async def test_no_task_outlives_the_machine() -> None:
    ended: list[str] = []

    async def work(event: Any) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(event.name)

    async with machine(a_state=work, m_state=work, any_state=work) as m:
        m.add("A")
        m.add("M")
        await anyio.wait_all_tasks_blocked()
    assert sorted(ended) == ["a_state", "any_state", "any_state", "m_state"]
    assert m.disposed


@pytest.mark.anyio
async def test_the_error_of_a_task_is_a_state_with_the_original_traceback() -> None:
    errors: list[Mapping[str, Any]] = []

    async def broken(event: Any) -> None:
        await anyio.lowlevel.checkpoint()
        raise LookupError("the original")

    async with machine(a_state=broken, exception_state=lambda event: errors.append(event.args)) as m:
        m.add("A")
        await m.when_error()
        assert m.is_active("A")
    assert errors[0]["handler"] == "a_state"
    assert traceback.extract_tb(errors[0]["error"].__traceback__)[-1].name == "broken"


@pytest.mark.anyio
async def test_an_error_while_being_cancelled_is_a_state_even_from_a_nested_group() -> None:
    async def broken() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise LookupError("during clean-up")

    async def work(event: Any) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(broken)

    async with machine(a_state=work) as m:
        m.add("A")
        await anyio.wait_all_tasks_blocked()
        m.remove("A")
        await m.when_error()


@pytest.mark.anyio
async def test_what_a_task_mutates_has_its_transition_as_source() -> None:
    sources: list[Any] = []

    async def work(event: Any) -> None:
        await anyio.lowlevel.checkpoint()
        other.add("M")

    other = machine(m_state=lambda event: sources.append(event.source))
    async with Machine(SCHEMA, SimpleNamespace(a_state=work), id="origin") as m:
        m.add("A")
        await other.when("M")
    assert (sources[0].machine, sources[0].transition) == ("origin", "origin/1")


# -- multi states -------------------------------------------------------------------------------


def multi(**options: Any) -> Schema:
    return Schema("Test", {"Start": State(), "M": State(multi=True, **options), "ErrHandlerTimeout": State()})


@pytest.mark.anyio
async def test_tasks_of_a_multi_state_run_side_by_side_and_survive_its_end() -> None:
    running: list[int] = []
    release = anyio.Event()

    async def work(event: Any) -> None:
        running.append(event.args["n"])
        await release.wait()
        running.remove(event.args["n"])

    async with machine(schema=multi(), m_state=work) as m:
        for n in range(3):
            m.add("M", n=n)
        m.remove("M")
        await anyio.wait_all_tasks_blocked()
        assert sorted(running) == [0, 1, 2]
        release.set()
        await anyio.wait_all_tasks_blocked()
        assert running == []


@pytest.mark.anyio
async def test_tasks_of_a_multi_state_end_with_their_scope_state() -> None:
    running: set[int] = set()

    async def work(event: Any) -> None:
        running.add(event.args["n"])
        try:
            await anyio.sleep_forever()
        finally:
            running.discard(event.args["n"])

    async with machine(schema=multi(scope="Start"), m_state=work) as m:
        m.add("Start")
        for n in range(2):
            m.add("M", n=n)
        await anyio.wait_all_tasks_blocked()
        assert running == {0, 1}
        m.remove("Start")
        await anyio.wait_all_tasks_blocked()
        assert running == set()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("overflow", "ran", "failed"), [("drop", [0], 0), ("queue", [0, 1, 2], 0), ("error", [0], 2)]
)
async def test_calls_over_the_limit(overflow: str, ran: list[int], failed: int) -> None:
    seen: list[int] = []
    errors: list[str] = []
    most = 0
    running = 0

    async def work(event: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        seen.append(event.args["n"])
        await anyio.lowlevel.checkpoint()
        running -= 1

    async with machine(
        schema=multi(limit=1, overflow=overflow),
        m_state=work,
        exception_state=lambda event: errors.append(str(event.args["error"])),
    ) as m:
        for n in range(3):
            assert m.add("M", n=n) == EXECUTED
        await anyio.wait_all_tasks_blocked()
    assert (seen, most, len(errors)) == (ran, 1, failed)


@pytest.mark.anyio
async def test_rule_12_a_task_that_takes_too_long_is_cancelled_and_is_an_error_state() -> None:
    ended = anyio.Event()

    async def work(event: Any) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    async with machine(schema=multi(timeout=0.01), m_state=work) as m:
        m.add("M")
        await m.when("ErrHandlerTimeout", "Exception")
        assert ended.is_set()


@pytest.mark.anyio
async def test_a_timeout_error_of_the_handler_itself_is_a_plain_error() -> None:
    async def work(event: Any) -> None:
        raise TimeoutError("of something else")

    async with machine(schema=multi(timeout=60), m_state=work) as m:
        m.add("M")
        await m.when_error()
        assert not m.is_active("ErrHandlerTimeout")


# -- waits and results --------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_queued_result_settles_executed_or_canceled() -> None:
    results: list[Result] = []
    m = machine(a_state=lambda event: results.extend([m.add("M"), m.remove("A"), m.add("B")]))
    m.add("A")
    assert [r.queued for r in results] == [True] * 3
    assert [await r for r in results] == [EXECUTED, EXECUTED, CANCELED]
    assert await m.settled(results[2]) == CANCELED
    assert await m.settled(EXECUTED) is EXECUTED


@pytest.mark.anyio
async def test_rule_09_whoever_waits_for_a_queued_mutation_is_woken_when_it_is_canceled() -> None:
    settled: list[Result] = []

    async def wait_for(result: Result) -> None:
        settled.append(await result)

    async with anyio.create_task_group() as group:
        m = machine(a_state=lambda event: group.start_soon(wait_for, m.add("B", "ErrWork")))
        m.add("A")
    assert settled == [CANCELED]


@pytest.mark.anyio
async def test_rule_08_disposal_fails_whoever_waits() -> None:
    failed: list[str] = []

    async def wait(awaitable: Any) -> None:
        with pytest.raises(MachineDisposed, match="machine test is disposed"):
            await awaitable
        failed.append("x")

    m = machine()
    async with anyio.create_task_group() as group:
        for awaitable in (
            m.when("A"),
            m.when_query(lambda time: False),
            m.when_args("A", x=1),
            m.when_next("A"),
        ):
            group.start_soon(wait, awaitable)
        await anyio.wait_all_tasks_blocked()
        m.dispose()
    assert len(failed) == 4
    with pytest.raises(MachineDisposed):
        await m.when("A")
    await m.when_disposed()


@pytest.mark.anyio
async def test_disposal_removes_start_first_and_is_idempotent() -> None:
    ran: list[str] = []
    disposals: list[str] = []

    class Count(Tracer):
        def machine_dispose(self, machine: Any) -> None:
            disposals.append(machine.id)

    m = machine(start_end=lambda event: ran.append("start_end"))
    m.trace(Count())
    async with m:
        m.add("Start")
    m.dispose()
    assert (ran, disposals) == (["start_end"], ["test"])
    assert m.add("A") == m.can_add("A") == CANCELED
    with pytest.raises(UnknownState):
        m.add("Nope")


@pytest.mark.anyio
async def test_when_disposed_wakes_everybody() -> None:
    woken: list[int] = []

    async def wait(n: int) -> None:
        await m.when_disposed()
        woken.append(n)

    async with anyio.create_task_group() as group, machine() as m:
        for n in range(2):
            group.start_soon(wait, n)
        await anyio.wait_all_tasks_blocked()
        assert woken == []
    assert sorted(woken) == [0, 1]


@pytest.mark.anyio
async def test_what_the_block_raises_comes_out_as_it_was() -> None:
    m = machine()
    with pytest.raises(LookupError, match="of the block"):
        async with m:
            raise LookupError("of the block")
    assert m.disposed


@pytest.mark.anyio
async def test_a_machine_may_be_disposed_by_its_own_handler() -> None:
    started: list[str] = []

    async def work(event: Any) -> None:
        started.append(event.name)

    def stop(event: Any) -> None:
        m.dispose()

    async with machine(a_state=stop, b_state=work) as m:
        assert m.add("A", "B") == EXECUTED
        await m.when_disposed()
        await anyio.wait_all_tasks_blocked()
    assert started == []


@pytest.mark.anyio
async def test_a_failing_query_fails_its_own_wait_and_nothing_else() -> None:
    m = machine()
    bad, good = m.when_query(lambda time: time["Nope"] > 0), m.when_query(lambda time: time["A"] == 1)
    assert m.add("A") == EXECUTED
    assert (await good)["A"] == 1
    with pytest.raises(UnknownState, match="Nope"):
        await bad


def test_mutating_for_another_machine_records_its_source() -> None:
    from asyncmachine._core.mutation import Source

    sources: list[Any] = []
    m = machine(a_state=lambda event: sources.append(event.source))
    source = Source("far", "far/3", 9)
    assert m.add_from(source, 0, ("A",), {"x": 1}) == EXECUTED
    assert m.add_from(source, 1, ("A",), {}) == EXECUTED
    assert sources == [source]


def test_binding_and_tracing_can_be_undone() -> None:
    ran: list[str] = []
    handlers = SimpleNamespace(a_state=lambda event: ran.append("a"))
    m = Machine(SCHEMA, handlers)
    m.add("A")
    m.unbind(handlers)
    m.set("A")
    m.remove("A")
    m.add("A")
    assert ran == ["a"]
    with pytest.raises(AsyncMachineError, match="is not bound"):
        m.unbind(handlers)


def test_an_error_is_logged_unless_a_handler_of_exception_sees_it(caplog: pytest.LogCaptureFixture) -> None:
    class Raises:
        def a_state(self, event: object) -> None:
            raise ValueError("on purpose")

    class Sees(Raises):
        def exception_state(self, event: object) -> None:
            pass

    schema = Schema("Log", {"A": State()})
    with caplog.at_level("ERROR", logger="asyncmachine"):
        seen = Machine(schema, Sees())
        seen.add("A")
        seen.add_error(ValueError("told"))
        assert not caplog.records
        unseen = Machine(schema, Raises())
        unseen.add("A")
        unseen.add_error(ValueError("told"))
    assert [record.exc_info[1].args for record in caplog.records if record.exc_info] == [
        ("on purpose",),
        ("told",),
    ]


def test_an_idle_machine_takes_little_memory() -> None:
    schema = Schema("Four", {"A": State(), "B": State(), "C": State(), "D": State()})
    Machine(schema).add("A")  # what all machines of the schema share is there now
    tracemalloc.start()
    try:
        machines = [Machine(schema) for _ in range(200)]
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size / len(machines) < 1500


def test_a_thousand_mutations_of_one_handler_are_all_executed_in_order() -> None:
    seen: list[int] = []

    def start_state(event: Any) -> None:
        results = [event.machine.add("M", n=n) for n in range(1000)]
        assert all(result.queued for result in results)
        assert [result.tick for result in results] == list(range(3, 1003))

    machine = Machine(
        SCHEMA, SimpleNamespace(start_state=start_state, m_state=lambda event: seen.append(event.args["n"]))
    )
    machine.add("Start")
    assert seen == list(range(1000))
    assert machine.queue_tick == 1002
    assert machine.tick("M") == 1999
