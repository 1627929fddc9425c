"""Several leased workers that work through one stream of jobs.

The decisions are in :mod:`asyncmachine.node.dispatch`; here are the tasks that keep a link to each of
the workers and get another worker when one is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import anyio

from asyncmachine.errors import (
    ArgsError,
    AsyncMachineError,
    NoWorker,
    RpcError,
    WorkerLost,
)
from asyncmachine.node.args import REFUSED, Answer, WorkResult, decode_value, encode_value
from asyncmachine.node.dispatch import Dispatcher, Job, Lost
from asyncmachine.node.exits import ExitReport
from asyncmachine.node.link import MAX_INPUT, WorkerLink

__all__ = ["Fleet", "FleetConfig", "MapRun", "Outcome"]

_NOTICE = 1.0  # seconds to wait for the supervisor's word on how a worker died; it takes milliseconds
_AHEAD = 1024  # outcomes that may wait for a consumer of ``map`` before no more inputs are taken


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetConfig:
    """How a fleet works.

    Attributes:
        workers: how many to hold.
        idempotent: a job whose worker died may be run again, on another one.
        deadline: seconds that one job may take, None for no limit.
        depth: most jobs at one worker at a time, None to adapt.
    """

    workers: int = 1
    idempotent: bool = False
    deadline: float | None = None
    depth: int | None = None

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"FleetConfig.workers is {self.workers}, it must be at least 1")
        if self.deadline is not None and not self.deadline > 0:
            raise ValueError(f"FleetConfig.deadline is {self.deadline}, it must be positive seconds")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one job ended.

    Attributes:
        index: position of its input, from 0.
        value: what the function returned, None on failure.
        error: None, or why there is no value: ``WorkError`` (with the remote traceback), ``WorkTimeout``,
            ``WorkerLost``, or ``ArgsError`` when the input or the result could not be sent.
        worker: id of the worker that answered, or died.
    """

    index: int
    value: Any = None
    error: AsyncMachineError | None = None
    worker: str = ""

    def result(self) -> Any:
        """The value; raises the error."""
        if self.error is not None:
            raise self.error
        return self.value


@dataclass(slots=True)
class _Open:
    """A job without an outcome yet."""

    deliver: Callable[[Outcome], None]
    deadline: float | None = field(default=None)


