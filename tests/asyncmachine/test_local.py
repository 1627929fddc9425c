from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from asyncmachine.api import EXECUTED
from asyncmachine.errors import UnknownState
from asyncmachine.machine import Machine
from asyncmachine.schema import Schema, State

SCHEMA = Schema("Test", {"A": State(), "B": State(require=("A",)), "C": State(remove=("A",))})


def test_the_queue_is_visible() -> None:
    seen: list[tuple[int, int, bool]] = []

    def note(event: Any) -> None:
        m.add("B")
        seen.append((m.queue_tick, m.queue_len, m.draining))

    m = Machine(SCHEMA, SimpleNamespace(a_state=note))
    m.add("A")
    assert seen == [(2, 1, True)]
    assert (m.queue_tick, m.queue_len, m.draining) == (3, 0, False)


def test_explanations_are_for_names() -> None:
    m = Machine(SCHEMA, id="m1")
    m.add("A")
    assert str(m.explain("A")) == "A is active, tick 1\n  last move: called, by [add] A"
    assert m.explain("B").addable
    m.add("C")
    assert m.explain("B").missing == ("A",)
    with pytest.raises(UnknownState, match="Nope"):
        m.explain("Nope")


def test_a_snapshot_is_of_this_machine() -> None:
    m = Machine(SCHEMA, id="m1")
    m.add("A")
    snapshot = m.snapshot()
    assert (snapshot.machine, snapshot.ticks, snapshot.queue_tick) == ("m1", (1, 0, 0, 0), 2)


def test_a_breakpoint_stops_where_the_mutation_is_made() -> None:
    stops: list[tuple[str, tuple[str, ...]]] = []

    def stop() -> None:
        frame = sys._getframe()
        callers: list[str] = []
        while frame.f_back is not None:
            frame = frame.f_back
            callers.append(frame.f_code.co_name)
        stops.append(("culprit" if "culprit" in callers else "", m.active_states()))

    def culprit() -> None:
        m.add("A", ["B"])

    m = Machine(SCHEMA)
    tracer = m.breakpoint(added=["A"], hook=stop)
    culprit()
    assert stops == [("culprit", ())]
    m.remove("A")
    m.add("C")
    assert len(stops) == 1
    m.set("B", "A")
    assert len(stops) == 2
    m.untrace(tracer)
    m.set("A")
    assert len(stops) == 2


def test_a_breakpoint_needs_all_of_its_states() -> None:
    stops: list[str] = []
    m = Machine(SCHEMA)
    m.breakpoint(["A", "C"], ["A", "B"], hook=lambda: stops.append(str(m)))
    m.add("A")
    m.add("B")
    m.remove("B")
    assert stops == []
    m.add("B")
    m.remove("B", "A")
    assert stops == ["(A:1 B:3)"]
    m.toggle("A", "C")
    assert len(stops) == 2


def test_the_hook_is_the_debugger_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    stops: list[str] = []
    m = Machine(SCHEMA)
    m.breakpoint(removed=["A"])
    monkeypatch.setattr(sys, "breakpointhook", lambda: stops.append(str(m)))
    m.add("A")
    assert m.remove("A") == EXECUTED
    assert stops == ["(A:1)"]


def test_a_machine_without_breakpoints_keeps_its_fast_path() -> None:
    m = Machine(SCHEMA)
    tracer = m.breakpoint(added=["A"], hook=lambda: None)
    assert not m._engine.fast
    m.untrace(tracer)
    assert m._engine.fast


def test_a_breakpoint_needs_known_states() -> None:
    m = Machine(SCHEMA)
    with pytest.raises(UnknownState, match="Nope"):
        m.breakpoint(added=["Nope"])
    with pytest.raises(ValueError, match="needs states"):
        m.breakpoint()
