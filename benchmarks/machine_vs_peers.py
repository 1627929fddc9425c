"""The speed of a machine against its peers and its limits, in one process.

Everything that is compared is run in short rounds, taken in turn, and the best round counts: so a slow
moment of the computer hits all alike. Each line gives the figure, what it is compared with, and the
limit. Absolute limits are meant for an idle core; a busy or slower one misses them, so those lines tell
what an empty call took in the same rounds.

    python benchmarks/machine_vs_peers.py [SECTION ...]
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from itertools import repeat
from typing import Any, Protocol

from automat import TypeMachineBuilder
from statemachine import State as StatemachineState
from statemachine import StateMachine
from transitions import Machine as Transitions
from transitions.extensions.asyncio import AsyncMachine as AsyncTransitions
from work.timing import PACE, ROUNDS, Loop, best

from asyncmachine.api import Tracer
from asyncmachine.machine import Machine
from asyncmachine.schema import Schema, State

FOUR = Schema("Four", {name: State() for name in "ABCD"})
PAIR = Schema("Pair", {"A": State(remove=("B",)), "B": State(remove=("A",))})
RING_NAMES = [f"S{n}" for n in range(30)]
RING = Schema("Ring", {n: State(remove=tuple(x for x in RING_NAMES if x != n)) for n in RING_NAMES})


def faster(what: str, ours: float, peer: str, theirs: float, limit: str) -> None:
    """Print how many times as fast as a peer we are."""
    text = f"{theirs / ours:7.1f} x faster"
    print(f"{what:48} {ours:8.3f} us   {peer:21} {theirs:8.3f} us {text} ({limit})")


def costs(what: str, ours: float, peer: str, theirs: float, limit: str) -> None:
    """Print how many times the cost of something else ours is."""
    text = f"{ours / theirs:7.2f} x the cost"
    print(f"{what:48} {ours:8.3f} us   {peer:21} {theirs:8.3f} us {text} ({limit})")


def within(what: str, us: dict[str, float], limit: float) -> None:
    """Print how much of an absolute limit is used. Not scaled: the pace only helps to judge it."""
    print(
        f"{what:48} {us['ours']:8.3f} us   {'an empty call':21} {us['pace']:8.3f} us "
        f"{us['ours'] / limit:7.2f} x the limit (limit: at most {limit} us)"
    )


# -- peers -------------------------------------------------------------------------------------


class Count:
    """What the callbacks do: the least that shows they ran. Ours get an event, the peers' nothing."""

    def __init__(self) -> None:
        self.calls = 0

    def a_end(self, event: Any) -> None:
        """Ours, on leaving A."""
        self.calls += 1

    def b_state(self, event: Any) -> None:
        """Ours, on entering B."""
        self.calls += 1

    def left(self) -> None:
        """The peer's."""
        self.calls += 1

    def entered(self) -> None:
        """The peer's."""
        self.calls += 1


class Watching(Tracer):
    """Counts transitions."""

    def __init__(self) -> None:
        self.ends = 0

    def transition_end(self, machine: Any, transition: Any) -> None:
        """Count."""
        self.ends += 1


def transitions_machine(kind: type[Any], names: str, count: Count | None = None) -> Any:
    """A machine of ``transitions`` that goes ``forth`` from A to B and ``back``."""
    states: list[Any] = list(names)
    if count:
        states[:2] = [{"name": "A", "on_exit": count.left}, {"name": "B", "on_enter": count.entered}]
    machine = kind(states=states, initial="A", auto_transitions=False)
    machine.add_transition("forth", "A", "B")
    machine.add_transition("back", "B", "A")
    return machine


class Door(Protocol):
    """The inputs of the machine of ``automat``."""

    def forth(self) -> None:
        """From A to B."""

    def back(self) -> None:
        """From B to A."""


def automat_machine() -> Door:
    """Two states, no outputs."""
    builder = TypeMachineBuilder(Door, Count)
    a, b = builder.state("A"), builder.state("B")
    a.upon(Door.forth).to(b).returns(None)
    b.upon(Door.back).to(a).returns(None)
    return builder.build()(Count())


class PythonStatemachine(StateMachine):
    """Two states of ``python-statemachine``."""

    a = StatemachineState(initial=True)
    b = StatemachineState()
    forth = a.to(b)
    back = b.to(a)


