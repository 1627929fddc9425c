from __future__ import annotations

from typing import Any

import pytest

from asyncmachine.errors import UnknownState
from asyncmachine.machine import Machine
from asyncmachine.pipes import bind_state
from asyncmachine.rpc.netmachine import NetMachine
from asyncmachine.rpc.replies import Reply
from asyncmachine.schema import Schema, State
from asyncmachine.testing.record import Recorder

DOOR = Schema(
    "Door",
    {
        "Open": State(remove=("Closed",)),
        "Closed": State(auto=True, remove=("Open",)),
        "Locked": State(require=("Closed",)),
        "Ring": State(multi=True),
    },
)


class Handlers:
    def open_enter(self, event: Any) -> bool:
        return event.args.get("key") == 42

    def closed_to_open(self, event: Any) -> None: ...
    def any_enter(self, event: Any) -> None: ...
    def any_state(self, event: Any) -> None: ...
    async def open_state(self, event: Any) -> None: ...

    def ring_state(self, event: Any) -> None:
        if "bell" not in event.args:
            raise ValueError("no bell")

    def exception_state(self, event: Any) -> None: ...


def door(*handlers: object) -> tuple[Machine, Recorder]:
    machine = Machine(DOOR, *handlers, id="door")
    return machine, Recorder(machine)


