"""What generated handlers and facades are typed with. Part of the ABI; nothing here exists at run time.

Public through :mod:`asyncmachine.schema`, the one module that generated code imports.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any, Protocol, TypeVar

__all__ = ["ClockLike", "Event", "Facade", "ResultLike"]

A_co = TypeVar("A_co", covariant=True)


class Event(Protocol[A_co]):
    """What a handler receives; ``A_co`` is the class of the typed args of its state.

    The runtime's own class has more, this is what generated modules rely on.

    Attributes:
        name: the handler's name, e.g. ``foo_state``.
        machine: the machine the handler runs in.
        args: keyword arguments of the mutation, of all called states.
        data: typed args of the handler's state; raises ArgsError when a required one is missing.
        transition: the running transition.
        source: the transition, possibly of another machine, that caused this one; or None.
    """

    @property
    def name(self) -> str: ...
    @property
    def machine(self) -> Any: ...
    @property
    def args(self) -> Mapping[str, Any]: ...
    @property
    def data(self) -> A_co: ...
    @property
    def transition(self) -> Any: ...
    @property
    def source(self) -> Any: ...


class ResultLike(Protocol):
    """What an awaited mutation gives: ``asyncmachine.api.Result``, local or remote."""

    @property
    def executed(self) -> bool: ...
    @property
    def canceled(self) -> bool: ...
    @property
    def queued(self) -> bool: ...
    def __bool__(self) -> bool: ...
    def __await__(self) -> Generator[Any, Any, ResultLike]: ...


class ClockLike(Protocol):
    """What an awaited wait gives: ``asyncmachine.api.TimeIndex``, a tick per state."""

    def __getitem__(self, state: str, /) -> int: ...
    def is_active(self, *states: str) -> bool: ...
    def active_states(self) -> tuple[str, ...]: ...
    def as_dict(self) -> dict[str, int]: ...


class Facade(Protocol):
    """The part of a generated facade that does not depend on the schema, see ``asyncmachine.api``."""

    @property
    def id(self) -> str: ...
    @property
    def schema(self) -> Any: ...
    @property
    def disposed(self) -> bool: ...
    def clock(self) -> ClockLike: ...
    def when_query(self, query: Callable[[Any], bool]) -> Awaitable[ClockLike]: ...
    def when_error(self) -> Awaitable[ClockLike]: ...
    def when_disposed(self) -> Awaitable[None]: ...
    def bind(self, handlers: object) -> Any: ...
    def unbind(self, handlers: object) -> None: ...
