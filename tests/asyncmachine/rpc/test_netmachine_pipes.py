"""Pipes from and to mirrors."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest

from asyncmachine.errors import NotConnected
from asyncmachine.machine import Machine
from asyncmachine.pipes import bind_any, bind_many, bind_state, sync
from asyncmachine.rpc.config import RpcConfig
from asyncmachine.rpc.netmachine import NetMachine
from asyncmachine.rpc.protocol.messages import Code, Op
from asyncmachine.rpc.replies import Reply
from asyncmachine.schema import Schema, State

pytestmark = pytest.mark.anyio

NEAR = Schema("Near", {"Go": State(), "Job": State(multi=True), "Stop": State()})
PLAIN = Schema("Plain", {"A": State(), "M": State(multi=True), "ErrX": State()})


async def test_a_machine_follows_the_source_of_a_mirror(session: Any) -> None:
    near = Machine(NEAR)
    async with session() as pair:
        bind_state(pair.mirror, near, "Start", "Go")
        await pair.mirror.add("Start")
        assert near.is_active("Go")
        pair.source.remove("Start")
        await near.when_not("Go")


async def test_the_source_of_a_mirror_follows_a_machine(session: Any) -> None:
    """In order, with the arguments that the state declares."""
    near = Machine(NEAR)
    got: list[Any] = []

    class Handlers:
        def work_state(self, event: Any) -> None:
            got.append((event.data.number, event.source.machine))

    async with session() as pair:
        pair.source.bind(Handlers())
        bind_many(near, pair.mirror, ["Go", "Job"], ["Start", "Work"])
        near.add("Go", ignored=object())
        for number in range(5):
            near.add("Job", number=number, ignored=object())
        await pair.mirror.when("Start")
        done = pair.mirror.when_not("Start")
        near.remove("Go")
        await done
    assert got == [(n, "tester") for n in range(5)]


async def test_mirror_to_mirror(session: Any) -> None:
    async with session() as one, session(Machine(one.source.schema, id="other")) as two:
        bind_many(one.mirror, two.mirror, ["Start", "On"])
        one.source.add("Start", "On")
        await two.mirror.when("Start", "On")
        one.source.remove("On")
        await two.mirror.when_not("On")
        assert two.source.is_active("Start")


async def test_a_copy_of_the_remote_machine(session: Any) -> None:
    async with session() as pair:
        pair.source.add("Start", "Seen")
        await pair.mirror.when("Start", "Seen")
        near = Machine(pair.source.schema, id="copy")
        bind_any(pair.mirror, near).sync()
        assert near.active_states() == ("Start", "Seen")
        await pair.mirror.add("On")
        assert near.active_states() == ("Start", "On", "Seen")
        await pair.mirror.remove("Start")
        assert near.active_states() == ("Seen",)
        assert near.active_states() == pair.mirror.active_states()


async def test_disposal_of_the_mirror_closes(session: Any) -> None:
    near = Machine(NEAR)
    async with session() as pair:
        there = bind_state(near, pair.mirror, "Go", "Start")
        back = bind_state(pair.mirror, near, "Start", "Go")
    await pair.mirror.when_disposed()
    assert there.closed
    assert back.closed
    near.add("Go")
    assert there.lost == 0


class Line:
    """In place of a client: sends, unless it is down."""

    def __init__(self) -> None:
        self.down = False
        self.sent: list[tuple[str, list[str], dict[str, Any]]] = []
        self.mirror = NetMachine(PLAIN, "mirror", self)
        self.mirror.connected = True

    def __call__(self, op: int, states: Any, args: dict[str, Any], noreply: bool) -> Reply[Any]:
        assert noreply
        if self.down:
            raise NotConnected("no session")
        self.sent.append((Op(op).name, [PLAIN.names[i] for i in states], args))
        return Reply()

    def push(self, **ticks: int) -> None:
        changes = [(PLAIN.position(n), self.mirror.tick(n), tick) for n, tick in ticks.items()]
        self.mirror.move(changes, self.mirror.ver + 1)

    def take(self) -> list[tuple[str, list[str]]]:
        taken, self.sent = self.sent, []
        return [(op, states) for op, states, _ in taken]


@contextmanager
def warnings_of_pipes(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    lines: list[str] = []
    with caplog.at_level(logging.WARNING, "asyncmachine.pipes"):
        yield lines
    lines += [r.message for r in caplog.records if r.name == "asyncmachine.pipes"]


async def test_what_could_not_be_sent_is_made_up_for(caplog: pytest.LogCaptureFixture) -> None:
    line, near = Line(), Machine(PLAIN)
    pipe = bind_many(near, line.mirror, ["A", "M"])
    line.down, line.mirror.connected = True, False
    with warnings_of_pipes(caplog) as lines:
        near.add("A")
    assert pipe.lost == 1
    assert "A was not sent: no session" in lines[0]
    line.push(ErrX=1)
    assert line.take() == [], "still without a session"
    line.down, line.mirror.connected = False, True
    line.push(ErrX=2)  # the mirror hears of its source again
    assert line.take() == [("ADD", ["A"])]
    line.push(ErrX=3)
    assert line.take() == [], "once"
    line.push(A=1)
    line.down = True
    near.remove("A")
    line.down = False
    near.add("M")  # the next change of this side does it too, and comes after
    assert line.take() == [("REMOVE", ["A"]), ("ADD", ["M"])]
    assert pipe.lost == 2


async def test_what_was_lost_with_a_session_is_made_up_for_in_the_next() -> None:
    line, near = Line(), Machine(PLAIN)
    pipe = bind_many(near, line.mirror, ["A", "M"])
    line.mirror.opened()
    assert line.take() == [], "it begins with the next change"
    near.add("A")
    assert line.take() == [("ADD", ["A"])]
    line.mirror.connected = False  # and the request is lost, or not
    line.mirror.opened()
    assert line.take() == [("ADD", ["A"])]
    line.push(A=1)
    line.mirror.opened()
    assert line.take() == [], "the target is what it should be"
    line.push(A=0)  # it was started anew
    line.mirror.opened()
    assert line.take() == [("ADD", ["A"])]
    assert pipe.lost == 0
    line.push(A=1, M=1)  # by somebody else
    line.mirror.opened()
    assert line.take() == [("REMOVE", ["M"])]


async def test_a_pipe_goes_on_with_the_next_session(session: Any) -> None:
    near = Machine(NEAR)
    config = RpcConfig(interval=0.0, retry_base=0.001, retry_cap=0.002)
    async with session(config=config) as pair:
        bind_state(near, pair.mirror, "Go", "Start")
        near.add("Go")
        await pair.mirror.when("Start")
        wire = pair.server.sessions[0]
        wire.close(Code.INTERNAL, "cut")  # before it reads any more
        near.remove("Go")
        assert pair.source.is_active("Start")
        with anyio.fail_after(5):
            await pair.mirror.when_not("Start")
        assert pair.mirror.sessions == 2


async def test_a_flat_pipe_waits_for_what_it_sent_last() -> None:
    """A mirror that shows A inactive, while its activation is on the way, must not hide the removal."""
    line, near = Line(), Machine(PLAIN)
    bind_state(near, line.mirror, "A", flat=True)
    near.add("A")
    near.remove("A")
    assert line.take() == [("ADD", ["A"]), ("REMOVE", ["A"])]
    line.push(A=2)
    assert sync(near, line.mirror, ["A"]) == 0
    line.push(A=3)  # by somebody else
    with bind_state(near, line.mirror, "A", flat=True):
        near.add("A")
        assert line.take() == [("ADD", ["A"])], (
            "of the first pipe, which cannot know; the second one skips it"
        )


async def test_merged_changes_of_a_mirror() -> None:
    line = Line()
    calls: list[str] = []

    class Seen:
        def any_state(self, event: Any) -> None:
            calls.append(f"{event.transition.kind} {' '.join(event.transition.called)}")

    near = Machine(PLAIN, Seen())
    bind_many(line.mirror, near, ["A", "M"])
    flat = Machine(PLAIN)
    bind_many(line.mirror, flat, ["A", "M"], flat=True)
    line.push(A=2)
    assert calls == ["add A", "remove A"], "it was active for a moment"
    line.push(A=3, M=1)
    line.push(A=5, M=3)
    assert calls[2:] == ["add A", "add M", "remove A", "add A", "add M"]
    line.push(A=8, M=4)
    assert calls[7:] == ["remove A", "remove M"]
    line.push(A=1, M=1)  # the source was started anew
    line.push(A=3, M=3)
    calls.clear()
    line.push(A=1, M=1)
    assert calls == []
    assert flat.time("A", "M") == (3, 3)


async def test_errors_and_sets_to_a_mirror() -> None:
    line, near = Line(), Machine(PLAIN)
    with bind_state(near, line.mirror, "A", "ErrX"):
        near.add("A")
        assert line.take() == [("ADD", ["ErrX", "Exception"])]
    pipe = bind_any(near, line.mirror)
    assert pipe.sync() == 1
    assert line.take() == [("ADD", ["A"])]
    near.set("M")
    assert line.take() == [("REMOVE", ["A"]), ("ADD", ["M"])]
    near.add("M")
    assert line.take() == [("ADD", ["M"])]
