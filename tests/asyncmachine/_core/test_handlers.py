from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from asyncmachine._core.handlers import Handlers
from asyncmachine._core.mutation import ADD, REMOVE, SET
from asyncmachine._core.plans import Plan, plan_cache
from asyncmachine.errors import BindError
from asyncmachine.schema import Schema, State

SCHEMA = Schema("Test", {"Foo": State(), "FooBar": State(), "HTTPServer": State(multi=True)})
FOO, FOO_BAR, HTTP = 0, 1, 2


def nothing(event: Any) -> None: ...


async def later(event: Any) -> None: ...


def bound(*names: str, schema: Schema = SCHEMA) -> Handlers:
    handlers = Handlers(schema)
    handlers.bind(SimpleNamespace(**dict.fromkeys(names, nothing)))
    return handlers


def plan(before: tuple[int, ...], kind: Any, *called: int, schema: Schema = SCHEMA) -> Plan:
    cache = plan_cache(schema)
    return cache.plan_called(cache.node(before), kind, called)


def names(handlers: Handlers, plan: Plan) -> list[str]:
    calls = handlers.calls(plan)
    return [b.name for b in (*calls.negotiation, *calls.finals, *calls.any_state)]


def test_all_kinds_of_handlers_run_in_their_order() -> None:
    handlers = bound(
        "foo_enter", "foo_exit", "foo_state", "foo_end", "foo_bar_enter", "foo_bar_state",
        "foo_to_foo_bar", "foo_to_foo", "any_enter", "any_state",
    )  # fmt: skip
    assert names(handlers, plan((), ADD, FOO)) == ["foo_enter", "any_enter", "foo_state", "any_state"]
    assert names(handlers, plan((FOO,), SET, FOO_BAR)) == [
        "foo_exit", "foo_bar_enter", "foo_to_foo_bar", "any_enter", "foo_end", "foo_bar_state", "any_state",
    ]  # fmt: skip
    assert names(handlers, plan((FOO,), ADD, FOO_BAR)) == [
        "foo_bar_enter", "foo_to_foo", "foo_to_foo_bar", "any_enter", "foo_bar_state", "any_state",
    ]  # fmt: skip


def test_self_handlers_do_not_run_for_remove_but_pair_handlers_do() -> None:
    handlers = bound("foo_to_foo", "foo_bar_to_foo")
    assert names(handlers, plan((FOO, FOO_BAR), REMOVE, FOO_BAR)) == ["foo_bar_to_foo"]


def test_multi_states_enter_again_when_called() -> None:
    handlers = bound("http_server_enter", "http_server_state", "http_server_to_http_server")
    assert names(handlers, plan((HTTP,), ADD, HTTP)) == [
        "http_server_enter", "http_server_to_http_server", "http_server_state",
    ]  # fmt: skip
    assert names(handlers, plan((HTTP,), ADD, FOO)) == ["http_server_to_http_server"]


def test_several_objects_run_in_order_of_binding() -> None:
    handlers, ran = Handlers(SCHEMA), list[int]()
    objects = [SimpleNamespace(foo_state=lambda event, n=n: ran.append(n)) for n in range(3)]
    for item in objects:
        handlers.bind(item)
    handlers.unbind(objects[1])
    for call in handlers.calls(plan((), ADD, FOO)).finals:
        call.call(None)  # type: ignore[arg-type]
    assert ran == [0, 2]


def test_masks_say_which_transitions_concern_handlers() -> None:
    handlers = bound("foo_state", "foo_bar_to_http_server")
    assert (handlers.touch, handlers.pair, handlers.has_any) == (0b001, 0b110, False)
    assert bound("any_enter").has_any


def test_the_subject_of_a_pair_is_the_state_it_leads_to() -> None:
    [call] = bound("foo_to_foo_bar").calls(plan((FOO,), ADD, FOO_BAR)).negotiation
    assert (call.state, call.phase) == (FOO_BAR, "to")


@pytest.mark.parametrize(
    "name", ["helper", "start_server", "to_string", "state", "ending", "go_to_sleep", "_foo_states"]
)
def test_other_names_are_left_alone(name: str) -> None:
    assert names(bound(name), plan((), ADD, FOO)) == []


def test_attributes_that_are_not_callable_are_left_alone() -> None:
    handlers = Handlers(SCHEMA)
    handlers.bind(SimpleNamespace(loading_state="idle"))
    assert handlers.touch == 0


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("fo_state", "did you mean 'foo_state'?"),
        ("foo_baz_enter", "did you mean 'foo_bar_enter'?"),
        ("other_exit", "no such state"),
        ("foo_to_foo_baz", "did you mean 'foo_bar'?"),
        ("nope_to_foo", "no state for 'nope'"),
    ],
)
def test_a_handler_of_no_state_is_an_error(name: str, hint: str) -> None:
    with pytest.raises(BindError, match=name) as caught:
        bound(name)
    assert hint in str(caught.value)


def test_an_ambiguous_pair_is_an_error() -> None:
    schema = Schema("Test", {"A": State(), "B": State(), "AToB": State(), "BToA": State()})
    with pytest.raises(BindError, match=r"a_to_b_to_a is ambiguous: \(a, b_to_a\) or \(a_to_b, a\)"):
        bound("a_to_b_to_a", schema=schema)


@pytest.mark.parametrize("name", ["foo_enter", "foo_exit", "foo_to_foo", "foo_to_foo_bar", "any_enter"])
def test_async_negotiation_is_an_error(name: str) -> None:
    with pytest.raises(BindError, match="is async"):
        Handlers(SCHEMA).bind(SimpleNamespace(**{name: later}))


def test_async_finals_are_marked_however_they_are_written() -> None:
    class Callable:
        async def __call__(self, event: Any) -> None: ...

    handlers = Handlers(SCHEMA)
    handlers.bind(SimpleNamespace(foo_state=later, foo_end=nothing))
    handlers.bind(SimpleNamespace(foo_state=partial(later)))
    handlers.bind(SimpleNamespace(foo_state=Callable()))
    assert [b.is_async for b in handlers.calls(plan((), ADD, FOO)).finals] == [True, True, True]
    assert [b.is_async for b in handlers.calls(plan((FOO,), REMOVE, FOO)).finals] == [False]


def test_a_failed_bind_binds_nothing() -> None:
    handlers = Handlers(SCHEMA)
    with pytest.raises(BindError):
        handlers.bind(SimpleNamespace(foo_state=nothing, foo_baz_state=nothing))
    assert handlers.touch == 0
    assert names(handlers, plan((), ADD, FOO)) == []


def test_unbinding_what_is_not_bound_is_an_error() -> None:
    handlers = bound("foo_state")
    with pytest.raises(BindError, match="is not bound"):
        handlers.unbind(object())
    assert names(handlers, plan((), ADD, FOO)) == ["foo_state"]