def there_and_back(machine: Any) -> Loop:
    """Changes of a peer."""

    def loop(changes: int) -> None:
        for _ in repeat(None, changes // 2):
            machine.forth()
            machine.back()

    return loop


def swap(machine: Machine) -> Loop:
    """Changes of ours: from A to B and back."""
    machine.add("A")

    def loop(changes: int) -> None:
        for _ in repeat(None, changes // 2):
            machine.add("B")
            machine.add("A")

    return loop


def toggling(machine: Machine, state: str) -> Loop:
    """Changes of ours: one state goes on and off."""

    def loop(changes: int) -> None:
        for _ in repeat(None, changes):
            machine.toggle(state)

    return loop


# -- sections ----------------------------------------------------------------------------------


def toggle() -> None:
    """One state of four goes on and off."""
    us = best(
        {
            "ours": toggling(Machine(FOUR), "A"),
            "transitions": there_and_back(transitions_machine(Transitions, "ABCD")),
        }
    )
    faster(
        "toggle of one state on a four-state machine",
        us["ours"],
        "transitions",
        us["transitions"],
        "limit: at least 8 x",
    )


def plain() -> None:
    """Two states that exclude each other, and no handlers."""
    us = best(
        {
            "ours": swap(Machine(PAIR)),
            "automat": there_and_back(automat_machine()),
            "transitions": there_and_back(transitions_machine(Transitions, "AB")),
            "python-statemachine": there_and_back(PythonStatemachine()),
        }
    )
    for peer, limit in {"automat": 1, "transitions": 10, "python-statemachine": 10}.items():
        faster("two states, no handlers", us["ours"], peer, us[peer], f"limit: at least {limit} x")


def ring() -> None:
    """Round a ring of 30 states."""
    machine = Machine(RING)
    peer: Any = Transitions(states=RING_NAMES, initial="S0", auto_transitions=False)
    peer.add_ordered_transitions(trigger="step")

    def ours(changes: int) -> None:
        for _ in repeat(None, changes // 30):
            for name in RING_NAMES:
                machine.add(name)

    def theirs(changes: int) -> None:
        for _ in repeat(None, changes):
            peer.step()

    us = best({"ours": ours, "transitions": theirs}, step=30)
    faster("ring of 30 states", us["ours"], "transitions", us["transitions"], "limit: at least 10 x")


def handlers() -> None:
    """One end and one state handler run on the way from A to B, as two callbacks of the peer do."""
    mine, its = Count(), Count()
    us = best(
        {
            "ours": swap(Machine(PAIR, mine)),
            "transitions": there_and_back(transitions_machine(Transitions, "AB", its)),
        }
    )
    assert mine.calls > 2 * ROUNDS, mine.calls
    assert its.calls > 2 * ROUNDS, its.calls
    faster("an end and a state handler", us["ours"], "transitions", us["transitions"], "limit: at least 5 x")


def awaited() -> None:
    """The same, each change awaited."""
    mine, its = Count(), Count()
    machine = Machine(PAIR, mine)
    machine.add("A")
    peer = transitions_machine(AsyncTransitions, "AB", its)

    async def ours(changes: int) -> None:
        for _ in repeat(None, changes // 2):
            await machine.add("B")
            await machine.add("A")

    async def theirs(changes: int) -> None:
        for _ in repeat(None, changes // 2):
            await peer.forth()
            await peer.back()

    with asyncio.Runner() as runner:
        us = best(
            {
                "ours": lambda changes: runner.run(ours(changes)),
                "transitions": lambda changes: runner.run(theirs(changes)),
            },
            step=100,
        )
    assert mine.calls > ROUNDS, mine.calls
    assert its.calls > ROUNDS, its.calls
    faster("the same, awaited", us["ours"], "transitions", us["transitions"], "limit: at least 5 x")


def unwatched() -> None:
    """What it costs that tracers and ``explain`` exist, when there is no tracer and nobody asks."""
    fresh, left = Machine(FOUR), Machine(FOUR)
    tracer = Watching()
    left.trace(tracer)
    left.toggle("A")
    assert tracer.ends == 1
    left.untrace(tracer)

    ticks, moves, plan = [0] * 5, [None] * 5, ((0, 1),)

    def move(changes: int) -> None:  # as in ``Engine.mutate``
        for _ in repeat(None, changes):
            for i, step in plan:
                ticks[i] += step

    def remember(changes: int) -> None:  # also as there
        memory: list[Any] = moves
        for _ in repeat(None, changes):
            for i, step in plan:
                ticks[i] += step
                memory[i] = plan

    us = best(
        {
            "fresh": toggling(fresh, "A"),
            "left": toggling(left, "A"),
            "move": move,
            "remember": remember,
        }
    )
    costs("toggle after a tracer has gone", us["left"], "never traced", us["fresh"], "limit: none measurable")
    cost = us["remember"] - us["move"]
    text = f"toggle                {us['fresh']:8.3f} us {cost / us['fresh']:7.2f} of it"
    print(f"{'the memory of explain, for each state moved':48} {cost:8.3f} us   {text}")


def related(count: int) -> Schema:
    """States in groups of ten: one that the others require, pairs that exclude or add each other."""
    states: dict[str, State] = {"A": State(), "B": State(require=("A",))}
    for n in range(count - len(states)):
        base = f"S{n - n % 10}"
        require = (base,) if n % 10 else ()
        remove = (f"S{n - 1}",) if n % 10 in (3, 6, 9) else ()
        add = (f"S{n + 1}",) if n % 10 == 1 and n + 1 < count - len(states) else ()
        states[f"S{n}"] = State(require=require, remove=remove, add=add)
    return Schema(f"Related{count}", states)


def size() -> None:
    """A state of a large machine goes on and off while a third of the others are active."""
    loops: dict[str, Loop] = {}
    for count in (4, 50, 500):
        machine = Machine(related(count))
        machine.add("A", *(f"S{n}" for n in range(count - 2) if n % 10 in (0, 2, 4)))
        loops[str(count)] = toggling(machine, "B")
    us = best(loops)
    costs("toggle among 50 states with relations", us["50"], "4 states", us["4"], "limit: at most 1.5 x")
    costs("toggle among 500 states with relations", us["500"], "4 states", us["4"], "limit: at most 3 x")


def construction() -> None:
    """Time and memory of a machine on a schema that is in use."""
    keep = Machine(FOUR)
    keep.add("A")

    def make(changes: int) -> None:
        for _ in repeat(None, changes):
            Machine(FOUR)

    us = best({"ours": make} | PACE)
    within("construction of a machine", us, 5.0)
    gc.collect()
    tracemalloc.start()
    machines = [Machine(FOUR) for _ in repeat(None, 1_000)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    each = size / len(machines)
    text = f"{each / 1500:7.2f} x the limit"
    print(f"{'memory of a machine':48} {each:8.0f} bytes{'':37} {text} (limit: at most 1,500 bytes)")


def reading() -> None:
    """``is_active`` of one state."""
    machine = Machine(FOUR)
    assert not machine.is_active("A")

    def loop(changes: int) -> None:
        for _ in repeat(None, changes):
            machine.is_active("A")

    def bare(changes: int) -> None:
        for _ in repeat(None, changes):
            pass

    us = best({"ours": loop, "loop": bare} | PACE)
    us["ours"] -= us["loop"]
    within("is_active", us, 0.1)


async def turns(changes: int, crowd: int, wait: Callable[[], Awaitable[object]], wake: Loop) -> None:
    """Wake a *crowd* of tasks, which then wait again, so many times that *changes* waits have ended."""

    async def waiter() -> None:
        for _ in repeat(None, changes // crowd):
            await wait()

    async with asyncio.TaskGroup() as tasks:
        for _ in repeat(None, crowd):
            tasks.create_task(waiter())
        for _ in repeat(None, changes // crowd):
            await asyncio.sleep(0)  # one turn of the loop: all wait, again
            wake(1)


def waking_loop(
    runner: asyncio.Runner, crowd: int, wait: Callable[[], Awaitable[object]], wake: Loop
) -> Loop:
    """Turns of a crowd, in an event loop."""
    return lambda changes: runner.run(turns(changes, crowd, wait, wake))


def waking() -> None:
    """Tasks wait for a state which another one sets, against a bare ``asyncio.Event``."""
    machine = Machine(Schema("Pulse", {"M": State(multi=True)}))
    event = asyncio.Event()

    def set_event(_: int) -> None:
        nonlocal event
        event.set()
        event = asyncio.Event()

    def wait_event() -> Awaitable[object]:
        return event.wait()

    def set_state(_: int) -> None:
        machine.add("M")

    for crowd, who in {1: "one waiter, with the mutation", 100: "each of 100 waiters"}.items():
        with asyncio.Runner() as runner:
            us = best(
                {
                    "ours": waking_loop(runner, crowd, lambda: machine.when_next("M"), set_state),
                    "event": waking_loop(runner, crowd, wait_event, set_event),
                },
                step=1000,
            )
        costs(f"waking {who}", us["ours"], "asyncio.Event", us["event"], "limit: at most 1.5 x")


class Burst:
    """Mutates its machine so many times from a handler."""

    def __init__(self) -> None:
        self.count = 0

    def d_state(self, event: Any) -> None:
        """Queue them."""
        machine = event.machine
        for _ in repeat(None, self.count // 2):
            machine.add("A")
            machine.remove("A")


def queue() -> None:
    """Mutations made inside a handler: queued there, executed after it."""
    burst = Burst()
    machine = Machine(FOUR, burst)

    def loop(size: int) -> Loop:
        def run(changes: int) -> None:
            burst.count = size
            for _ in repeat(None, changes // size):
                before = machine.queue_tick
                machine.add("D")
                machine.remove("D")
                assert machine.queue_tick - before == size + 2

        return run

    us = best({"ours": loop(1000), "100": loop(100)} | PACE, step=1000)
    within("each of 1,000 mutations queued in a handler", us, 1.2)
    costs("  the same, is it linear?", us["ours"], "each of 100", us["100"], "limit: at most 1.2 x")


SECTIONS: dict[str, Callable[[], None]] = {
    f.__name__: f
    for f in (toggle, unwatched, plain, handlers, awaited, ring, size, construction, reading, waking, queue)
}


def main() -> None:
    """Print the sections that were asked for, or all."""
    asked = sys.argv[1:] or list(SECTIONS)
    if unknown := [name for name in asked if name not in SECTIONS]:
        sys.exit(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    gc.disable()
    for name in asked:
        SECTIONS[name]()
        gc.collect()


if __name__ == "__main__":
    main()
