"""The rules in which this machine differs from asyncmachine-go, see ``docs/spec/machine.md``.

Rules 8, 9 and 12 also have asynchronous sides, tested in ``test_machine.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import pytest

from asyncmachine import schema as s
from asyncmachine._core.engine import Engine
from asyncmachine._core.mutation import ADD, REMOVE, Mutation
from asyncmachine._core.waits import ACTIVE, INACTIVE, Wait
from asyncmachine.api import CANCELED, EXECUTED, Tracer
from asyncmachine.errors import SchemaError
from asyncmachine.schema import Schema, State


class Reports(Tracer):
    def __init__(self) -> None:
        self.seen: list[tuple[str, Mapping[str, Any]]] = []

    def report(self, machine: Any, kind: str, details: Mapping[str, Any]) -> None:
        self.seen.append((kind, details))


class Rig(Engine):
    def __init__(self, states: Mapping[str, State], **handlers: Callable[[Any], object]) -> None:
        self.ran: list[str] = []
        self.log: list[str] = []
        self.now = 0.0
        super().__init__(
            Schema("Test", states),
            "test",
            self,
            lambda: self.now,
            lambda kind, details: self.log.append(kind),
        )
        if handlers:
            self.bind(SimpleNamespace(**{n: self._recording(n, call) for n, call in handlers.items()}))

    def _recording(self, name: str, call: Callable[[Any], object]) -> Callable[[Any], object]:
        def handler(event: Any) -> object:
            self.ran.append(name)
            return call(event)

        return handler

    def add(self, *names: str, **args: Any) -> str:
        return repr(self.mutate(ADD, names, args))

    def remove(self, *names: str) -> str:
        return repr(self.mutate(REMOVE, names))

    @property
    def active(self) -> str:
        return " ".join(n for n, t in zip(self.schema.names, self.ticks, strict=True) if t & 1)


def accept(event: Any) -> None: ...


def veto(event: Any) -> bool:
    return False


def fail(event: Any) -> None:
    raise ValueError(event.name)


def test_rule_01_auto_candidates_are_tried_in_index_order() -> None:
    states = {
        "Go": State(),
        "Zulu": State(auto=True, remove=("Alpha", "Mike"), require=("Go",)),
        "Alpha": State(auto=True, remove=("Zulu", "Mike"), require=("Go",)),
        "Mike": State(auto=True, remove=("Zulu", "Alpha"), require=("Go",)),
    }
    for order in permutations(["Zulu", "Alpha", "Mike"]):
        machine = Rig({"Go": states["Go"], **{n: states[n] for n in order}})
        machine.add("Go")
        assert machine.active == f"Go {order[0]}"


def test_rule_01_independent_requirements_keep_index_order() -> None:
    machine = Rig(
        {"D": State(), "C": State(require=("D",)), "B": State(), "A": State(require=("B",))},
        **{f"{n}_state": accept for n in "abcd"},
    )
    machine.add("A", "B", "C", "D")
    assert machine.ran == ["d_state", "c_state", "b_state", "a_state"]


def test_rule_02_after_orders_states_that_are_not_neighbours() -> None:
    machine = Rig(
        {"C": State(after=("D",)), "X": State(), "D": State()}, **{f"{n}_state": accept for n in "cxd"}
    )
    machine.add("C", "X", "D")
    assert machine.ran == ["x_state", "d_state", "c_state"]


def test_rule_02_after_wins_over_the_order_of_require() -> None:
    machine = Rig(
        {"A": State(require=("B",)), "B": State(after=("A",))},
        a_state=accept,
        b_state=accept,
        a_end=accept,
        b_end=accept,
    )
    machine.add("A", "B")
    machine.remove("A", "B")
    assert machine.ran == ["a_state", "b_state", "a_end", "b_end"]


@pytest.mark.parametrize(
    ("kind", "states"),
    [
        ("after-cycle", {"A": State(after=("B",)), "B": State(after=("C",)), "C": State(after=("A",))}),
        ("require-cycle", {"A": State(require=("B",)), "B": State(require=("A",))}),
        ("require-cycle", {"A": State(require=("A",))}),
    ],
)
def test_rule_02_cycles_are_errors(kind: str, states: dict[str, State]) -> None:
    assert [p.kind for p in s.find_problems(states, {})] == [kind]
    with pytest.raises(SchemaError, match="goes in a circle"):
        Schema("Test", states)


def test_rule_03_add_is_followed_to_a_fixpoint() -> None:
    chain = {f"S{i}": State(add=(f"S{i + 1}",)) for i in range(9)} | {"S9": State()}
    machine = Rig(chain)
    assert machine.add("S0") == "EXECUTED"
    assert machine.active == " ".join(chain)


def test_rule_03_states_implied_by_implied_ones_take_part_in_remove() -> None:
    machine = Rig({"A": State(add=("B",)), "B": State(add=("C",)), "C": State(remove=("X",)), "X": State()})
    machine.add("X")
    machine.add("A")
    assert machine.active == "A B C"


def test_rule_03_mutual_removal_never_leaves_both_active() -> None:
    states = {"A": State(add=("P", "Q")), "P": State(remove=("Q",)), "Q": State(remove=("P",))}
    machine = Rig(states)
    assert machine.add("A") == "EXECUTED"
    assert machine.active == "A P"


def test_rule_03_a_requirement_that_is_implied_deep_down_counts() -> None:
    machine = Rig({"A": State(add=("B",)), "B": State(add=("C",), require=("C",)), "C": State()})
    machine.add("A")
    assert machine.active == "A B C"


def test_rule_04_an_active_multi_state_implies_only_when_called() -> None:
    machine = Rig({"M": State(multi=True, add=("A",)), "A": State(), "B": State()})
    machine.add("M")
    machine.remove("A")
    machine.add("B")
    assert machine.active == "M B"
    machine.add("M")
    assert machine.active == "M A B"


def test_rule_05_what_only_rejected_states_imply_is_not_set() -> None:
    states = {
        "Go": State(),
        "P": State(auto=True, require=("X",), add=("Q",)),
        "Q": State(),
        "R": State(auto=True),
        "X": State(),
    }
    machine = Rig(states)
    machine.add("Go")
    assert machine.active == "Go R"


def test_rule_05_what_only_vetoed_states_imply_is_not_set() -> None:
    states = {"Go": State(), "P": State(auto=True, add=("Q",)), "Q": State(), "R": State(auto=True)}
    machine = Rig(states, p_enter=veto, q_state=accept)
    machine.add("Go")
    assert (machine.active, machine.ran) == ("Go R", ["p_enter"])


def test_rule_05_a_vetoed_state_is_not_resurrected_by_who_implies_it() -> None:
    states = {"Go": State(), "P": State(auto=True), "R": State(auto=True, add=("P",))}
    machine = Rig(states, p_enter=veto, r_state=accept)
    machine.add("Go")
    assert (machine.active, machine.ran) == ("Go R", ["p_enter", "r_state"])


def test_rule_05_what_a_vetoed_state_kept_out_is_tried_then() -> None:
    states = {"Go": State(), "P": State(auto=True, remove=("R",)), "R": State(auto=True)}
    machine = Rig(states, p_enter=veto, r_enter=accept)
    machine.add("Go")
    assert (machine.active, machine.ran) == ("Go R", ["p_enter", "r_enter"])


def test_rule_05_a_veto_of_a_state_that_is_not_auto_cancels_the_auto_transition() -> None:
    states = {"Go": State(), "P": State(auto=True, add=("Q",)), "Q": State(), "R": State(auto=True)}
    machine = Rig(states, q_enter=veto)
    machine.add("Go")
    assert machine.active == "Go"


def test_rule_06_a_failure_in_an_end_handler_rolls_the_entering_states_back() -> None:
    states = {"A": State(), "B": State(), "C": State(require=("B",)), "D": State()}
    machine = Rig(states, a_end=fail, d_state=accept, b_state=accept)
    machine.add("A", "D")
    waits = [Wait(INACTIVE, (0,)), Wait(ACTIVE, (1,))]
    for wait in waits:
        machine.add_wait(wait)
    entering = machine.token(1)
    machine.ran.clear()
    assert repr(machine.mutate(2, ("B", "C", "D"))) == "CANCELED"
    assert machine.active == "D Exception"  # the exit of A stays, B and C were undone, D did not move
    assert machine.ticks[:4] == [2, 2, 2, 1]
    assert machine.ran == ["a_end"]
    assert [w.done for w in waits] == [True, False]
    assert entering.expired


def test_rule_06_states_whose_handlers_completed_stay() -> None:
    states = {"A": State(), "B": State(), "C": State()}
    machine = Rig(states, a_state=accept, b_state=fail, c_state=accept)
    assert machine.add("A", "B", "C") == "CANCELED"
    assert (machine.active, machine.ran) == ("A Exception", ["a_state", "b_state"])


def test_rule_07_an_error_in_exception_state_is_reported_and_the_machine_goes_on() -> None:
    machine, reports = Rig({"A": State()}, exception_state=fail), Reports()
    machine.trace(reports)
    assert machine.add("Exception", error=KeyError("first")) == "CANCELED"
    assert machine.log == ["error-in-error-handler"]
    [(kind, details)] = reports.seen
    assert (kind, str(details["error"])) == ("error-in-error-handler", "exception_state")
    assert machine.active == "Exception"  # the first error did happen
    assert machine.add("A") == "EXECUTED"


def test_rule_07_who_waits_for_an_error_learns_of_it_even_so() -> None:
    machine = Rig({"A": State()}, a_state=fail, exception_state=fail)
    wait = Wait(ACTIVE, (machine.cache.exception,))
    machine.add_wait(wait)
    machine.add("A")
    assert wait.done


def test_rule_08_waits_do_not_fire_on_a_swap() -> None:
    machine = Rig({"A": State(remove=("B",)), "B": State(remove=("A",))})
    machine.add("B")
    both, none = Wait(ACTIVE, (0, 1)), Wait(INACTIVE, (0, 1))
    machine.add_wait(both)
    machine.add_wait(none)
    machine.add("A")
    assert (machine.active, both.done, none.done) == ("A", False, False)


def test_rule_08_waits_fire_after_a_rollback() -> None:
    machine = Rig({"A": State(), "B": State(), "C": State(require=("A",))}, b_state=fail)
    machine.add("A")
    gone = Wait(INACTIVE, (0,))
    machine.add_wait(gone)
    assert repr(machine.mutate(2, ("B",))) == "CANCELED"
    assert gone.done


def test_rule_09_a_canceled_mutation_settles_too() -> None:
    waiting: list[Mutation] = []
    wait = Wait(ACTIVE, ())

    def nested(event: Any) -> None:
        machine.add("B")
        waiting.extend(machine.queue.items)
        waiting[0].waiters = [wait]

    machine = Rig({"A": State(), "B": State(require=("X",)), "X": State()}, a_state=nested)
    machine.add("A")
    assert (waiting[0].result, wait.done) == (CANCELED, True)


def test_rule_10_add_remove_add_ends_active() -> None:
    def nested(event: Any) -> None:
        for _ in range(2):
            machine.add("B")
            machine.remove("B")
        machine.add("B")
        lengths.append(len(machine.queue))

    lengths: list[int] = []
    machine = Rig({"A": State(), "B": State()}, a_state=nested)
    machine.add("A")
    assert (machine.active, lengths) == ("A B", [5])


def test_rule_11_a_veto_by_an_exiting_state_cancels_the_auto_transition() -> None:
    states = {
        "Go": State(),
        "Old": State(),
        "P": State(auto=True, require=("Go",), remove=("Old",)),
        "R": State(auto=True),
    }
    machine = Rig(
        states, old_exit=lambda event: machine.current is not None and not machine.current.mutation.auto
    )
    machine.add("Old")
    machine.remove("R")
    before = machine.active
    machine.add("Go")
    assert machine.active == f"Go {before}"
    assert machine.ran[-1] == "old_exit"


def test_rule_12_a_slow_handler_is_measured_and_reported_but_not_undone() -> None:
    def slow(event: Any) -> None:
        machine.now += 0.5

    machine, reports = Rig({"A": State()}, a_state=slow), Reports()
    machine.trace(reports)
    assert machine.add("A") == "EXECUTED"
    [(kind, details)] = reports.seen
    assert (kind, details["handler"], details["seconds"]) == ("slow-handler", "a_state", 0.5)
    assert machine.log == ["slow-handler"]


@pytest.mark.parametrize(
    ("states", "kind"),
    [
        ({"lower": State()}, "bad-name"),
        ({"With_underscore": State()}, "bad-name"),
        ({"SolidState": State()}, "bad-name"),
        ({"WeekEnd": State()}, "bad-name"),
        ({"A": State(require=("Nope",))}, "unknown-state"),
    ],
)
def test_rule_13_names_are_validated(states: dict[str, State], kind: str) -> None:
    assert [p.kind for p in s.find_problems(states, {})] == [kind]


def test_rule_13_requiring_what_is_removed_is_an_error() -> None:
    states = {"A": State(require=("B",), remove=("B",)), "B": State()}
    assert [p.kind for p in s.find_problems(states, {})] == ["require-remove"]


def test_rule_14_a_check_inside_a_handler_answers_at_once() -> None:
    def nested(event: Any) -> None:
        answers.extend([machine.check(ADD, ("B",), {}), machine.check(ADD, ("C",), {})])
        machine.add("X")
        answers.append(machine.check(ADD, ("C",), {}))  # X is queued, not active

    answers: list[Any] = []
    machine = Rig({"A": State(), "B": State(), "C": State(require=("X",)), "X": State()}, a_state=nested)
    machine.add("A")
    assert answers == [EXECUTED, CANCELED, CANCELED]
    assert machine.active == "A X"


def test_rule_15_a_check_of_a_multi_state_asks_relations() -> None:
    machine = Rig({"A": State(remove=("M",)), "M": State(multi=True)}, any_enter=accept)
    assert machine.check(ADD, ("M",), {}) is EXECUTED
    machine.add("A")
    machine.ran.clear()
    assert machine.check(ADD, ("M",), {}) is CANCELED
    assert machine.ran == []


def test_rule_16_an_unknown_name_is_an_error_inside_a_handler_too() -> None:
    machine = Rig({"A": State()}, a_state=lambda event: machine.remove("Nope"))
    assert machine.add("A") == "CANCELED"
    assert machine.active == "Exception"


def test_rule_17_an_error_is_taken_by_a_full_queue() -> None:
    def nested(event: Any) -> None:
        machine.queue.limit = 1
        answers.extend([machine.add("B"), machine.add("C"), machine.add("Exception", error=ValueError())])

    answers: list[str] = []
    machine = Rig({"A": State(), "B": State(), "C": State()}, a_state=nested)
    machine.add("A")
    assert answers == ["Queued(3)", "CANCELED", "Queued(4)"]
    assert machine.active == "A B Exception"


def test_rule_18_a_failing_negotiation_handler_cancels_an_auto_transition() -> None:
    states = {"A": State(), "P": State(auto=True), "Q": State(auto=True)}
    machine = Rig(states, p_enter=fail)
    machine.add("A")
    assert machine.active == "A Exception"
    assert machine.ticks[machine.schema.index["Q"]] == 0


def test_results_of_rules_are_the_plain_constants() -> None:
    machine = Rig({"A": State(), "B": State(require=("A",))})
    assert machine.mutate(ADD, ("B",)) is CANCELED
    assert machine.mutate(ADD, ("A", "B")) is EXECUTED
