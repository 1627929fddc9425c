"""What the shell must do after a drain, as data. Performed in order, none of them awaits.

A :class:`~asyncmachine._core.waits.Wait` that has fired, and for which somebody waits, is such an effect
itself: it must be woken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from asyncmachine._core.event import Event
from asyncmachine._core.scopes import Token
from asyncmachine._core.waits import Wait

__all__ = ["CancelScope", "Effect", "StartTask"]


class StartTask(NamedTuple):
    """Start an async handler. Dropped if the token has expired by the end of the drain.

    ``state`` is the index of the handler's state, -1 for ``any_state``. ``token`` is None when the
    task lives as long as the machine.
    """

    handler: Callable[[Event[Any]], Any]
    event: Event[Any]
    state: int
    token: Token | None


class CancelScope(NamedTuple):
    """Cancel all that hangs on this expired token."""

    token: Token


Effect: TypeAlias = StartTask | CancelScope | Wait
