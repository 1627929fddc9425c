"""What a source did and what its clients saw of it: the promises of aRPC as checks."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from operator import gt
from typing import Protocol

import anyio

from asyncmachine.api import Result
from asyncmachine.errors import ArgsError, Denied, MachineDisposed, NotConnected, OutcomeUnknown, RemoteError
from asyncmachine.rpc.client import Client
from asyncmachine.rpc.netmachine import NetMachine
from asyncmachine.schema import Schema
from asyncmachine.testing.sim.host import Process
from asyncmachine.testing.sim.trace import Trace

__all__ = ["Asker", "Call", "Habits", "Ledger", "Parcel", "Violation", "is_own"]

Ticks = tuple[int, ...]


class Violation(AssertionError):
    """A promise was broken."""


@dataclass(slots=True)
class Call:
    """One request that was made.

    Attributes:
        token: of a request for Work, or None.
        outcome: how it has ended, or "" while it has not.
        runs: executions: epoch of the source, and its tick of Work then.
    """

    token: int | None
    process: Process
    begun: float
    outcome: str = ""
    ended: float = 0.0
    runs: list[tuple[int, int]] = field(default_factory=list)

    def __str__(self) -> str:
        outcome = self.outcome or "pending"
        return f"request {self.token} of {self.process}, {outcome}, executed {len(self.runs)} x"


@dataclass(slots=True)
class Parcel:
    """One payload that was sent: at which point of which life of the source."""

    name: str
    data: bytes
    epoch: int
    to: str
    position: int
    begun: float
    acknowledged: bool
    arrivals: int = 0
    outcome: str = ""


class Ledger:
    """All that happened in one run.

    Attributes:
        calls: oldest first.
        violations: what was broken, oldest first; never raised here, as much runs inside of what is checked.
    """

    def __init__(self, schema: Schema, role: str, trace: Trace) -> None:
        self.calls: list[Call] = []
        self.violations: list[str] = []
        self._broken = anyio.Event()
        self._trace = trace
        self._readable = schema.allowed(role, "read")
        self._history: dict[int, list[Ticks]] = {}  # epoch -> visible clocks
        self._last_run: dict[Process, int] = {}
        self._by_token: dict[int, Call] = {}
        self._parcels: dict[str, Parcel] = {}

    def broken(self, text: str) -> None:
        """A promise was."""
        self._trace.note("violation", text)
        self.violations.append(text)
        self._broken.set()

    async def watch(self) -> None:
        """Wait for the first violation.

        Raises:
            Violation: always.
        """
        await self._broken.wait()
        raise Violation(self.violations[0])

    def visible(self, ticks: Ticks) -> Ticks:
        """A clock of the source as its mirrors may see it."""
        return tuple(tick if self._readable >> i & 1 else 0 for i, tick in enumerate(ticks))

    # -- the source ----------------------------------------------------------------------------

    def begin(self, epoch: int, ticks: Ticks) -> None:
        """A new life of the source."""
        self._history[epoch] = [self.visible(ticks)]

    def moved(self, epoch: int, ticks: Ticks) -> None:
        """Its clock has moved."""
        self._history[epoch].append(self.visible(ticks))

    def executed(self, token: int, epoch: int, tick: int) -> None:
        """It has done what a request asked for."""
        call = self._by_token[token]
        call.runs.append((epoch, tick))
        self._trace.note("run", f"{token}")
        last = self._last_run.get(call.process, 0)
        if token < last:
            self.broken(f"executed after request {last}, which was made later: {call}")
        self._last_run[call.process] = max(last, token)
        if len(call.runs) > 1:
            self.broken(f"executed again: {call}")

    # -- mirrors -------------------------------------------------------------------------------

    def shown(self, who: str, epoch: int, ticks: Ticks, since: int) -> int:
        """A mirror shows this clock; where that is in the history of the source, from *since* on."""
        history = self._history.get(epoch, [])
        try:
            return history.index(ticks, since)
        except ValueError:
            older = "showed before" if ticks in history else "never showed"
            text = f"{who} shows {ticks}, which the source {older}; it is {history[-1:]}"
            self.broken(text)
            return since

    # -- requests ------------------------------------------------------------------------------

    def ask(self, process: Process, token: bool) -> Call:
        """A request is about to be made."""
        call = Call(len(self.calls) + 1 if token else None, process, anyio.current_time())
        self.calls.append(call)
        if call.token is not None:
            self._by_token[call.token] = call
        return call

    def end(self, call: Call, outcome: str, mirror: NetMachine) -> None:
        """A request has ended."""
        if call.outcome:
            self.broken(f"ended again, {outcome}: {call}")
            return
        call.outcome, call.ended = outcome, anyio.current_time()
        self._trace.note(outcome, f"{call.process} {call.token or ''}")
        if call.token is None:
            return
        if outcome == "executed":
            if len(call.runs) != 1:
                self.broken(f"not executed once: {call}")
                return
            epoch, tick = call.runs[0]
            if mirror.epoch == epoch and mirror.tick("Work") < tick:
                self.broken(f"the mirror does not show it yet: {call}")
        elif outcome in ("canceled", "refused", "unsent") and call.runs:
            self.broken(f"executed nevertheless: {call}")

    def check_calls(self, longest: float, frozen: set[str]) -> None:
        """Each has ended, and in time.

        Args:
            longest: seconds that one may take.
            frozen: hosts whose processes were stopped meanwhile.
        """
        for call in self.calls:
            if not call.outcome and call.process.alive:
                self.broken(f"never ended: {call}")
            took = call.ended - call.begun
            if call.outcome and took > longest and call.process.host.name not in frozen:
                self.broken(f"took {took:.3f} s, {longest:.3f} s are allowed: {call}")
            if call.outcome in ("canceled", "refused", "unsent") and call.runs:
                self.broken(f"executed afterwards: {call}")

    # -- payloads ------------------------------------------------------------------------------

    def parcel(self, epoch: int, to: str, size: int, acknowledged: bool) -> Parcel:
        """A payload of *size* bytes is about to be sent."""
        number = len(self._parcels) + 1
        data = bytes([number % 251]) * size
        position = len(self._history[epoch]) - 1
        parcel = Parcel(f"p{number}", data, epoch, to, position, anyio.current_time(), acknowledged)
        self._parcels[parcel.name] = parcel
        return parcel

    def arrived(self, name: str, data: bytes, mirror: NetMachine) -> bool:
        """A consumer has it; whether it accepts it."""
        parcel = self._parcels[name]
        parcel.arrivals += 1
        self._trace.note("parcel", f"{name} {len(data)} B")
        wrong = data != parcel.data or mirror.id != f"mirror-{parcel.to}"
        if parcel.acknowledged and any(map(gt, self._history[parcel.epoch][parcel.position], mirror.time())):
            self.broken(f"payload {name} came before what the source did before it")
        if wrong or parcel.arrivals > 1 or mirror.epoch != parcel.epoch:
            self.broken(f"payload {name}: {len(data)} bytes, arrival {parcel.arrivals} at {mirror.id}")
        return True

    def dispatched(self, parcel: Parcel, outcome: str) -> None:
        """What its sender knows of it: ``delivered``, ``undelivered`` or ``unacknowledged``."""
        parcel.outcome = outcome
        self._trace.note(outcome, parcel.name)
        if outcome == "delivered" and not parcel.arrivals:
            self.broken(f"payload {parcel.name} was acknowledged, and has not arrived")

    def check_payloads(self, longest: float, epoch: int) -> None:
        """Of those sent in the present life of the source, none is pending.

        Args:
            longest: seconds that one may take.
        """
        now = anyio.current_time()
        for parcel in self._parcels.values():
            if not parcel.outcome and parcel.epoch == epoch and now - parcel.begun > longest:
                self.broken(f"nobody knows what became of payload {parcel.name}")


class Habits(Protocol):
    """What an asker needs to know of a plan; see there."""

    @property
    def pause(self) -> float:
        """Mean of the seconds between two requests."""
        ...

    @property
    def piped(self) -> bool:
        """Sets are not asked for."""
        ...


def is_own(state: str) -> bool:
    """Whether a state of the source follows the machine of one client."""
    return state.startswith("Own")


class Asker:
    """One task of a client that makes requests."""

    def __init__(
        self, process: Process, client: Client, ledger: Ledger, chance: random.Random, plan: Habits
    ) -> None:
        self._process = process
        self._client = client
        self._ledger = ledger
        self._chance = chance
        self._pause = plan.pause
        self._sets = not plan.piped
        self._call: Call | None = None  # the last one

    async def run(self, quiet: anyio.Event) -> None:
        """Until *quiet* is set or the client has stopped. Some requests want no answer, some are given up."""
        chance = self._chance
        try:
            mirror = await self._client.ready()
        except NotConnected:
            return
        while True:
            await anyio.sleep(chance.expovariate(1 / self._pause))
            if quiet.is_set() or mirror.disposed:
                return
            kind = chance.random()
            if kind < 0.1:
                await self._wait(mirror)
            elif kind < 0.2:
                await self._give_up(mirror)
            elif kind < 0.3:
                async with anyio.create_task_group() as tasks:
                    for _ in range(chance.randint(2, 8)):
                        tasks.start_soon(self._ask, mirror)
            else:
                await self._ask(mirror)

    async def _wait(self, mirror: NetMachine) -> None:
        name = self._chance.choice(mirror.schema.names)
        wait = self._chance.choice((mirror.when, mirror.when_not, mirror.when_next))
        with anyio.move_on_after(self._chance.uniform(0, 1)), suppress(MachineDisposed):
            await wait(name)

    async def _give_up(self, mirror: NetMachine) -> None:
        with anyio.move_on_after(self._chance.uniform(0, 0.05)) as scope:
            await self._ask(mirror)
        if scope.cancelled_caught and self._call is not None and not self._call.outcome:
            self._ledger.end(self._call, "given up", mirror)

    async def _ask(self, mirror: NetMachine) -> None:
        chance = self._chance
        apart = ("Work", "Exception", "Locked")
        plain = [n for n in mirror.schema.names if n not in apart and not is_own(n)]
        working = chance.random() < 0.6
        call = self._call = self._ledger.ask(self._process, working)
        names = chance.sample(plain, chance.randint(0 if working else 1, 2))
        try:
            if working:
                args = {"token": call.token}
                if chance.random() < 0.2:
                    mirror.add_nowait("Work", *names, **args)
                    self._ledger.end(call, "not awaited", mirror)
                    return
                change = chance.choice((mirror.add, mirror.add, mirror.set if self._sets else mirror.add))
                reply: Awaitable[Result] = change("Work", *names, **args)
            else:
                reply = self._plain(mirror)(*names if chance.random() < 0.9 else ("Locked",))
        except (NotConnected, RemoteError):
            self._ledger.end(call, "unsent", mirror)
            return
        await self._finish(call, reply, mirror)

    def _plain(self, mirror: NetMachine) -> Callable[..., Awaitable[Result]]:
        ways = (mirror.add, mirror.add, mirror.remove, mirror.toggle, mirror.can_add, mirror.can_remove)
        return self._chance.choice(ways)

    async def _finish(self, call: Call, reply: Awaitable[Result], mirror: NetMachine) -> None:
        try:
            result = await reply
        except OutcomeUnknown:
            outcome = "unknown"
        except (Denied, RemoteError, ArgsError):
            outcome = "refused"
        else:
            outcome = "executed" if result.executed else "canceled" if result.canceled else "queued"
        self._ledger.end(call, outcome, mirror)
