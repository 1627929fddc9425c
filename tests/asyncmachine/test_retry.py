from __future__ import annotations

import math
from itertools import islice
from typing import Any

import anyio
import pytest

from asyncmachine.api import CANCELED, EXECUTED, Result
from asyncmachine.errors import Denied, GaveUp, MachineDisposed, NotConnected, OutcomeUnknown, UnknownState
from asyncmachine.machine import Machine
from asyncmachine.retry import RetryConfig, request
from asyncmachine.schema import Schema, State
from asyncmachine.testing.clock import run_virtual

SCHEMA = Schema("Door", {"Open": State(), "Locked": State(remove=("Open",)), "Own": State(multi=True)})
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


class Answers:
    """Gives these answers, one per call, and notes when it was asked."""

    def __init__(self, *answers: Result | Exception) -> None:
        self.answers = list(answers)
        self.at: list[float] = []
        self.args: list[Any] = []

    async def add(self, *states: str, **args: Any) -> Result:
        self.at.append(round(anyio.current_time(), 6))
        self.args.append((states, args))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def ask(backend: str, answers: Answers, **config: Any) -> Result:
    async def main() -> Result:
        return await request(answers.add, "Open", x=1, config=RetryConfig(**config))

    return run_virtual(main, backend=backend)


@BACKENDS
def test_a_canceled_mutation_is_repeated_with_growing_pauses(backend: str) -> None:
    answers = Answers(CANCELED, CANCELED, CANCELED, EXECUTED)
    assert ask(backend, answers).executed
    start = answers.at[0]
    assert [round(t - start, 6) for t in answers.at] == [0, 0.1, 0.3, 0.7]
    assert answers.args == [(("Open",), {"x": 1})] * 4


@BACKENDS
def test_a_real_machine_opens_when_it_is_unlocked(backend: str) -> None:
    async def main() -> None:
        door = Machine(SCHEMA)
        door.add("Locked")
        tries: list[str] = []

        class Handlers:
            def locked_to_locked(self, event: Any) -> None:
                tries.append("asked")

        door.bind(Handlers())
        async with anyio.create_task_group() as tasks:

            async def unlock() -> None:
                await anyio.sleep(1)
                door.remove("Locked")

            tasks.start_soon(unlock)
            began = anyio.current_time()
            assert (await request(door.add, "Open")).executed
            assert 1 <= anyio.current_time() - began < 1.6
        assert door.is_active("Open")

    run_virtual(main, backend=backend)


@BACKENDS
def test_the_last_try(backend: str) -> None:
    answers = Answers(CANCELED)
    with pytest.raises(GaveUp) as caught:
        ask(backend, answers, tries=3, delay=1, max_delay=1.5, deadline=None)
    assert [t - answers.at[0] for t in answers.at] == [0, 1, 2.5]
    gave_up = caught.value
    assert (gave_up.tries, gave_up.last, gave_up.elapsed) == (3, CANCELED, 2.5)
    assert str(gave_up) == (
        "add('Open') was tried 3 times in 2.5 s, last answer CANCELED; gave up: no try is left"
    )


@BACKENDS
def test_no_pause_goes_beyond_the_deadline(backend: str) -> None:
    answers = Answers(CANCELED)
    with pytest.raises(GaveUp, match="the next try would be after 5 s") as caught:
        ask(backend, answers, delay=2, deadline=5)
    assert caught.value.elapsed == pytest.approx(2)
    assert caught.value.tries == 2


@BACKENDS
def test_an_answer_that_does_not_come(backend: str) -> None:
    async def main() -> None:
        calls = []

        async def add() -> Result:
            calls.append(1)
            if len(calls) == 1:
                raise NotConnected("no session")
            await anyio.sleep_forever()
            return EXECUTED

        with pytest.raises(GaveUp, match=r"no answer within 3 s") as caught:
            await request(add, config=RetryConfig(deadline=3))
        assert caught.value.tries == 2
        assert caught.value.elapsed == pytest.approx(3)
        assert "last answer NotConnected: no session" in str(caught.value)

    run_virtual(main, backend=backend)


@BACKENDS
def test_a_cancelled_caller_is_cancelled(backend: str) -> None:
    async def main() -> bool:
        with anyio.move_on_after(1) as scope:
            await request(Answers(CANCELED).add, "Open", config=RetryConfig(delay=3, tries=100))
        return scope.cancelled_caught

    assert run_virtual(main, backend=backend)


@BACKENDS
def test_which_errors_are_repeated(backend: str) -> None:
    assert ask(backend, Answers(NotConnected("no"), EXECUTED)).executed
    for error in (OutcomeUnknown("?"), Denied("no")):
        answers = Answers(error, EXECUTED)
        with pytest.raises(type(error)):
            ask(backend, answers)
        assert len(answers.at) == 1
    assert ask(backend, Answers(OutcomeUnknown("?"), EXECUTED), again=(OutcomeUnknown,)).executed


@BACKENDS
def test_what_is_in_vain_is_not_repeated(backend: str) -> None:
    async def main() -> None:
        door = Machine(SCHEMA, id="door")
        with pytest.raises(UnknownState):
            await request(door.add, "Opne")
        door.dispose()
        began = anyio.current_time()
        with pytest.raises(MachineDisposed, match="door"):
            await request(door.add, "Open")
        assert anyio.current_time() == began

    run_virtual(main, backend=backend)


@BACKENDS
def test_a_queued_mutation_counts_by_its_final_result(backend: str) -> None:
    """Inside a handler the first answer is only that it was queued."""

    async def main() -> list[bool]:
        results: list[bool] = []

        class Handlers:
            async def own_state(self, event: Any) -> None:
                results.append((await request(event.machine.add, "Open")).executed)

        async with Machine(SCHEMA, Handlers()) as door:
            door.add("Locked", "Own")
            await anyio.sleep(0.05)
            door.remove("Locked")
            await door.when("Open")
        return results

    assert run_virtual(main, backend=backend) == [True]


def test_jitter_takes_from_the_pause() -> None:
    config = RetryConfig(delay=1, max_delay=4, jitter=0.5, rng=lambda: 0.5)
    assert list(islice(config.pauses(), 4)) == [0.75, 1.5, 3, 3]
    assert next(RetryConfig(delay=9, max_delay=4).pauses()) == 4
    steep = RetryConfig(backoff=1e300, delay=1, max_delay=1e300).pauses()
    assert all(math.isfinite(pause) for pause in islice(steep, 5))
    assert list(islice(RetryConfig(delay=0).pauses(), 3)) == [0, 0, 0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"tries": 0},
        {"delay": -1},
        {"delay": math.nan},
        {"backoff": 0.5},
        {"max_delay": -1},
        {"jitter": 1.5},
        {"jitter": -0.1},
        {"deadline": 0},
    ],
    ids="-".join,
)
def test_values_that_make_no_sense(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name} is"):
        RetryConfig(**wrong)
