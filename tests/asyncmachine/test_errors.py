from __future__ import annotations

import inspect

import pytest

from asyncmachine import errors
from asyncmachine.errors import AsyncMachineError, SchemaError, UnknownState, did_you_mean
from asyncmachine.schema import Problem

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, Exception)]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__name__)
def test_every_error_has_the_root_and_is_exported_and_in_the_tree(kind: type[Exception]) -> None:
    assert issubclass(kind, AsyncMachineError)
    assert kind.__name__ in errors.__all__
    assert kind.__name__ in (errors.__doc__ or "")


def test_messages_name_the_value_and_the_way_out() -> None:
    assert (
        str(UnknownState("Strat", "Door", ["Start", "Ready"]))
        == "Door has no state 'Strat'; did you mean 'Start'?"
    )
    assert str(UnknownState(3, "Door", ["Start"])) == "Door has no state 3; state names are strings"
    assert str(UnknownState("Xyz", "Door", ["Start"])) == "Door has no state 'Xyz'"
    problems = [Problem("bad-name", "a", "text one"), Problem("bad-value", "B", "text two")]
    assert str(SchemaError("Door", problems)) == "schema Door is not valid:\n  a: text one\n  B: text two"
    assert str(errors.PoolBroken("no luck", "last words")) == "no luck\nlast words"
    assert str(errors.PoolBroken("no luck")) == "no luck"
    assert str(errors.WorkError("ValueError", "bad", "trace")) == "ValueError: bad"
    assert "expected schema x, got y" in str(errors.SchemaMismatch("Door", "x", "y"))


def test_fields_are_kept() -> None:
    assert errors.NoWorker("busy", 1.5).retry_after == 1.5
    assert errors.ProtocolError(3, "text").code == errors.RemoteError(3, "text").code == 3
    assert errors.MachineDisposed("m").machine_id == "m"


def test_did_you_mean() -> None:
    assert did_you_mean("strat", ["start"]) == "; did you mean 'start'?"
    assert did_you_mean("xyz", ["start"]) == ""


def test_of_very_many_names_only_some_are_compared() -> None:
    many = [f"{letter}{i:04}" for letter in "abc" for i in range(5000)]
    assert did_you_mean("b0003x", many) == "; did you mean 'b0003'?"
    assert did_you_mean("strat", [*many, "start"]) == "; did you mean 'start'?"
