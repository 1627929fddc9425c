from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytest

from asyncmachine._core.event import Event
from asyncmachine._core.mutation import ADD, Mutation, Source
from asyncmachine._core.plans import PlanCache
from asyncmachine._core.transition import Transition
from asyncmachine.errors import ArgsError
from asyncmachine.schema import Args, Decoder, Schema, State, decode_int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobArgs(Args):
    decoders: ClassVar[Mapping[str, Decoder]] = {"number": decode_int}
    number: int
    note: str = ""


SCHEMA = Schema("Test", {"Job": State(args=JobArgs), "Plain": State()})


def event(state: str, args: Mapping[str, object], *, check: bool = False) -> Event[JobArgs]:
    cache = PlanCache(SCHEMA)
    mutation = Mutation(ADD, (0,), args, Source("other", "other/7", 3), check=check)
    tx = Transition(4, "test", SCHEMA, mutation, cache.plan(cache.node(()), ADD, ("Job",)))
    return Event("job_state", "machine", tx, args, SCHEMA.states[state])


def test_data_is_the_typed_args_of_the_handlers_state() -> None:
    assert event("Job", {"number": 1, "unrelated": 2}).data == JobArgs(number=1)


def test_data_raises_for_missing_args() -> None:
    with pytest.raises(ArgsError, match="JobArgs needs arg 'number'"):
        _ = event("Job", {"note": "x"}).data


def test_a_state_that_declares_no_args_has_no_data() -> None:
    with pytest.raises(ArgsError, match="declares no args"):
        _ = event("Plain", {"number": 1}).data


def test_source_and_check_come_from_the_mutation() -> None:
    assert event("Job", {}).source == Source("other", "other/7", 3)
    assert not event("Job", {}).check
    assert event("Job", {}, check=True).check


def test_repr_names_the_handler_and_the_transition() -> None:
    assert repr(event("Job", {})) == "<Event job_state of test/4>"
