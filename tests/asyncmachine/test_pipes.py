from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmachine.errors import BindError, MachineDisposed, UnknownState
from asyncmachine.machine import Machine
from asyncmachine.pipes import (
    bind_any,
    bind_connected,
    bind_error,
    bind_many,
    bind_ready,
    bind_state,
    sync,
)
from asyncmachine.schema import Schema, State

ONE = Schema(
    "One",
    {
        "A": State(),
        "B": State(require=("A",)),
        "M": State(multi=True),
        "Ready": State(),
        "ErrDisk": State(add=("Exception",), require=("Exception",)),
    },
)
TWO = Schema("Two", {**dict(ONE.states), "X": State(), "Y": State(remove=("X",)), "Own": State(auto=True)})


def pair(*handlers: object) -> tuple[Machine, Machine]:
    return Machine(ONE, id="one"), Machine(TWO, *handlers, id="two")


class Seen:
    """Notes what happens to X, M and A of a target."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.sources: list[Any] = []

    def _note(self, event: Any) -> None:
        self.calls.append((event.name, dict(event.args)))
        self.sources.append(event.source)

    a_state = a_end = b_state = b_end = x_state = x_end = m_state = m_end = _note


def test_a_state_follows_with_args_and_cause() -> None:
    seen = Seen()
    one, two = pair(seen)
    bind_state(one, two, "A", "X")
    one.add("A", n=1)
    assert two.is_active("X")
    one.remove("A", n=2)
    assert two.is_inactive("X")
    assert seen.calls == [("x_state", {"n": 1}), ("x_end", {"n": 2})]
    assert [(s.machine, s.transition) for s in seen.sources] == [("one", "one/1"), ("one", "one/2")]


def test_the_name_of_the_source_is_the_default_and_the_end_may_have_another() -> None:
    one, two = pair()
    with bind_state(one, two, "A"), bind_state(one, two, "Ready", "X", "Own"):
        one.add("A", "Ready")
        assert two.active_states() == ("A", "X", "Own")
        one.remove("A", "Ready")
        assert two.is_active("X")
        assert two.is_inactive("A")
        assert two.tick("Own") == 3, "removed, and back because it is auto"


def test_nothing_is_sent_for_what_did_not_happen() -> None:
    class Veto:
        def a_enter(self, event: Any) -> bool:
            return False

    one, two = pair()
    one.bind(Veto())
    bind_many(one, two, ["A", "B"])
    assert one.add("A").canceled
    assert one.add("B").canceled
    assert one.can_remove("A")
    assert two.queue_tick == 1


def test_a_dry_run_inside_a_handler_tells_nothing() -> None:
    seen = Seen()
    one, two = pair(seen)
    asked: list[bool] = []
    one.bind(SimpleNamespace(a_state=lambda event: asked.append(bool(one.can_add("B")) and not seen.calls)))
    bind_state(one, two, "A")
    one.add("A")
    assert asked == [True]
    assert seen.calls == [("a_state", {})]


def test_a_rollback_reaches_the_target() -> None:
    class Fails:
        def a_state(self, event: Any) -> None:
            if event.args.get("fail"):
                raise ValueError("no")

        def m_state(self, event: Any) -> None:
            self.a_state(event)

        def exception_state(self, event: Any) -> None: ...

    seen = Seen()
    one, two = pair(seen)
    one.bind(Fails())
    bind_many(one, two, ["A", "M"])
    one.add("A", fail=True)
    assert seen.calls == []
    one.add("M")
    one.add("M", fail=True)  # a multi state that was active, and is not any more
    assert not one.is_active("M")
    assert [name for name, _ in seen.calls] == ["m_state", "m_end"]
    assert two.active_states() == ("Own",)


def test_multi_states_are_called_again_unless_the_pipe_is_flat() -> None:
    seen, flat_seen = Seen(), Seen()
    one, two = pair(seen)
    three = Machine(TWO, flat_seen, id="three")
    bind_state(one, two, "M")
    bind_state(one, three, "M", flat=True)
    one.add("M", n=1)
    one.add("M", n=2)
    one.remove("M")
    assert seen.calls == [("m_state", {"n": 1}), ("m_state", {"n": 2}), ("m_end", {})]
    assert flat_seen.calls == [("m_state", {}), ("m_end", {})]


def test_a_flat_pipe_skips_what_is_so_already() -> None:
    one, two = pair()
    bind_state(one, two, "A", "X", flat=True)
    two.add("X")
    before = two.queue_tick
    one.add("A")
    assert two.queue_tick == before
    one.remove("A")
    assert two.queue_tick == before + 1


def test_a_flat_pipe_trusts_nothing_while_the_target_is_busy() -> None:
    """X is active still, but its removal is in the queue."""
    one, two = pair()
    bind_state(one, two, "A", "X", flat=True)

    class Busy:
        def ready_enter(self, event: Any) -> None:
            two.remove("X")
            one.add("A")

    two.bind(Busy())
    two.add("X")
    two.add("Ready")
    assert two.is_active("X")


def test_order_is_kept_while_the_target_is_busy() -> None:
    seen = Seen()
    one, two = pair(seen)
    bind_state(one, two, "A")

    class Busy:
        def x_state(self, event: Any) -> None:
            for n in range(3):
                one.add("A", n=n)
                one.remove("A", n=n)
            seen.calls.clear()

    two.bind(Busy())
    two.add("X")
    assert seen.calls == [(f"a_{what}", {"n": n}) for n in range(3) for what in ("state", "end")]


def test_ends_come_first_and_starts_in_the_order_of_the_source() -> None:
    seen = Seen()
    schema = Schema("Late", {"A": State(after=("B",), remove=("M",)), "B": State(), "M": State()})
    late, two = Machine(schema), Machine(Schema("Flat", {n: State() for n in "ABMX"}), seen)
    bind_many(late, two, ["A", "B", "M"])
    late.add("M")
    late.add("A", "B")
    assert [name for name, _ in seen.calls] == ["m_state", "m_end", "b_state", "a_state"]


def test_errors_go_with_exception_and_keep_their_traceback() -> None:
    got: list[Any] = []
    one, two = pair(SimpleNamespace(exception_state=lambda event: got.append(event.args)))
    bind_error(one, two, "ErrDisk")
    error = OSError("full")
    one.bind(SimpleNamespace(exception_state=lambda event: None))
    one.add_error(error, n=3)
    assert two.is_active("ErrDisk", "Exception")
    assert got == [{"n": 3, "error": error}]
    one.add_error(error)
    assert len(got) == 2, "an active Exception is called again"
    one.remove("Exception")
    assert two.is_active("ErrDisk", "Exception")


def test_a_state_of_errors_without_an_error_brings_exception() -> None:
    one, two = pair()
    plain = Schema("Plain", {"ErrNet": State()})
    sink = Machine(plain)
    bind_state(one, sink, "A", "ErrNet")
    one.add("A")
    assert sink.is_active("ErrNet", "Exception")
    one.remove("A")
    assert sink.active_states() == ("Exception",)
    bind_error(one, two)
    one.add("Exception")
    assert two.is_active("Exception")


def test_ready_and_connected() -> None:
    names = ("Disconnected", "Connecting", "Connected", "Disconnecting")
    link = Machine(Schema("Link", {**{n: State() for n in names}, "Ready": State()}))
    user = Machine(Schema("User", {"LinkUp": State(), "LinkDown": State(), "LinkReady": State()}))
    bind_connected(link, user, connected="LinkUp", disconnected="LinkDown")
    bind_ready(link, user, "LinkReady")
    link.add(*names, "Ready")
    assert user.active_states() == ("LinkUp", "LinkDown", "LinkReady")
    link.set("Connected")
    assert user.active_states() == ("LinkUp",)
    with pytest.raises(BindError, match="name a state of the target"):
        bind_connected(link, user)


def test_sync_makes_equal_what_was_so_before() -> None:
    one, two = pair()
    one.add("A", "M")
    two.add("Ready")
    pipe = bind_many(one, two, ["A", "M", "Ready"])
    assert two.is_inactive("A", "M")
    assert pipe.sync() == 3
    assert two.active_states() == ("A", "M", "Own")
    assert pipe.sync() == 0
    assert two.tick("M") == 1
    one.remove("A")
    pipe.close()
    assert pipe.sync() == 0
    assert sync(one, two, ["A", "M"], ["X", "Y"]) == 1
    assert two.active_states() == ("M", "Y", "Own")
    one.remove("M")
    assert two.is_active("Y"), "once"


def test_a_closed_pipe_is_silent_and_disposal_of_either_side_closes() -> None:
    one, two = pair()
    pipe = bind_state(one, two, "A")
    pipe.close()
    pipe.close()
    one.add("A")
    assert two.is_inactive("A")
    assert "closed" in repr(pipe)
    assert one._engine.tracers.items == two._engine.tracers.items == ()
    for gone in (0, 1):
        machines = pair()
        pipe = bind_any(*machines)
        assert not pipe.closed
        machines[gone].dispose()
        assert pipe.closed
        assert all(m._engine.tracers.items == () for m in machines)
        with pytest.raises(MachineDisposed):
            bind_state(*machines, "A")


def test_a_pipe_bound_inside_a_transition_sees_its_end() -> None:
    one, two = pair()
    one.bind(SimpleNamespace(a_enter=lambda event: bind_state(one, two, "A") and None))
    one.add("A")
    assert two.is_active("A")


def test_wrong_bindings_are_refused_and_leave_nothing() -> None:
    one, two = pair()
    with pytest.raises(UnknownState, match="One has no state 'Z'"):
        bind_state(one, two, "Z", "X")
    with pytest.raises(UnknownState, match="Two has no state 'Z'"):
        bind_state(one, two, "A", "X", "Z")
    with pytest.raises(UnknownState, match="One has no state 'X'"):
        bind_any(two, one)
    with pytest.raises(BindError, match="2 states cannot be piped to 1 targets"):
        bind_many(one, two, ["A", "B"], ["X"])
    with pytest.raises(BindError, match="to itself"):
        bind_state(one, one, "M")
    with pytest.raises(BindError, match="to itself"):
        bind_any(one, one)
    assert one._engine.tracers.items == two._engine.tracers.items == ()


def test_two_states_of_one_machine_may_be_piped() -> None:
    one, _ = pair()
    bind_state(one, one, "Ready", "A")
    one.add("Ready")
    assert one.is_active("A")


def test_machines_piped_to_each_other_come_to_rest() -> None:
    one, two = Machine(ONE, id="one"), Machine(ONE, id="two")
    bind_any(one, two)
    bind_any(two, one)
    one.add("A", "M")
    two.add("B")
    assert one.active_states() == two.active_states() == ("A", "B", "M")
    one.remove("A")
    assert one.active_states() == two.active_states() == ("M",)


def test_any_keeps_the_targets_own_states() -> None:
    one, two = pair()
    bind_any(one, two)
    two.add("X", "Ready")
    one.add("A", n=1)
    assert two.active_states() == ("A", "X", "Own")
    one.remove("A")  # pure deactivations too
    assert two.active_states() == ("X", "Own")


def test_any_takes_states_of_errors_as_they_are() -> None:
    got: list[Any] = []
    plain = Schema("Plain", {"ErrNet": State(), "A": State()})
    one = Machine(plain, SimpleNamespace(exception_state=lambda event: None), id="one")
    two = Machine(
        plain, SimpleNamespace(exception_state=lambda event: got.append(event.args["error"])), id="two"
    )
    bind_any(one, two)
    one.add("ErrNet", "A")
    assert two.active_states() == ("ErrNet", "A"), "without Exception, as in the source"
    one.remove("ErrNet", "A")
    error = OSError("full")
    one.add(["ErrNet", "A", "Exception"], error=error)
    assert two.active_states() == ("ErrNet", "A", "Exception")
    one.remove("ErrNet", "A", "Exception")
    one.add_error(error)
    assert two.active_states() == ("Exception",)
    assert got == [error, error]


NAMES = ("A", "B", "M", "Ready")
STEPS = st.lists(st.tuples(st.sampled_from(["add", "remove", "set"]), st.sampled_from(NAMES)), max_size=20)


@given(STEPS, STEPS)
def test_any_makes_equal_sets_whatever_was_before(
    before: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    one, two = Machine(ONE, id="one"), Machine(ONE, id="two")
    for n, (verb, name) in enumerate(before):
        getattr((one, two)[n % 2], verb)(name)
    pipe = bind_any(one, two)
    pipe.sync()
    assert two.active_states() == one.active_states()
    for verb, name in after:
        calls = one.tick("M"), two.tick("M")
        getattr(one, verb)(name)
        assert two.active_states() == one.active_states()
        assert two.tick("M") - calls[1] == one.tick("M") - calls[0]


@given(STEPS)
def test_a_pipe_of_each_state_follows_every_change(steps: list[tuple[str, str]]) -> None:
    one, two = Machine(ONE, id="one"), Machine(ONE, id="two")
    bind_many(one, two, NAMES)
    for verb, name in steps:
        getattr(one, verb)(name)
        assert two.time() == one.time()
