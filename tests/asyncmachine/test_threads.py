"""Mutations from other threads. A thread is a worker of the event loop, or one of our own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from asyncmachine._threads import FromThread, poster
from asyncmachine.api import CANCELED, EXECUTED, Result
from asyncmachine.errors import AsyncMachineError, MachineDisposed, UnknownState, WrongThread
from asyncmachine.machine import Machine
from asyncmachine.schema import Schema, State

SCHEMA = Schema(
    "Test", {"A": State(), "B": State(require=("A",)), "M": State(multi=True), "ErrWork": State()}
)


def machine(**handlers: Callable[[Any], object]) -> Machine:
    return Machine(SCHEMA, SimpleNamespace(**handlers), id="test")


@pytest.mark.anyio
async def test_every_mutation_runs_in_the_thread_of_the_machine() -> None:
    threads: set[int] = set()

    def note(event: Any) -> None:
        threads.add(threading.get_ident())

    def work() -> list[Result]:
        far = m.from_thread
        return [
            far.add("A", x=1),
            far.can_add("B"),
            far.can_remove("M"),
            far.toggle(["A", "B"]),
            far.set("M"),
            far.add("B"),
            far.remove("M"),
            far.add_error(ValueError("x"), "ErrWork", y=2),
        ]

    async with machine(a_state=note, m_state=note, err_work_state=note) as m:
        results = await anyio.to_thread.run_sync(work)
        assert results == [EXECUTED] * 5 + [CANCELED] + [EXECUTED] * 2
        assert m.time("A", "B", "M", "ErrWork", "Exception") == (2, 2, 2, 1, 1)
    assert threads == {threading.get_ident()}


@pytest.mark.anyio
async def test_a_thread_may_start_an_async_handler_and_wake_waiters() -> None:
    async def work(event: Any) -> None:
        async with anyio.create_task_group() as group:  # needs to know its event loop
            group.start_soon(anyio.sleep, 0)
        event.machine.add("M")

    async with machine(a_state=work) as m:
        thread = threading.Thread(target=lambda: m.from_thread.add("A"))
        thread.start()
        clock = await m.when("M")
        thread.join()
    assert clock.is_active("A")


@pytest.mark.anyio
async def test_unknown_names_are_errors_of_the_caller() -> None:
    def work() -> None:
        with pytest.raises(UnknownState, match="Nope"):
            m.from_thread.add("Nope")

    async with machine() as m:
        await anyio.to_thread.run_sync(work)
        assert m.add("A") == EXECUTED


@pytest.mark.anyio
async def test_the_source_is_what_the_thread_was_started_by() -> None:
    async def work(event: Any) -> None:
        await anyio.to_thread.run_sync(lambda: event.machine.from_thread.add("M"))

    sources: list[Any] = []
    async with machine(a_state=work, m_state=lambda event: sources.append(event.source)) as m:
        m.add("A")
        await m.when("M")
        m.add("M")
    assert [s and s.transition for s in sources] == ["test/1", None]


@pytest.mark.anyio
async def test_the_own_thread_is_refused() -> None:
    async with machine() as m:
        with pytest.raises(WrongThread, match=r"call machine\.add"):
            m.from_thread.add("A")
        assert m.is_inactive("A")


@pytest.mark.anyio
async def test_a_machine_without_an_event_loop_is_refused() -> None:
    m = machine()
    with pytest.raises(WrongThread, match="async with machine"):
        _ = m.from_thread


@pytest.mark.anyio
async def test_a_machine_that_is_gone_is_refused() -> None:
    async with machine() as m:
        far = m.from_thread

    def work() -> None:
        with pytest.raises(MachineDisposed):
            far.add("A")

    await anyio.to_thread.run_sync(work)


@pytest.mark.anyio
async def test_who_waits_while_the_machine_goes_is_told() -> None:
    posted = threading.Event()
    failed: list[Exception] = []

    def work() -> None:
        try:
            far.add("A")
        except MachineDisposed as error:
            failed.append(error)

    async with machine() as m:
        far = m.from_thread
        post = poster()

        def told(call: Callable[[], object]) -> None:
            post(call)
            posted.set()

        far._post = told
        thread = threading.Thread(target=work)
        thread.start()
        posted.wait()  # blocks the event loop, so that the call cannot be answered
        m.dispose()
        thread.join()
        await anyio.wait_all_tasks_blocked()  # the late call finds nobody
    assert len(failed) == 1
    assert m.is_inactive("A")


def test_a_loop_that_has_ended_is_refused() -> None:
    found: list[FromThread] = []
    errors: list[Exception] = []

    async def run() -> None:
        found.append(FromThread(machine()))

    def work() -> None:
        try:
            found[0].add("A")
        except WrongThread as error:
            errors.append(error)

    anyio.run(run)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert "has ended" in str(errors[0])


@pytest.mark.anyio
async def test_an_interrupt_leaves_nobody_waiting() -> None:
    class Interrupted:
        id = "test"

        def add(self, *states: object, **args: object) -> Result:
            raise KeyboardInterrupt

    calls: list[Callable[[], object]] = []
    posted = threading.Event()
    failed: list[Exception] = []

    def work() -> None:
        try:
            far.add("A")
        except AsyncMachineError as error:
            failed.append(error)

    far = FromThread(Interrupted())  # type: ignore[arg-type]
    far._post = lambda call: (calls.append(call), posted.set())
    thread = threading.Thread(target=work)
    thread.start()
    posted.wait()
    with pytest.raises(KeyboardInterrupt):
        calls[0]()
    thread.join()
    assert "interrupted" in str(failed[0])


@pytest.mark.anyio
async def test_many_threads_lose_nothing() -> None:
    def work() -> None:
        for _ in range(50):
            assert m.from_thread.add("M") == EXECUTED

    async with machine() as m, anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(anyio.to_thread.run_sync, work)
        await m.when_tick("M", 399)
    assert m.tick("M") == 399
