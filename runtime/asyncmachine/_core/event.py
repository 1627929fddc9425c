"""What a handler receives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from asyncmachine.errors import ArgsError
from asyncmachine.schema import State

if TYPE_CHECKING:
    from asyncmachine._core.mutation import Source

__all__ = ["Event"]

A = TypeVar("A", covariant=True)


class Event(Generic[A]):
    """One call of one handler.

    Attributes:
        name: the handler's name, e.g. ``foo_state``.
        machine: the machine it runs in.
        transition: the running transition, see ``Transition``.
        args: keyword arguments of the mutation, shared by all handlers of the transition.
        state: definition of the handler's state; None for ``any_*``.
        source: the transition, possibly in another machine, that caused this one; or None.
        check: this is a dry run; nothing will be applied.
    """

    __slots__ = ("args", "machine", "name", "state", "transition")

    def __init__(
        self, name: str, machine: Any, transition: Any, args: Mapping[str, Any], state: State | None
    ) -> None:
        self.name = name
        self.machine = machine
        self.transition = transition
        self.args = args
        self.state = state

    @property
    def data(self) -> A:
        """The typed args of the handler's state.

        Raises:
            ArgsError: the state declares no args, or a required one was not given.
        """
        declared = self.state.args if self.state is not None else None
        if declared is None:
            raise ArgsError(f"the state of {self.name} declares no args; read event.args")
        return cast(A, declared.of(self.args))

    @property
    def source(self) -> Source | None:
        """See the class."""
        return cast("Source | None", self.transition.mutation.source)

    @property
    def check(self) -> bool:
        """See the class."""
        return cast(bool, self.transition.mutation.check)

    def __repr__(self) -> str:
        return f"<Event {self.name} of {self.transition.id}>"