def failure(call: Any, *args: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        call(*args)
    return str(caught.value)


def test_transitions_are_recorded() -> None:
    machine, recorder = door(Handlers())
    machine.add("Closed", "Locked", why="night")
    machine.add("Open", key=1)
    machine.can_add("Open", key=42)
    (added, refused) = recorder.transitions
    assert (added.kind, added.called, added.args) == ("add", ("Closed", "Locked"), {"why": "night"})
    assert (added.started, added.ended, added.active) == (("Closed", "Locked"), (), ("Closed", "Locked"))
    assert added.accepted
    assert not added.auto
    assert refused.stopped_by == "open_enter"
    assert not refused.accepted
    assert refused.calls == ("open_enter",)
    assert str(recorder) == (
        "add Closed Locked -> (Closed Locked)\nadd Open, canceled by open_enter -> (Closed Locked)"
    )
    recorder.clear()
    machine.remove("Closed")
    assert [step.auto for step in recorder.transitions] == [False, True]
    recorder.assert_history("", "Closed")
    assert str(recorder.transitions[1]) == "add Closed (auto) -> (Closed)"


def test_calls_are_in_the_order_of_the_engine_bound_or_not() -> None:
    ran: list[str] = []
    names = [
        f"{state}_{phase}"
        for state in ("open", "closed", "locked")
        for phase in ("enter", "exit", "state", "end")
    ]
    names += ["closed_to_open", "any_enter", "any_state"]

    def note(event: Any) -> None:
        ran.append(event.name)

    every = type("Every", (), {name: staticmethod(note) for name in names})()
    bound, full = door(every)
    bare, empty = door()
    for machine in (bound, bare):
        machine.add("Closed", "Locked")
        machine.add("Open")
        machine.remove("Open")
    assert full.calls == tuple(ran)
    only_bound = ("closed_to_open", "any_enter", "any_state")
    assert empty.calls == tuple(name for name in ran if name not in only_bound)


def test_a_rollback_records_what_ran() -> None:
    machine, recorder = door(Handlers())
    machine.add("Ring")
    failed = recorder.transitions[0]
    assert repr(failed.error) == "ValueError('no bell')"
    assert failed.active == ()
    assert failed.calls == ("any_enter", "ring_state")
    recorder.assert_states("Closed", "Exception")
    recorder.assert_order("ring_state", "exception_state")
    text = failure(recorder.assert_no_errors)
    assert "door had errors" in text
    assert "ValueError('no bell')" in text
    recorder.clear()
    machine.remove("Exception")
    machine.add("Ring", bell=1)
    recorder.assert_no_errors()
    machine.add_error(OSError("mine"))
    assert "OSError('mine')" in failure(recorder.assert_no_errors)


def test_a_wrong_order_is_shown() -> None:
    machine, recorder = door()
    machine.add("Closed")
    machine.add("Open")
    recorder.assert_order("closed_enter", "closed_end", "open_state")
    recorder.assert_order()
    assert failure(recorder.assert_order, "closed_state", "open_state", "closed_end") == (
        "closed_state > open_state > closed_end is not the order of the calls:\n"
        "    closed_enter\n"
        "    closed_state\n"
        "    closed_exit\n"
        "    open_enter\n"
        "    closed_end\n"
        "    open_state\n"
        "  - closed_end  was called only before\n"
        "after:\n"
        "  add Closed -> (Closed)\n"
        "  add Open -> (Open)"
    )
    assert "- locked_state  was not called" in failure(recorder.assert_order, "locked_state")
    assert "was called only before" in failure(recorder.assert_order, "open_state", "open_state")


def test_wrong_states_are_shown() -> None:
    machine, recorder = door()
    machine.add("Open", "Ring")
    recorder.assert_states("Ring", "Open")
    text = failure(recorder.assert_states, "Open", "Locked")
    assert "- Locked  is not active" in text
    assert "+ Ring  is active" in text
    assert "add Open Ring -> (Open Ring)" in text
    with pytest.raises(UnknownState, match="did you mean 'Open'"):
        recorder.assert_states("Opne")


def test_a_wrong_history_is_shown_as_a_difference() -> None:
    machine, recorder = door()
    machine.add("Closed")
    machine.add("Closed")
    machine.add("Locked")
    machine.add("Open")
    recorder.assert_history("Closed", ["Locked", "Closed"], "Open")
    text = failure(recorder.assert_history, "Closed", "Open", "Closed")
    assert "    Closed\n  + Closed Locked\n    Open\n  - Closed\nafter:" in text
    recorder.clear()
    machine.add("Ring")
    recorder.assert_calls("ring_enter", "ring_state")
    assert "+ ring_state" in failure(recorder.assert_calls, "ring_enter")
    recorder.clear()
    assert "no transition" in failure(recorder.assert_calls, "ring_enter")


def test_sources_reports_and_dry_runs_inside_handlers() -> None:
    machine, recorder = door()
    bell = Machine(DOOR, id="bell")
    bind_state(bell, machine, "Ring", "Open")
    bell.add("Ring")
    assert recorder.transitions[0].source == "bell"
    machine._engine.tracers.report("slow-handler", seconds=3)
    assert recorder.reports == [("slow-handler", {"seconds": 3})]

    class Asks:
        def locked_enter(self, event: Any) -> None:
            assert event.machine.can_add("Ring")

        def ring_enter(self, event: Any) -> None: ...

    asking, recorder = door(Asks())
    asking.add("Closed", "Locked")
    assert [step.called for step in recorder.transitions] == [("Closed", "Locked")]
    assert "ring_enter" not in recorder.calls


def test_a_recorder_attached_in_a_transition_starts_with_it() -> None:
    found: list[Recorder] = []

    class Late:
        def open_enter(self, event: Any) -> None:
            found.append(Recorder(event.machine))

    machine = Machine(DOOR, Late())
    machine.add("Open")
    machine.add("Ring")
    assert found[0].history == (("Open", "Ring"),)


def test_detached_is_over() -> None:
    machine, recorder = door()
    with recorder:
        machine.add("Open")
    machine.add("Ring")
    recorder.detach()
    assert len(recorder.transitions) == 1


def test_a_mirror_is_recorded() -> None:
    mirror = NetMachine(DOOR, "mirror", lambda op, states, args, noreply: Reply())
    recorder = Recorder(mirror)
    mirror.move([(0, 0, 1), (3, 0, 2)], 1)
    mirror.move([(0, 1, 2), (1, 0, 1)], 2)
    recorder.assert_states("Closed")
    recorder.assert_history("Open", "Closed")
    assert recorder.transitions[1].ended == ("Open",)
    assert recorder.calls == ()
