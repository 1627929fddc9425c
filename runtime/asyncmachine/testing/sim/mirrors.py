"""A scenario for aRPC itself: whatever breaks, a mirror is never wrong, and is right again soon after.

One server with a source that moves by itself, and by what its clients ask for; clients that ask, wait, give
up and take payloads; faults. All the time:

* each clock that a mirror shows is one that the source had, and none is older than the one before it;
* a request that was answered was executed once, one that was refused never, any other once at most; each ends
  in time, with an answer or an error that says what is known;
* a payload arrives once at most, unchanged, and after what the source did before it;
* a mirror that hears nothing says soon that it is not connected.

When all faults are healed and the source is at rest: every mirror equals the source, and sees soon when it
moves again, no request is pending, a new client is served, and the server remembers nobody once they have
left. Used as ``python -m asyncmachine.testing.sim asyncmachine.testing.sim.mirrors:scenario --seed 7``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import anyio
from anyio.abc import TaskGroup

from asyncmachine.api import Tracer
from asyncmachine.errors import DeliveryError, NotConnected, Refused
from asyncmachine.machine import Machine
from asyncmachine.pipes import bind_state
from asyncmachine.rpc.acl import Acl
from asyncmachine.rpc.client import Client, Payload
from asyncmachine.rpc.config import Limits, RpcConfig
from asyncmachine.rpc.netmachine import NetMachine
from asyncmachine.rpc.server import Server, Session
from asyncmachine.schema import Args, Schema, State, decode_int
from asyncmachine.testing.sim.faults import Fault, Nemesis, draw_faults
from asyncmachine.testing.sim.host import Process
from asyncmachine.testing.sim.ledger import Asker, Ledger, Violation, is_own
from asyncmachine.testing.sim.peek import RpcTap
from asyncmachine.testing.sim.world import World

__all__ = ["Mirrors", "Plan", "draw_plan", "scenario"]

ROLE = "client"
PORT = 1
MOST_CLIENTS = 4
ALL: Final = ("add", "remove", "read")


PANEL = Schema("Panel", {"On": State()})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Token(Args):
    """What a request for Work carries: a number that no other has."""

    decoders: ClassVar[Any] = {"token": decode_int}
    token: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """One run.

    Attributes:
        schema: of the source: Work, Hidden, Locked, and others that clients may do all with; those whose name
            begins with Own belong to one client each, and follow a machine of it by a pipe.
        piped: there are such pipes. Then clients do not ask for sets, which would end the states of others.
        seconds: how long faults happen.
        latency: mean of the seconds that a packet takes when nothing is broken.
        user_timeout: of the network.
        pause: mean of the seconds between two requests of a task, and between two bursts of the source.
    """

    schema: Schema
    piped: bool
    clients: int
    seconds: float
    pause: float
    latency: float
    user_timeout: float
    config: RpcConfig
    faults: tuple[Fault, ...]

    @property
    def frozen(self) -> set[str]:
        """Hosts whose processes are stopped at times, and late then."""
        return {fault.here for fault in self.faults if fault.kind == "freeze"}

    @property
    def patience(self) -> float:
        """Seconds in which all must be well again when nothing is broken any more."""
        config, limits = self.config, self.config.limits
        noticed = 6 * config.heartbeat + limits.stall_seconds + limits.handshake_seconds
        return noticed + 2 * config.retry_cap + config.connect_timeout + config.payload_timeout


def _draw_schema(chance: random.Random) -> Schema:
    """Two to six plain states with random relations, and three special ones."""
    names = [f"S{i}" for i in range(chance.randint(2, 6))]
    states: dict[str, State] = {}
    for at, name in enumerate(names):
        require = tuple(n for n in names[:at] if chance.random() < 0.15)
        states[name] = State(
            auto=chance.random() < 0.2,
            multi=chance.random() < 0.2,
            require=require,
            add=tuple(n for n in names if n != name and chance.random() < 0.15),
            remove=tuple(n for n in names if n != name and n not in require and chance.random() < 0.2),
            rpc={ROLE: ALL},
        )
    for number in range(1, MOST_CLIENTS + 1):
        states[f"Own{number}"] = State(rpc={ROLE: ALL})
    states["Work"] = State(multi=True, args=_Token, rpc={ROLE: ALL})
    states["Hidden"] = State(rpc={ROLE: ("add", "remove")})
    states["Locked"] = State(rpc={ROLE: ("read",)})
    order = list(states)
    chance.shuffle(order)
    return Schema("Drawn", {name: states[name] for name in order}, roles=(ROLE,))


def draw_plan(chance: random.Random) -> Plan:
    """One to four clients, 5 to 20 seconds, up to 10 faults; limits as they are, or tight."""
    clients, seconds = chance.randint(1, MOST_CLIENTS), chance.uniform(5, 20)
    tight = Limits(
        payload=120_000, output_soft=20_000, output_hard=200_000, in_flight=4, unacked=3, stall_seconds=3.0
    )
    config = RpcConfig(
        limits=chance.choice((Limits(), tight)),
        interval=chance.choice((0.0, 0.0, 0.05, 0.3)),
        heartbeat=chance.uniform(0.5, 3),
        call_timeout=chance.uniform(0.5, 3),
        payload_timeout=chance.uniform(1, 5),
        connect_timeout=chance.uniform(1, 3),
        retry_base=chance.uniform(0.05, 0.5),
        retry_cap=chance.uniform(0.5, 3),
        retry_total=None,
    )
    hosts = ["server", *(f"client{n}" for n in range(1, clients + 1))]
    return Plan(
        schema=_draw_schema(chance),
        piped=chance.random() < 0.5,
        clients=clients,
        seconds=seconds,
        pause=chance.choice((0.1, 0.2, 0.6)),
        latency=chance.choice((0.001, 0.01, 0.1)),
        user_timeout=chance.choice((3 * config.heartbeat, 60.0)),  # a link asks for the former, where it can
        config=config,
        faults=draw_faults(chance, hosts, seconds=seconds, count=10),
    )


async def scenario(world: World) -> None:
    """A run that is drawn from the seed of *world*."""
    await Mirrors(world, draw_plan(world.chance("plan"))).run()


class _Handlers:
    """What the source does on its own when it is asked for something."""

    def __init__(self, ledger: Ledger, chance: random.Random) -> None:
        self.ledger = ledger
        self.chance = chance
        self.epoch = 0
        self.send_away: Callable[[], None]

    def work_state(self, event: Any) -> None:
        """The token of a request has arrived. Then it is free again, or all are sent away, now and then."""
        self.ledger.executed(event.data.token, self.epoch, event.machine.tick("Work"))
        kind = self.chance.random()
        if kind < 0.3:
            event.machine.remove("Work")
        elif kind > 0.99:
            self.send_away()

    def s0_state(self, event: Any) -> None:
        """Moves more, in the same drain."""
        if self.chance.random() < 0.5:
            event.machine.remove("S0")


class _Recorder(Tracer):
    """Writes the clocks of a source to the ledger."""

    def __init__(self, ledger: Ledger, epoch: int) -> None:
        self.ledger = ledger
        self.epoch = epoch

    def clock_moved(self, machine: Any) -> None:
        """See the base."""
        self.ledger.moved(self.epoch, machine.time())


class _Source:
    """The program of the server, in one life."""

    def __init__(self, process: Process, plan: Plan, ledger: Ledger, chance: random.Random) -> None:
        self.process = process
        self.plan = plan
        self.ledger = ledger
        self.chance = chance
        handlers = _Handlers(ledger, chance)
        self.machine = Machine(plan.schema, handlers, id="source")
        self.server = Server(
            self.machine,
            Acl.open(ROLE),
            config=plan.config,
            max_sessions=plan.clients + 1 + chance.randint(0, 1),
        )
        handlers.epoch = self.server.epoch
        handlers.send_away = self.server.close
        ledger.begin(self.server.epoch, self.machine.time())
        self.machine.trace(_Recorder(ledger, self.server.epoch))

    async def main(self, quiet: anyio.Event) -> None:
        """Serve, and move, until *quiet* is set; go on to serve."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.server.serve, self.process.listen(PORT))
            async with anyio.create_task_group() as busy:
                busy.start_soon(self._move)
                busy.start_soon(self._send, tasks)
                await quiet.wait()
                busy.cancel_scope.cancel()

    async def _move(self) -> None:
        chance = self.chance
        names = [n for n in self.plan.schema.names if n not in ("Work", "Exception") and not is_own(n)]
        while True:
            await anyio.sleep(chance.expovariate(1 / self.plan.pause))
            for _ in range(chance.choice((1, 1, 3, 20))):
                change = chance.choice((self.machine.add, self.machine.remove))
                change(chance.choice(names))
            if self.server.sessions and chance.random() < 0.01:
                chance.choice(self.server.sessions).close()

    async def _send(self, tasks: TaskGroup) -> None:
        chance = self.chance
        while True:
            await anyio.sleep(chance.expovariate(1 / (3 * self.plan.pause)))
            sessions = [one for one in self.server.sessions if one.open]
            if sessions:
                size = chance.choice((0, 10, 1000, 100_000))
                tasks.start_soon(self._deliver, chance.choice(sessions), size)

    async def _deliver(self, session: Session, size: int) -> None:
        ledger = self.ledger
        wanted = self.chance.random() < 0.8
        parcel = ledger.parcel(self.server.epoch, session.client_id, size, wanted)
        try:
            if wanted:
                await session.send_payload(parcel.name, parcel.data)
                outcome = "delivered"
            else:
                session.send_payload_nowait(parcel.name, parcel.data)
                outcome = "unacknowledged"
        except (DeliveryError, NotConnected):
            outcome = "undelivered"
        ledger.dispatched(parcel, outcome)


