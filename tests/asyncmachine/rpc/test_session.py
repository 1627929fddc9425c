from __future__ import annotations

import random
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asyncmachine.api import Tracer
from asyncmachine.errors import DeliveryError, NotConnected, OutcomeUnknown
from asyncmachine.rpc.config import Limits, RpcConfig
from asyncmachine.rpc.protocol.messages import Code, Payload

pytestmark = pytest.mark.anyio


async def test_payloads_arrive_in_order_and_are_acknowledged(session: Any) -> None:
    got: list[Payload] = []
    async with session(on_payload=got.append) as pair:
        (peer,) = pair.server.sessions
        replies = [peer.send_payload(f"n{n}", bytes([n])) for n in range(50)]
        peer.send_payload_nowait("last", b"x", source="other")
        last = peer.send_payload("end", b"")
        with anyio.fail_after(5):
            for reply in replies:
                await reply
            await last
    assert [p.data for p in got] == [*(bytes([n]) for n in range(50)), b"x", b""]
    assert [p.source for p in got[-3:]] == ["lamp", "other", "lamp"]
    assert got[3].name == "n3"


async def test_a_mebibyte(session: Any) -> None:
    got: list[Payload] = []
    async with session(on_payload=got.append) as pair:
        (peer,) = pair.server.sessions
        data = bytes(range(256)) * 4096
        with anyio.fail_after(5):
            await peer.send_payload("big", data)
        assert got[0].data == data
        with pytest.raises(DeliveryError, match=f"has {2**20 + 1} bytes, the limit is {2**20}"):
            peer.send_payload("bigger", bytes(2**20 + 1))
        with pytest.raises(DeliveryError, match="at most 255 characters"):
            peer.send_payload("n" * 256, b"")


async def test_a_consumer_may_refuse_or_fail(session: Any, caplog: pytest.LogCaptureFixture) -> None:
    def consume(payload: Payload) -> bool | None:
        if payload.name == "broken":
            raise ValueError("a fault of the consumer")
        return {"good": None, "also good": True, "bad": False}[payload.name]

    async with session(on_payload=consume) as pair:
        (peer,) = pair.server.sessions
        with anyio.fail_after(5):
            await peer.send_payload("good", b"")
            await peer.send_payload("also good", b"")
            with pytest.raises(DeliveryError, match=r"rejected$"):
                await peer.send_payload("bad", b"")
            with pytest.raises(DeliveryError, match="rejected: ValueError: a fault of the consumer"):
                await peer.send_payload("broken", b"")
            await peer.send_payload("good", b"")
    assert "a consumer of payloads failed" in caplog.text


async def test_nobody_consumes(session: Any) -> None:
    async with session() as pair:
        (peer,) = pair.server.sessions
        with anyio.fail_after(5), pytest.raises(DeliveryError, match="no consumer"):
            await peer.send_payload("x", b"")


async def test_the_mirror_is_up_to_date_when_a_payload_arrives(session: Any) -> None:
    seen: list[bool] = []
    config = RpcConfig(interval=1000.0)
    async with session(
        config=config, on_payload=lambda p: seen.append(pair.mirror.is_active("Seen"))
    ) as pair:
        (peer,) = pair.server.sessions
        pair.source.add("Start")
        await pair.mirror.when("Start")
        pair.source.add("Seen")
        with anyio.fail_after(5):
            await peer.send_payload("x", b"")
    assert seen == [True]


async def test_a_payload_of_a_session_that_ends(session: Any) -> None:
    async with session(reconnect=False) as pair:
        (peer,) = pair.server.sessions
        reply = peer.send_payload("x", b"")
        peer.close(Code.OK, "enough")
        with anyio.fail_after(5), pytest.raises(DeliveryError, match="enough"):
            await reply
        await pair.mirror.when_disposed()
        assert not peer.open
        with pytest.raises(NotConnected, match="is not open"):
            peer.send_payload_nowait("x", b"")
        assert "enough" in str(pair.client.error)


async def test_payloads_have_limits(session: Any) -> None:
    config = RpcConfig(limits=Limits(unacked=2), payload_timeout=0.02)
    held: list[Payload] = []
    async with session(config=config, on_payload=held.append) as pair:
        (peer,) = pair.server.sessions
        first, second = peer.send_payload("a", b""), peer.send_payload("b", b"")
        with pytest.raises(DeliveryError, match="2 payloads are not acknowledged yet"):
            peer.send_payload("c", b"")
        with anyio.fail_after(5):
            await first
            await second
            await peer.send_payload("c", b"")


async def test_pushes_are_conflated_with_a_leading_edge(session: Any) -> None:
    config = RpcConfig(interval=1000.0)
    async with session(config=config) as pair:
        moved: list[int] = []
        pair.mirror.trace(Counter(moved))
        with anyio.fail_after(5):
            pair.source.add("Start")
            await pair.mirror.when("Start")
            for _ in range(100):
                pair.source.add("Work", number=1)
            await anyio.wait_all_tasks_blocked()
            assert pair.mirror.tick("Work") == 0
            assert await pair.mirror.add("Start")
            assert pair.mirror.tick("Work") == 199
        assert moved == [1, 200]


