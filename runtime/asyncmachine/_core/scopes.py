"""Tokens of states: each stands for one state at one tick, and expires when the tick moves.

Tasks and scopes hang on tokens, so they die with their state.
"""

from __future__ import annotations

from typing import Final, Protocol

from asyncmachine.schema import iter_bits

__all__ = ["NO_SCOPES", "Cancelable", "Scopes", "Token"]


class Cancelable(Protocol):
    """What can hang on a token: anything with ``cancel()``, such as an anyio cancel scope."""

    def cancel(self) -> object: ...


class Token:
    """One state at one tick. ``state`` is -1 for the token of the machine itself."""

    __slots__ = ("attached", "expired", "state", "tick")

    def __init__(self, state: int, tick: int) -> None:
        self.state = state
        self.tick = tick
        self.expired = False
        self.attached: dict[Cancelable, None] = {}

    def attach(self, item: Cancelable) -> None:
        """Cancel *item* when the token expires; at once if it has."""
        if self.expired:
            item.cancel()
        else:
            self.attached[item] = None

    def detach(self, item: Cancelable) -> None:
        """Forget *item*."""
        self.attached.pop(item, None)

    def cancel_attached(self) -> None:
        """Cancel all that hangs here. Called by the shell, after the drain that expired the token."""
        items, self.attached = self.attached, {}
        for item in items:
            item.cancel()


class Scopes:
    """The live tokens of one machine, at most one per state."""

    __slots__ = ("_live", "mask")

    def __init__(self) -> None:
        self._live: dict[int, Token] = {}
        self.mask = 0

    def token(self, state: int, tick: int) -> Token:
        """The token of *state* at its current *tick*; shared until it expires."""
        token = self._live.get(state)
        if token is None:
            token = self._live[state] = Token(state, tick)
            self.mask |= 1 << state
        return token

    def expire(self, states: int) -> list[Token]:
        """Expire the tokens of these states (a mask). Returns those that had something attached."""
        expired: list[Token] = []
        for state in iter_bits(states & self.mask):
            token = self._live.pop(state)
            token.expired = True
            if token.attached:
                expired.append(token)
        self.mask &= ~states
        return expired

    def expire_all(self) -> list[Token]:
        """Expire every token."""
        return self.expire(self.mask)


NO_SCOPES: Final = Scopes()
"""Of a machine of which nobody has asked for a token. Never changed."""
