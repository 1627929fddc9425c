"""The workloads that the ancestor in Go was measured with, on our machine, next to its recorded figures.

The figures of Go are copied from another run: asyncmachine-go ``pkg/machine`` at 7acc40f, unmodified,
Go 1.27.3, linux/amd64, 2 shared vCPUs, logging off, no tracers; the median of 9 processes, taken in turn.
Nothing of Go runs here, so the core, its load and the day differ: a ratio near 1 says nothing. What an
empty call takes is printed to judge the core of this run.

Ours run in short rounds, taken in turn, with the garbage collector on, as it is in Go. Ratio and verdict are
of our best round, which flatters us; the median next to it shows how disturbed the run was, and on an idle
core the two are close. Where the languages differ:

* Go gives a channel for each wait, ours makes what a task sleeps on when one awaits it; nobody does here.
* Go calls handlers in another goroutine, ours calls them in place.
* A loop and a counter take next to nothing in Go, but a fifth of ``is1`` in Python: they are taken off there.
* Go parses the schema for each machine, ours is compiled once.

    python benchmarks/machine_go_workloads.py [ROW ...]
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat
from statistics import median
from types import SimpleNamespace
from typing import Any

from work.timing import PACE, Loop, rounds

from asyncmachine.machine import Machine
from asyncmachine.schema import Schema, State

ORDER = ("A", "B", "C", "D", "Exception")
FOUR = Schema("Four", {name: State() for name in "ABCD"})
MULTI = Schema("FourMulti", {"A": State(), "M": State(multi=True), "C": State(), "D": State()})
QUEUED = 1000  # mutations of a handler
KEPT = 1000  # machines
COUNT = 400  # rounds


def related() -> Schema:
    """50 states in groups of 5, with all but one of the relations."""
    states: dict[str, State] = {}
    for b in range(0, 50, 5):
        states[f"S{b:02}"] = State()
        states[f"S{b + 1:02}"] = State(require=(f"S{b:02}",))
        states[f"S{b + 2:02}"] = State(add=(f"S{b + 3:02}",))
        states[f"S{b + 3:02}"] = State(remove=(f"S{b + 4:02}",))
        states[f"S{b + 4:02}"] = State(remove=(f"S{b + 3:02}",))
    return Schema("Related", states)


RELATED = related()


def same(found: object, wanted: object) -> None:
    """Check that the work was done."""
    assert found == wanted, f"{found!r}, not {wanted!r}"


# -- handlers ----------------------------------------------------------------------------------


def nothing(event: Any) -> None:
    """An empty handler."""


MAP = SimpleNamespace(a_state=nothing, a_end=nothing)


class Struct:
    """The same as methods."""

    def a_state(self, event: Any) -> None:
        """Empty."""

    def a_end(self, event: Any) -> None:
        """Empty."""


def queue_toggles(event: Any) -> None:
    """Queue mutations that args keep from being merged."""
    machine = event.machine
    for i in range(0, QUEUED, 2):
        machine.add("B", i=i)
        machine.remove("B", i=i + 1)


def queue_calls(event: Any) -> None:
    """Queue mutations that are not merged since the state is Multi."""
    machine = event.machine
    for _ in repeat(None, QUEUED):
        machine.add("M")


# -- workloads: each makes so many changes and gives the seconds they took ---------------------


def toggle(*handlers: object) -> Loop:
    """One state goes on and off."""
    machine = Machine(FOUR, *handlers)

    def loop(changes: int) -> float:
        before = machine.tick("A")
        began = time.perf_counter()
        for _ in repeat(None, changes // 2):
            machine.add("A")
            machine.remove("A")
        took = time.perf_counter() - began
        same(machine.tick("A") - before, changes)
        same(machine.is_active("A"), False)
        return took

    return loop


def rel50() -> Loop:
    """Two states that each others' relations move, among 20 active ones of 50."""
    machine = Machine(RELATED)
    machine.add([f"S{b + n:02}" for b in range(0, 50, 5) for n in (0, 1)])
    moved = [f"S{n:02}" for n in range(5)]

    def loop(changes: int) -> float:
        before = machine.time(*moved)
        began = time.perf_counter()
        for _ in repeat(None, changes // 6):
            machine.add("S02")
            machine.add("S04")
            machine.remove("S02")
            machine.remove("S04")
            machine.remove("S00")
            machine.add(["S00", "S01"])
        took = time.perf_counter() - began
        after = machine.time(*moved)
        same([b - a for a, b in zip(before, after, strict=True)], [changes // 3] * 5)
        same(len(machine.active_states()), 20)
        return took

    return loop


def when1() -> Loop:
    """Subscribe to a state, activate it, look whether that was noticed, deactivate it."""
    machine = Machine(FOUR)

    def loop(changes: int) -> float:
        idle = machine.when("A")
        same(idle.done, False)  # a wait is not born done
        idle.cancel()
        before = machine.tick("A")
        began = time.perf_counter()
        for _ in repeat(None, changes):
            wait = machine.when("A")
            machine.add("A")
            assert wait.done
            machine.remove("A")
        took = time.perf_counter() - began
        same(machine.tick("A") - before, changes * 2)
        return took

    return loop


def queue(schema: Schema, handler: Callable[[Any], None], state: str) -> Loop:
    """A mutation whose handler queues a thousand others; all of them are timed, its removal is not."""
    machine = Machine(schema, SimpleNamespace(a_state=handler))
    per_call = 1
    if schema.states[state].multi:
        machine.add(state)
        per_call = 2  # ticks of a state that stays active

    def loop(changes: int) -> float:
        took = 0.0
        for _ in repeat(None, changes // (QUEUED + 1)):
            before = machine.tick(state)
            began = time.perf_counter()
            result = machine.add("A")
            took += time.perf_counter() - began
            same(result.executed, True)
            same(machine.tick(state) - before, QUEUED * per_call)
            machine.remove("A")
        return took

    return loop


def is1(state: str) -> Loop:
    """Ask for one state while A is active, and count the answers."""
    machine = Machine(FOUR)
    machine.add("A")

    def loop(changes: int) -> float:
        trues = 0
        began = time.perf_counter()
        for _ in repeat(None, changes):
            if machine.is_active(state):
                trues += 1
        took = time.perf_counter() - began
        same(trues, changes if state == "A" else 0)
        return took

    return loop


def counting(changes: int) -> float:
    """What ``is1`` does besides asking."""
    answer, trues = "A", 0
    began = time.perf_counter()
    for _ in repeat(None, changes):
        if answer:
            trues += 1
    took = time.perf_counter() - began
    same(trues, changes)
    return took


def new(changes: int) -> float:
    """Machines that are dropped, not disposed of; their order of states is checked."""
    began = time.perf_counter()
    for _ in repeat(None, changes):
        machine = Machine(FOUR)
        assert machine.schema.names == ORDER
    return time.perf_counter() - began


# -- rows --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One workload, what Go took for it, and the bound of ours; both in microseconds per change.

    Changes are made in multiples of *step*.
    """

    loop: Loop
    go: float
    bound: float
    step: int = 10


BATCH = QUEUED + 1

ROWS: dict[str, Row] = {
    "toggle": Row(toggle(), 1.792, 1.79),
    "toggle_handlers_map": Row(toggle(MAP), 4.145, 4.1),
    "toggle_handlers_struct": Row(toggle(Struct()), 4.299, 4.1),
    "rel50": Row(rel50(), 29.226, 29, 6),
    "when1": Row(when1(), 4.066, 4.1),
    "queue1000": Row(queue(FOUR, queue_toggles, "B"), 3115.477 / BATCH, 3.1, BATCH),
    "queue1000_multi": Row(queue(MULTI, queue_calls, "M"), 3613.326 / BATCH, 3.6, BATCH),
    "new": Row(new, 2.624, 5),
    "is1": Row(is1("A"), 0.0146, 0.1),
    "is1_false": Row(is1("D"), 0.0188, 0.1),
}


def timed(asked: Sequence[str]) -> None:
    """Print the rows of time."""
    loops = {name: ROWS[name].loop for name in asked} | PACE | {"counting": counting}
    steps = {name: ROWS[name].step for name in asked} | {"pace": 10, "counting": 10}
    us = rounds(loops, steps, count=COUNT)
    for name in asked:
        if name.startswith("is1"):
            us[name] = [each - us["counting"][0] for each in us[name]]
    print(f"{'us a change':24} {'ours':>9} {'median':>9} {'Go, then':>9} {'ratio':>8}   bound of ours")
    for name in asked:
        row, ours = ROWS[name], us[name]
        verdict = f"at most {row.bound}, {'met' if ours[0] <= row.bound else 'MISSED'}"
        ratio = f"{ours[0] / row.go:6.2f} x"
        print(f"{name:24} {ours[0]:9.3f} {median(ours):9.3f} {row.go:9.3f} {ratio:>8}   {verdict}")
    print(f"{'an empty call':24} {us['pace'][0]:9.3f} {median(us['pace']):9.3f}")


# -- memory ------------------------------------------------------------------------------------


def used() -> Machine:
    """A machine after two mutations."""
    machine = Machine(FOUR)
    machine.add("A")
    machine.remove("A")
    return machine


MEMORY: dict[str, tuple[Callable[[], Machine], int]] = {
    "mem": (lambda: Machine(FOUR), 4_759),
    "mem_used": (used, 5_439),
    "mem_handlers": (lambda: Machine(FOUR, MAP), 7_885),
    "mem50": (lambda: Machine(RELATED), 18_049),
}
"""How each kind of machine is made, and the bytes that one takes in Go."""


def bytes_each(make: Callable[[], Machine]) -> float:
    """Bytes of a machine, as ``tracemalloc`` counts them, when many are kept."""
    keep = make()  # what all machines of a schema share
    gc.collect()
    gc.collect()
    tracemalloc.start()
    machines = [make() for _ in repeat(None, KEPT)]
    gc.collect()
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    same({m.schema for m in machines}, {keep.schema})
    return size / KEPT


def remembered(asked: Sequence[str]) -> None:
    """Print the rows of memory."""
    print(f"{'bytes a machine':24} {'ours':>9} {'':9} {'Go, then':>9} {'ratio':>8}   bound of ours")
    for name in asked:
        make, go = MEMORY[name]
        ours = bytes_each(make)
        print(f"{name:24} {ours:9,.0f} {'':9} {go:9,} {f'{ours / go:6.2f} x':>8}   none")


def main() -> None:
    """Print the rows that were asked for, or all."""
    asked = sys.argv[1:] or [*ROWS, *MEMORY]
    if strange := [name for name in asked if name not in ROWS and name not in MEMORY]:
        sys.exit(f"no row {', '.join(strange)}; there are {', '.join([*ROWS, *MEMORY])}")
    print("Go's figures are of another run, on another machine state; see the head of this file.")
    if rows := [name for name in asked if name in ROWS]:
        timed(rows)
    if rows := [name for name in asked if name in MEMORY]:
        remembered(rows)


if __name__ == "__main__":
    main()