class Counter(Tracer):
    """A tracer that notes the sum of all ticks after each change."""

    def __init__(self, sums: list[int]) -> None:
        self.sums = sums

    def transition_end(self, machine: Any, transition: Any) -> None:
        self.sums.append(sum(transition.time_after))


async def test_a_push_after_the_interval(session: Any) -> None:
    async with session(config=RpcConfig(interval=0.01)) as pair:
        with anyio.fail_after(5):
            for tick in (1, 3, 5, 7):
                pair.source.add("Work", number=1)
                pair.source.add("Seen")
                await pair.mirror.when_tick("Work", tick)


async def test_a_mirror_that_lost_track_recovers(session: Any) -> None:
    async with session() as pair:
        (peer,) = pair.server.sessions
        await pair.mirror.add("Start")
        peer.ver += 100  # as if updates had been lost
        pair.source.add("Seen")
        with anyio.fail_after(5):
            await pair.mirror.when("Seen")
        assert pair.mirror.time() == pair.source.time()
        assert (await pair.mirror.remove("Start")).executed
        assert pair.mirror.connected


async def test_a_client_that_never_answers_is_dropped(session: Any) -> None:
    ended = anyio.Event()
    args = {"on_session_end": lambda peer: ended.set()}
    async with session(config=RpcConfig(heartbeat=0.02), server_args=args, reconnect=False) as pair:
        (peer,) = pair.server.sessions
        pair.client._session._link.wake = lambda: None  # from now on it is mute
        with anyio.fail_after(5):
            await ended.wait()
        assert peer.closed is not None
        assert peer.closed.code == Code.TIMEOUT


async def test_heartbeats_keep_an_idle_session_open(session: Any) -> None:
    async with session(config=RpcConfig(heartbeat=0.05)) as pair:
        (peer,) = pair.server.sessions
        answered = anyio.Event()
        took = pair.client._session._conn.receive_data

        def receive(data: bytes, now: float) -> Any:
            events = took(data, now)
            if pair.mirror.rtt is not None:
                answered.set()
            return events

        pair.client._session._conn.receive_data = receive
        with anyio.fail_after(5):
            await answered.wait()
        assert 0 <= pair.mirror.rtt < 5
        assert peer.open
        assert await pair.mirror.add("Start")


async def test_a_request_that_is_not_answered_in_time(session: Any) -> None:
    async with session(client_config=RpcConfig(call_timeout=0.01)) as pair:
        pair.server.sessions[0]._mutate = lambda request, now: None
        with anyio.fail_after(5), pytest.raises(OutcomeUnknown, match=r"no answer in 0\.01 s"):
            await pair.mirror.add("Start")
        assert pair.mirror.connected


async def test_a_fault_in_the_server_ends_that_session_only(
    session: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with session(server_args={"max_sessions": 2}) as pair:
        (peer,) = pair.server.sessions

        def broken(request: Any, now: float) -> None:
            raise ValueError("a fault of ours")

        peer._mutate = broken
        with anyio.fail_after(5):
            lost = pair.client.states.when("Disconnected")
            call = pair.mirror.add("Start")
            await lost
            assert (await call).executed  # by the next session
            assert pair.mirror.sessions == 2
    assert "a fault of this side" in caplog.text


async def test_a_denied_flood_is_cut_off(session: Any) -> None:
    async with session(reconnect=False) as pair:
        replies = [pair.mirror.add("Secret") for _ in range(300)]
        ends = []
        for reply in replies:
            try:
                await reply
            except Exception as error:  # noqa: BLE001 - which is counted below
                ends.append(type(error).__name__)
        assert set(ends) == {"Denied", "OutcomeUnknown"}
        assert ends.count("Denied") <= pair.client.config.limits.glitch_burst + 1


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("interval", [0.0, 0.003])
async def test_a_mirror_equals_its_source_in_the_end(session: Any, seed: int, interval: float) -> None:
    """Whatever both sides do, whatever is merged, lost, or cut and opened again."""
    rng = random.Random(seed)
    config = RpcConfig(
        interval=interval, retry_base=0.001, retry_cap=0.002, limits=Limits(resync_seconds=1e-9)
    )
    names = ("Start", "On", "Seen", "Secret", "Shy")
    async with session(config=config) as pair:
        with anyio.fail_after(20):
            for _ in range(150):
                action = rng.randrange(12)
                if action < 6:
                    getattr(pair.source, rng.choice(("add", "remove", "set")))(rng.choice(names))
                elif action < 8:
                    pair.source.add("Work", number=1)
                elif action < 10:
                    await (await pair.client.ready()).toggle("Start")
                    assert pair.mirror.tick("Start") == pair.source.tick("Start")
                elif action == 10 and pair.server.sessions and pair.server.sessions[0].open:
                    pair.server.sessions[0].ver -= 1  # as if an update had been lost
                elif rng.random() < 0.3:
                    for peer in pair.server.sessions:
                        peer.close(Code.INTERNAL, "cut")
                    await pair.client.states.when("Disconnected")
                    await pair.client.ready()
                else:
                    await anyio.lowlevel.checkpoint()
            mirror = await pair.client.ready()
            await mirror.add("Start")
        rights = pair.source.schema.allowed("client", "read")
        for index, name in enumerate(pair.source.schema.names):
            shown = pair.source.tick(name) if rights >> index & 1 else 0
            assert mirror.tick(name) == shown, name