class _Watcher(Tracer):
    """Compares each clock of a mirror with those that the source had."""

    def __init__(self, process: Process, mirror: NetMachine, ledger: Ledger) -> None:
        self._process = process
        self._mirror = mirror
        self._ledger = ledger
        self._seen = (0, 0)  # epoch, and where in its history
        mirror.trace(self)

    def transition_end(self, machine: Any, transition: Any) -> None:
        """See the base."""
        epoch, at = self._mirror.epoch, 0
        if epoch == self._seen[0]:
            at = self._seen[1]
        self._seen = epoch, self._ledger.shown(self._process.host.name, epoch, self._mirror.time(), at)


class Mirrors:
    """The scenario, with a plan.

    Attributes:
        sources: of each life of the server.
        clients: of the present lives, by the name of their host.
        panels: machines of clients, by the state of the source that follows.
    """

    def __init__(self, world: World, plan: Plan) -> None:
        self.world = world
        self.plan = plan
        self.tap = RpcTap()
        self.ledger = Ledger(plan.schema, ROLE, world.trace)
        self.sources: list[_Source] = []
        self.clients: dict[str, Client] = {}
        self.panels: dict[str, Machine] = {}
        self._stopped_at: dict[Client, float] = {}
        self._quiet = anyio.Event()
        self._leave = anyio.Event()

    @property
    def source(self) -> _Source:
        """Of the present life."""
        return self.sources[-1]

    async def run(self) -> None:
        """Play it.

        Raises:
            Violation: a promise is broken.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.ledger.watch)
            await self._play()
            tasks.cancel_scope.cancel()
        self._check_end()

    async def _play(self) -> None:
        world, plan = self.world, self.plan
        world.network.taps.append(self.tap)
        world.network.normal.latency = plan.latency
        world.network.user_timeout = plan.user_timeout
        nemesis = Nemesis(world)
        world.host("server").start(self._serve)
        for number in range(1, plan.clients + 1):
            world.host(f"client{number}").start(self._use)
        await nemesis.play(plan.faults)
        nemesis.heal()
        await world.sleep(5 * plan.pause)
        self._quiet.set()
        world.trace.note("quiet")
        await self._well("all mirrors equal the source", self._equal)
        await self._well("the source follows all pipes", self._followed)
        await world.sleep(max(plan.config.call_timeout, plan.config.payload_timeout) + 0.5)
        self._check_calls()
        await self._check_pushes()
        world.host("fresh").start(self._use)
        await self._well("a new client is served", lambda: "fresh" in self.clients and self._equal())
        self._leave.set()
        world.trace.note("leave")
        await self._well("the server has forgotten all", lambda: not self.source.server.sessions)

    async def _serve(self, process: Process) -> None:
        chance = self.world.chance(str(process))
        source = _Source(process, self.plan, self.ledger, chance)
        self.sources.append(source)
        async with source.machine:
            await source.main(self._quiet)

    async def _use(self, process: Process) -> None:
        """One client after the other, until it is time to leave."""
        chance = self.world.chance(str(process))
        while not self._leave.is_set():
            await self._use_once(process, chance)

    async def _use_once(self, process: Process, chance: random.Random) -> None:
        name = process.host.name
        client = Client(
            process.dial("server", PORT),
            self.plan.schema,
            client_id=name,
            config=self.plan.config,
            on_payload=lambda payload: self._take(client, payload),
        )
        self.clients[name] = client
        _Watcher(process, client.machine, self.ledger)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep, name, client)
            tasks.start_soon(self._listen, client.machine)
            for _ in range(chance.choice((0, 1, 2, 2))):
                asker = Asker(process, client, self.ledger, chance, self.plan)
                tasks.start_soon(asker.run, self._quiet)
            if self.plan.piped and process.host.name != "fresh":
                tasks.start_soon(self._pipe, process.host.name, client, chance)
            with anyio.move_on_after(chance.uniform(1, 40)) as patience:
                await self._quiet.wait()
            if not patience.cancelled_caught:
                await self._leave.wait()
            self.world.trace.note("stop", str(process))
            self._stopped_at[client] = anyio.current_time()
            client.stop()

    async def _pipe(self, name: str, client: Client, chance: random.Random) -> None:
        """A machine here that moves, and a state of the source that follows it."""
        panel = Machine(PANEL, id=f"panel-{name}")
        own = name.replace("client", "Own")
        with suppress(NotConnected):
            await client.ready()
        if client.machine.disposed:
            return
        self.panels[own] = panel
        bind_state(panel, client.machine, "On", own).sync()
        while not self._quiet.is_set():
            (panel.add if panel.is_inactive("On") else panel.remove)("On")
            await anyio.sleep(chance.expovariate(1 / self.plan.pause))

    async def _keep(self, name: str, client: Client) -> None:
        await client.run()
        if not client._stopping or isinstance(client.error, Refused):
            self.ledger.broken(f"{client.machine.id} has given up: {client.error!r}")
        took = anyio.current_time() - self._stopped_at.get(client, 0.0)
        if took > client.config.limits.close_seconds + 1.5 and name not in self.plan.frozen:
            self.ledger.broken(f"{client.machine.id} took {took:.3f} s to stop")

    async def _listen(self, mirror: NetMachine) -> None:
        """A mirror that hears nothing says so, soon after the third heartbeat that is missing."""
        longest, late = 3 * self.plan.config.heartbeat + 0.5, 0
        while not mirror.disposed:
            await anyio.sleep(0.5)
            silent = anyio.current_time() - (mirror.heard or 0) > longest
            late = late + 1 if silent and mirror.connected else 0
            if late > 1:  # not only that this process was stopped itself
                self.ledger.broken(f"{mirror.id} says that it is connected, and has heard nothing for long")

    def _take(self, client: Client, payload: Payload) -> bool:
        return self.ledger.arrived(payload.name, payload.data, client.machine)

    # -- what must hold ------------------------------------------------------------------------

    async def _well(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait for it, as long as it may take."""
        due = anyio.current_time() + self.plan.patience
        while not holds():
            if anyio.current_time() > due:
                raise Violation(f"not so within {self.plan.patience:.1f} s: {what}; {self._state()}")
            await anyio.sleep(0.05)
        self.world.trace.note("well", what)

    def _followed(self) -> bool:
        source = self.source.machine
        return all(source.is_active(own) == panel.is_active("On") for own, panel in self.panels.items())

    def _equal(self) -> bool:
        wanted = self.ledger.visible(self.source.machine.time())
        return all(one.machine.connected and one.machine.time() == wanted for one in self.clients.values())

    def _state(self) -> str:
        shown = {
            name: f"{'' if one.machine.connected else 'not connected, '}{one.machine.time()}"
            for name, one in self.clients.items()
        }
        return f"the source is {self.ledger.visible(self.source.machine.time())}, the mirrors are {shown}"

    async def _check_pushes(self) -> None:
        """What moves is seen by all, within the interval and the time that it takes to get there."""
        soon = self.plan.config.interval + 20 * self.plan.latency
        for change in (self.source.machine.add, self.source.machine.remove) * 3:
            change("Locked")
            await anyio.sleep(soon)
            if not self._equal():
                raise Violation(f"not so within {soon:.3f} s: mirrors show what has moved; {self._state()}")
        with anyio.move_on_after(soon + 1) as scope:
            for session in self.source.server.sessions:
                await session.flushed()
        if scope.cancelled_caught:
            raise Violation(f"not so within {soon + 1:.3f} s: what was sent has left")

    def _check_calls(self) -> None:
        config, epoch = self.plan.config, self.source.server.epoch
        self.ledger.check_calls(config.call_timeout + 0.5, self.plan.frozen)
        self.ledger.check_payloads(config.payload_timeout + 0.4, epoch)
        for connection in self.world.network.connections:
            left = self.tap.unanswered(connection)
            if left and not any(end.gone for end in connection.ends):
                raise Violation(f"connection #{connection.number}: requests {left} were never answered")

    def _check_end(self) -> None:
        problems = [*self.ledger.violations, *self.tap.faults]
        problems += [f"an error was logged: {text}" for text in self.world.errors]
        if problems:
            raise Violation("; ".join(problems[:5]))
