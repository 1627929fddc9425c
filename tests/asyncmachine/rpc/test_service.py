"""Each request is executed once, whatever happens to its connection."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketAttribute

from asyncmachine._wire.cbor import dump
from asyncmachine.errors import Denied, OutcomeUnknown
from asyncmachine.machine import Machine
from asyncmachine.rpc.acl import Acl
from asyncmachine.rpc.client import Client, tcp
from asyncmachine.rpc.config import Limits, RpcConfig
from asyncmachine.rpc.protocol.messages import WAIT_FINAL, Cancel, Code, Error, Mutate, Result, Status
from asyncmachine.rpc.server import Server
from asyncmachine.testing.wire import Wire

pytestmark = pytest.mark.anyio

QUICK = RpcConfig(interval=0.0, retry_base=0.002, retry_cap=0.01)


class Line:
    """A client whose wires can be cut, and the server at the other end of the next one.

    Attributes:
        wires: all that were opened, the present one last.
        dials: set to False, it cannot connect.
    """

    def __init__(self, lamp: Machine, tasks: Any, config: RpcConfig, server_config: RpcConfig) -> None:
        self.lamp = lamp
        self.tasks = tasks
        self.server = Server(lamp, Acl.open("client"), config=server_config)
        self.wires: list[Wire] = []
        self.dials = True
        self.client = Client(self.dial, lamp.schema, client_id="me", config=config)
        self.mirror = self.client.machine

    async def dial(self) -> Any:
        if not self.dials:
            raise ConnectionRefusedError("nobody there")
        self.wires.append(Wire())
        self.tasks.start_soon(self.server.serve_stream, self.wires[-1].far)
        return self.wires[-1].near

    def cut(self) -> None:
        self.wires[-1].cut()


@asynccontextmanager
async def connected(
    lamp: Machine, config: RpcConfig = QUICK, server_config: RpcConfig = QUICK
) -> AsyncIterator[Line]:
    async with anyio.create_task_group() as tasks:
        line = Line(lamp, tasks, config, server_config)
        tasks.start_soon(line.client.run)
        with anyio.fail_after(10):
            await line.client.ready()
            yield line
        line.client.stop()


class OnWork:
    """Does something the first time that work is asked for."""

    def __init__(self, do: Callable[[], object]) -> None:
        self.do: Callable[[], object] | None = do
        self.numbers: list[int] = []

    def work_state(self, event: Any) -> None:
        self.numbers.append(event.args["number"])
        do, self.do = self.do, None
        if do is not None:
            do()


async def test_a_request_whose_answer_was_lost_is_executed_once(lamp: Machine) -> None:
    async with connected(lamp) as line:
        work = OnWork(line.cut)
        lamp.bind(work)
        assert (await line.mirror.add("Work", number=1)).executed
        assert line.mirror.tick("Work") == lamp.tick("Work") == 1
        assert (await line.mirror.add("Work", number=2)).executed
        assert work.numbers == [1, 2]
        assert len(line.wires) == 2


async def test_a_request_that_did_not_arrive_is_executed_once(lamp: Machine) -> None:
    async with connected(lamp) as line:
        work = OnWork(lambda: None)
        lamp.bind(work)
        line.wires[-1].stall()
        replies = [line.mirror.add("Work", number=n) for n in range(3)]
        line.mirror.add_nowait("Work", number=99)
        await anyio.wait_all_tasks_blocked()
        line.cut()
        assert [(await reply).executed for reply in replies] == [True] * 3
        assert work.numbers == [0, 1, 2]  # one without an answer is not asked again


async def test_requests_of_which_some_had_arrived_stay_in_order(lamp: Machine) -> None:
    async with connected(lamp) as line:
        work = OnWork(line.cut)
        lamp.bind(work)
        replies = [line.mirror.add("Work", number=n) for n in range(20)]
        assert [(await reply).executed for reply in replies] == [True] * 20
        assert work.numbers == list(range(20))


async def test_over_tcp_a_request_whose_answer_was_lost_is_executed_once(lamp: Machine) -> None:
    server = Server(lamp, Acl.open("client"), config=QUICK)

    def cut() -> None:
        stream: Any = server.sessions[0]._link._stream  # type: ignore[union-attr]
        stream.extra(SocketAttribute.raw_socket).shutdown(socket.SHUT_RDWR)

    work = OnWork(cut)
    lamp.bind(work)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, listener)
        port = listener.extra(SocketAttribute.local_port)
        client = Client(tcp("127.0.0.1", port), lamp.schema, client_id="me", config=QUICK)
        tasks.start_soon(client.run)
        with anyio.fail_after(10):
            mirror = await client.ready()
            assert (await mirror.add("Work", number=1)).executed
            assert work.numbers == [1]
            assert mirror.sessions == 2
        tasks.cancel_scope.cancel()


async def test_another_life_of_the_server_is_not_asked_again(lamp: Machine) -> None:
    async with connected(lamp) as line:

        def restart() -> None:
            line.server = Server(lamp, Acl.open("client"), config=QUICK)
            line.cut()

        work = OnWork(restart)
        lamp.bind(work)
        replies = [line.mirror.add("Work", number=n) for n in range(3)]
        for reply in replies:
            with pytest.raises(OutcomeUnknown, match="the server that was asked is gone"):
                await reply
        assert work.numbers == [0, 1, 2]  # once: they had arrived together
        await line.client.ready()
        assert (await line.mirror.add("Work", number=7)).executed


async def test_a_server_that_has_forgotten_the_client_is_not_asked_again(lamp: Machine) -> None:
    forgets = RpcConfig(interval=0.0, limits=Limits(answers_seconds=1e-9))
    async with connected(lamp, server_config=forgets) as line:
        work = OnWork(line.cut)
        lamp.bind(work)
        with pytest.raises(OutcomeUnknown):
            await line.mirror.add("Work", number=1)
        assert work.numbers == [1]


async def test_an_answer_that_was_forgotten_is_unknown(lamp: Machine) -> None:
    short = RpcConfig(interval=0.0, limits=Limits(answers=2))
    async with connected(lamp, server_config=short) as line:
        work = OnWork(lambda: None)
        lamp.bind(work)
        line.server.sessions[0]._conn.data_to_send = lambda now: b""  # type: ignore[method-assign]
        replies = [line.mirror.add("Work", number=n) for n in range(5)]
        await lamp.when_tick("Work", 9)
        line.cut()
        ends = []
        for reply in replies:
            try:
                ends.append((await reply).executed)
            except OutcomeUnknown as error:
                ends.append(str(error))
        assert ends == ["the peer does not know any more how it ended"] * 3 + [True] * 2
        assert work.numbers == list(range(5))


async def test_a_refusal_is_told_again(lamp: Machine) -> None:
    async with connected(lamp) as line:
        session = line.server.sessions[0]
        session._conn.data_to_send = lambda now: b""  # type: ignore[method-assign]
        denied = line.mirror.add("Secret")
        while not session._service.answers.last:
            await anyio.lowlevel.checkpoint()
        line.cut()
        with pytest.raises(Denied, match="may not add Secret"):
            await denied


async def test_a_deadline_passes_while_there_is_no_session(lamp: Machine) -> None:
    config = RpcConfig(interval=0.0, retry_base=0.002, retry_cap=0.01, call_timeout=0.05)
    async with connected(lamp, config) as line:
        line.wires[-1].stall()
        late = line.mirror.add("Work", number=1)
        line.dials = False
        line.cut()
        with pytest.raises(OutcomeUnknown, match=r"no answer in 0\.05 s"):
            await late
        line.dials = True
        await line.client.ready()
        assert await line.mirror.add("Start")
        assert lamp.tick("Work") == 0


async def test_a_client_that_stops_leaves_nobody_waiting(lamp: Machine) -> None:
    async with connected(lamp) as line:
        line.wires[-1].stall()
        lost = line.mirror.add("Work", number=1)
        line.dials = False
        line.cut()
        await line.client.states.when("Disconnected")
        line.client.stop()
        with pytest.raises(OutcomeUnknown, match="the client has stopped"):
            await lost


# -- what waits in the queue of the source --------------------------------------------------------


class Injected:
    """Requests that arrive while the source runs a transition, and what is answered."""

    def __init__(self, pair: Any) -> None:
        (self.peer,) = pair.server.sessions
        self.said: list[Any] = []
        send, error = self.peer._conn.send, self.peer._conn.reply_error
        self.peer._conn.send = lambda message: (self.said.append(message), send(message))[1]
        self.peer._conn.reply_error = lambda rid, code, text, now: (
            self.said.append(Error(code, text, rid)),
            error(rid, code, text, now),
        )

    def say(self, *messages: Any) -> None:
        self.peer.on_events(list(messages), anyio.current_time())

    def answers(self) -> list[tuple[int, int]]:
        return [(m.rid, m.status) for m in self.said if isinstance(m, Result)]


def start(rid: int, flags: int = WAIT_FINAL) -> Mutate:
    return Mutate(rid, 0, [0], None, flags, 3000)


def work(rid: int) -> Mutate:
    return Mutate(rid, 0, [2], dump({"number": rid}), WAIT_FINAL, 3000)


async def test_the_answer_comes_when_it_was_executed(session: Any) -> None:
    async with session() as pair:
        wire = Injected(pair)
        during: list[Any] = []

        def act() -> None:
            wire.say(start(900), work(901), work(902)._replace(flags=0))
            during.extend(wire.answers())

        pair.source.bind(OnWork(act))
        pair.source.add("Work", number=1)
        assert during == [(902, Status.QUEUED)]
        assert wire.answers()[1:] == [(900, Status.EXECUTED), (901, Status.EXECUTED)]
        assert pair.source.tick("Start") == 1


async def test_what_is_queued_is_taken_back(session: Any) -> None:
    async with session() as pair:
        wire = Injected(pair)
        pair.source.bind(OnWork(lambda: wire.say(start(900), Cancel(900))))
        pair.source.add("Work", number=1)
        assert wire.answers() == [(900, Status.CANCELED)]
        assert pair.source.tick("Start") == 0
        tick = pair.source.queue_tick
        pair.source.add("Start")
        assert pair.source.queue_tick == tick + 1


async def test_too_late_to_take_it_back(session: Any) -> None:
    async with session() as pair:
        wire = Injected(pair)
        wire.say(start(900), Cancel(900), Cancel(900), Cancel(5))
        assert wire.answers() == [(900, Status.EXECUTED)]
        assert pair.source.tick("Start") == 1


async def test_h71_what_is_under_way_is_bounded(session: Any) -> None:
    async with session(config=RpcConfig(interval=0.0, limits=Limits(in_flight=3))) as pair:
        wire = Injected(pair)

        def flood() -> None:
            for rid in range(900, 910):
                wire.say(work(rid))

        pair.source.bind(OnWork(flood))
        pair.source.add("Work", number=1)
        refused = [m.rid for m in wire.said if isinstance(m, Error) and m.code == Code.BUSY]
        assert refused == list(range(903, 910))
        assert len(wire.answers()) == 3


async def test_one_that_is_pending_is_answered_in_the_next_session(session: Any) -> None:
    async with session() as pair:
        wire = Injected(pair)
        life = wire.peer._service.answers

        def act() -> None:
            wire.say(start(900))
            assert 900 in life.pending

        pair.source.bind(OnWork(act))
        pair.source.add("Work", number=1)
        assert life.pending == {}
        assert life.find(900) == (Status.EXECUTED, pair.source.queue_tick)


async def test_a_cancelled_await_sends_cancel(session: Any) -> None:
    async with session() as pair:
        (peer,) = pair.server.sessions
        heard: list[int] = []
        peer._mutate = lambda request, now: None  # never answered
        peer._service.cancel = lambda message: heard.append(message.rid)
        call = pair.mirror.add("Start")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_wait, call)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(5):
            while not heard:
                await anyio.lowlevel.checkpoint()
        assert heard == [call.key]


async def _wait(call: Any) -> None:
    await call


async def test_h71_request_and_cancel_a_thousand_times(session: Any) -> None:
    async with session() as pair:
        calls = [pair.mirror.toggle("Start") for _ in range(1000)]
        for call in calls:
            call.abandon()
        with anyio.fail_after(10):
            results = [await call for call in calls]
        assert all(result.executed for result in results)
        assert pair.mirror.connected
        assert len(pair.server.sessions[0]._service.answers) < 1100


async def test_a_fault_while_a_request_is_executed_is_an_unknown_outcome(
    session: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any) -> Any:
        raise ValueError("a fault of ours")

    async with session() as pair:
        monkeypatch.setattr("asyncmachine.rpc.service.execute", broken)
        with anyio.fail_after(5), pytest.raises(OutcomeUnknown, match="does not know any more"):
            await pair.mirror.add("Start")
        monkeypatch.undo()
        assert await pair.mirror.add("Start")
    assert "a fault of this side" in caplog.text


async def test_a_request_that_comes_too_late(session: Any) -> None:
    async with session() as pair:
        wire = Injected(pair)
        wire.say(start(900)._replace(ttl=0))
        assert wire.answers() == [(900, Status.EXPIRED)]
        assert pair.source.tick("Start") == 0