class Fleet:
    """Holds workers and runs jobs on them. Made by ``NodeClient.fleet``.

    Args:
        spawn: starts a task that its owner ends.
        lease: asks the supervisor for a worker; raises ``NoWorker``.
        explain: how the worker died, as far as the supervisor says so, with its report; may take a moment.
        identity: id of the client, and the kind of its workers.
    """

    def __init__(
        self,
        lease: Callable[[], Awaitable[Answer]],
        explain: Callable[[str], Awaitable[tuple[str, ExitReport | None]]],
        spawn: Callable[[Callable[[], Coroutine[Any, Any, None]]], object],
        *,
        identity: tuple[str, str],
        config: FleetConfig,
    ) -> None:
        self._spawn = spawn
        self._scope = anyio.CancelScope()
        self._lease = lease
        self._explain = explain
        self._client_id, self._kind = identity
        self.config = config
        self._dispatcher: Dispatcher[WorkerLink] = Dispatcher(
            idempotent=config.idempotent, depth=config.depth
        )
        self._open: dict[int, _Open] = {}
        self._next = 0
        self._holders = config.workers  # workers held, or still hoped for
        self._listeners: set[Callable[[], None]] = set()
        self._fatal: AsyncMachineError | None = None
        self.lost: list[str] = []

    # -- jobs ----------------------------------------------------------------------------------

    def submit(self, value: Any, deliver: Callable[[Outcome], None], deadline: float | None = None) -> int:
        """Queue a job; *deliver* is called once with its outcome. Returns its id.

        Raises:
            ArgsError: *value* cannot be encoded.
            NoWorker: the supervisor gave its last word: there will be no worker.
        """
        if self._fatal is not None:
            raise self._fatal
        data = encode_value(value, "input")
        if len(data) > MAX_INPUT:
            raise ArgsError(
                f"input has {len(data)} bytes encoded, at most {MAX_INPUT} can be sent; send a path"
            )
        index = self._next
        self._next += 1
        self._open[index] = _Open(deliver, deadline if deadline is not None else self.config.deadline)
        self._dispatcher.add(Job(index, data))
        self._pump()
        return index

    def cancel(self, index: int) -> None:
        """Nobody wants the outcome any more: it will not be delivered."""
        if self._open.pop(index, None) is not None:
            self._withdraw(index)
            self._pump()

    async def call(self, value: Any, *, deadline: float | None = None) -> Any:
        """Run one job; its result. Cancelling the caller cancels the work.

        Raises:
            WorkError, WorkTimeout, WorkerLost: see there.
            ArgsError: *value* cannot be encoded.
            NoWorker: no worker was granted, or the fleet was stopped.
        """
        done = anyio.Event()
        outcomes: list[Outcome] = []

        def deliver(outcome: Outcome) -> None:
            outcomes.append(outcome)
            done.set()

        index = self.submit(value, deliver, deadline)
        try:
            await done.wait()
        finally:
            self.cancel(index)
        return outcomes[0].result()

    def map(self, inputs: Iterable[Any] | AsyncIterable[Any], *, ordered: bool = False) -> MapRun:
        """Run a job per input; iterate over the outcomes as they come, or in input order."""
        return MapRun(self, inputs, ordered=ordered, owner=False)

    @property
    def has_room(self) -> bool:
        """Whether a worker could take another job at once."""
        return self._dispatcher.has_room

    @property
    def failed(self) -> bool:
        """Whether there will never be a worker."""
        return self._fatal is not None

    def listen(self, listener: Callable[[], None]) -> None:
        """Call *listener* whenever there is room for another job, or the fleet has failed."""
        self._listeners.add(listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Stop that."""
        self._listeners.discard(listener)

    @property
    def workers(self) -> tuple[str, ...]:
        """Ids of the workers held now."""
        return tuple(link.worker for link in self._dispatcher.workers())

    # -- workers -------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to hold workers."""
        self._spawn(self._run)

    def stop(self) -> None:
        """Give the workers back; jobs without an outcome fail with ``NoWorker``."""
        self._end(NoWorker("the fleet was stopped before this job had an outcome"))
        self._scope.cancel()

    def spawn(self, task: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a task that ends with the client at the latest."""
        self._spawn(task)

    async def _run(self) -> None:
        try:
            with self._scope:
                async with anyio.create_task_group() as tasks:
                    for _ in range(self.config.workers):
                        tasks.start_soon(self._hold)
        finally:
            self._end(NoWorker("the client ended before this job had an outcome"))

    async def _hold(self) -> None:
        """Keep one worker, a new one after each loss."""
        failures = 0
        while True:
            try:
                answer = await self._lease()
            except NoWorker as error:
                if error.retry_after is None:
                    self._give_up(error)
                    return
                await anyio.sleep(error.retry_after)
                continue
            link = WorkerLink(answer, self._client_id, self._kind, self._on_result)
            try:
                async with anyio.create_task_group() as tasks:
                    await tasks.start(link.run)
                    failures = 0
                    self._dispatcher.join(link)
                    self._pump()
            except* RpcError:
                failures += 1
            finally:
                lost = self._dispatcher.leave(link, dismissed=link.dismissed)
                link.release()
            self._pump()
            await self._mourn(link, lost)
            if failures:
                await anyio.sleep(min(2.0, 0.05 * 2**failures))

    async def _mourn(self, link: WorkerLink, lost: Lost | None) -> None:
        if lost is None:
            return
        reason, report = "its connection ended", None
        with anyio.move_on_after(_NOTICE):
            reason, report = await self._explain(link.worker)
        self.lost.append(link.worker)
        text = f"worker {link.worker} was lost while it held this job: {reason}"
        if lost.poison:
            text += f"; the job is given up, {lost.job.deaths} workers died with it"
        error = WorkerLost(text, report)
        self._deliver(lost.job.index, Outcome(lost.job.index, error=error, worker=link.worker))

    def _give_up(self, error: NoWorker) -> None:
        """One worker less. The others go on; without any, all jobs fail."""
        self._holders -= 1
        if not self._holders:
            self._end(error)

    def _end(self, error: AsyncMachineError) -> None:
        """There will be no worker any more: whoever waits for an outcome gets this one."""
        self._fatal = self._fatal or error
        open_, self._open = self._open, {}
        for index, entry in open_.items():
            self._withdraw(index)
            entry.deliver(Outcome(index, error=error))
        self._wake_room()

    def _withdraw(self, index: int) -> None:
        held = self._dispatcher.cancel(index)
        if held is not None:
            link, job = held
            link.cancel(job)

    def _pump(self) -> None:
        for link, job in self._dispatcher.assign():
            if not link.send(job, self._open[job.index].deadline):
                self._dispatcher.refused(link, job.index)
        if self._listeners and self._dispatcher.has_room:
            self._wake_room()

    def _wake_room(self) -> None:
        for listener in list(self._listeners):
            listener()

    def _on_result(self, link: WorkerLink, result: WorkResult) -> None:
        if result.status == REFUSED:
            self._dispatcher.refused(link, result.id)
            self._pump()
            return
        job = self._dispatcher.done(link, result.id, result.seconds)
        if job is not None:
            error: AsyncMachineError | None = result.error()
            value = None
            if error is None:
                try:
                    value = decode_value(result.value, "result")
                except ArgsError as bad:
                    error = bad
            self._deliver(job.index, Outcome(job.index, value, error, link.worker))
            self._pump()

    def _deliver(self, index: int, outcome: Outcome) -> None:
        entry = self._open.pop(index, None)
        if entry is not None:
            entry.deliver(outcome)


class MapRun(AsyncIterator[Outcome]):
    """The outcomes of a ``map``. An async iterator, and an async context manager that stops early.

    Inputs are taken as workers have room for them, so they may be endless. What the inputs raise,
    the iteration raises.

    Args:
        owner: the fleet starts and stops with this run.
    """

    def __init__(
        self, fleet: Fleet, inputs: Iterable[Any] | AsyncIterable[Any], *, ordered: bool, owner: bool
    ) -> None:
        self._fleet = fleet
        self._owner = owner
        self._inputs = inputs
        self._iterator = iter(inputs) if isinstance(inputs, Iterable) else None
        self._ordered = ordered
        self._ready: deque[Outcome] = deque()
        self._parked: dict[int, Outcome] = {}
        self._jobs: set[int] = set()
        self._taken = 0
        self._given = 0
        self._started = False
        self._ended = False
        self._error: Exception | None = None
        self._news = anyio.Event()
        self._feeding = anyio.CancelScope()

    @property
    def lost(self) -> tuple[str, ...]:
        """Workers that died with a job in their hands."""
        return tuple(self._fleet.lost)

    def __aiter__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cancel()

    def cancel(self) -> None:
        """Forget what has no outcome yet."""
        self._ended = True
        self._feeding.cancel()
        self._fleet.unlisten(self._poke)
        for job in list(self._jobs):
            self._fleet.cancel(job)
        self._jobs.clear()
        if self._owner:
            self._fleet.stop()

    async def __anext__(self) -> Outcome:
        self._start()
        try:
            while True:
                self._take()
                if self._ready:
                    return self._ready.popleft()
                if self._error is not None:
                    raise self._error
                if self._ended and not self._jobs:
                    raise StopAsyncIteration
                self._news = anyio.Event()
                await self._news.wait()
        except BaseException:
            self.cancel()
            raise

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._fleet.listen(self._poke)
            if self._owner:
                self._fleet.start()
            if isinstance(self._inputs, AsyncIterable):
                self._fleet.spawn(partial(self._feed_until_cancelled, self._inputs))

    def _poke(self) -> None:
        self._news.set()

    def _has_room(self) -> bool:
        return len(self._parked) + len(self._ready) < _AHEAD and self._fleet.has_room

    def _take(self) -> None:
        """Feed the fleet from plain inputs, as far as it has room."""
        while self._iterator is not None and not self._ended and (self._has_room() or self._fleet.failed):
            try:
                value = next(self._iterator)
            except StopIteration:
                self._ended = True
                return
            self._submit(value)

    async def _feed_until_cancelled(self, inputs: AsyncIterable[Any]) -> None:
        with self._feeding:
            await self._feed(inputs)

    async def _feed(self, inputs: AsyncIterable[Any]) -> None:
        """Feed the fleet from async inputs, which may take their time."""
        room = anyio.Event()

        def wake() -> None:
            room.set()

        self._fleet.listen(wake)
        try:
            async for value in inputs:
                while not self._has_room() and not self._fleet.failed:
                    room = anyio.Event()
                    await room.wait()
                if self._ended:
                    return
                self._submit(value)
        except Exception as error:
            self._error = error
        finally:
            self._fleet.unlisten(wake)
            self._ended = True
            self._news.set()

    def _submit(self, value: Any) -> None:
        index = self._taken
        self._taken += 1
        job = -1

        def deliver(outcome: Outcome) -> None:
            self._jobs.discard(job)
            self._arrive(Outcome(index, outcome.value, outcome.error, outcome.worker))

        try:
            job = self._fleet.submit(value, deliver)
        except ArgsError as error:
            self._arrive(Outcome(index, error=error))
            return
        self._jobs.add(job)

    def _arrive(self, outcome: Outcome) -> None:
        if self._ordered:
            self._parked[outcome.index] = outcome
            while (following := self._parked.pop(self._given, None)) is not None:
                self._ready.append(following)
                self._given += 1
        else:
            self._ready.append(outcome)
        self._news.set()
