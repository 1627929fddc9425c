"""The mirror: a machine that runs elsewhere, read here.

Checks and waits are answered from the last clock that was pushed; mutations travel, and have an effect
here before they are answered.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

from asyncmachine._core.scopes import Scopes, Token
from asyncmachine._core.trace import Tracers
from asyncmachine._core.waits import Wait, Waits
from asyncmachine.api import Result, States, Tracer
from asyncmachine.errors import ArgsError, MachineDisposed, RpcError
from asyncmachine.rpc.protocol.connection import Connection
from asyncmachine.rpc.protocol.messages import Op, Welcome
from asyncmachine.rpc.replies import Reply
from asyncmachine.schema import EXCEPTION, Schema
from asyncmachine.views import Pending, View, unknown

__all__ = ["Call", "Change", "MirrorHub", "NetMachine"]

log = logging.getLogger("asyncmachine.rpc")

Call = Callable[[int, Sequence[int], dict[str, Any], bool], Reply[Result]]
"""``(op, state indexes, args, noreply)``: sends a mutation."""


def _report(kind: str, details: Mapping[str, Any]) -> None:
    error = details.get("error")
    text = " ".join(f"{key}={value!r}" for key, value in details.items() if key != "error")
    log.error("%s %s", kind, text, exc_info=error if isinstance(error, BaseException) else None)


class MirrorHub:
    """The clock of a mirror, with the waits and scopes that look at it."""

    def __init__(self, schema: Schema, machine_id: str) -> None:
        self.schema = schema
        self.machine_id = machine_id
        self.ticks: list[int] = [0] * len(schema)
        self.disposed = False
        self._waits = Waits(schema)
        self._scopes = Scopes()

    def add_wait(self, wait: Wait) -> None:
        """Subscribe. On a disposed mirror the wait fails at once."""
        if self.disposed:
            wait.error, wait.done = MachineDisposed(self.machine_id), True
        else:
            self._waits.add(wait, self.ticks)

    def discard_wait(self, wait: Wait) -> None:
        """Unsubscribe."""
        self._waits.discard(wait)

    def token(self, state: int) -> Token:
        """The token of *state* at its current tick. On a disposed mirror an expired one."""
        if self.disposed:
            token = Token(state, self.ticks[state])
            token.expired = True
            return token
        return self._scopes.token(state, self.ticks[state])

    def install(self, changes: Sequence[tuple[int, int, int]]) -> None:
        """Move the clock by ``(index, old, new)`` entries: several transitions of the source in one.

        A state that became active and inactive again in between has moved by two: waits for that one
        state fire; its scopes end.
        """
        ticks, multi = self.ticks, self.schema.masks.multi
        touched = on = off = ended = 0
        for index, old, new in changes:
            ticks[index] = new
            bit = 1 << index
            touched |= bit
            if new - old > 1:  # on (and off) in between; an active Multi state may just have been called
                on |= bit
                if not (old & new & 1 and multi & bit):
                    off |= bit
            if not multi & bit or not new & 1:
                ended |= bit
        expired = self._scopes.expire(ended)
        fired = self._waits.changed(touched, ticks, pulsed_on=on, pulsed_off=off)
        for token in expired:
            token.cancel_attached()
        for wait in fired:
            wait.wake()

    def expire_all(self) -> None:
        """End all scopes: the clock starts over."""
        for token in self._scopes.expire_all():
            token.cancel_attached()

    def dispose(self) -> None:
        """Fail all waits, end all scopes. Idempotent."""
        if self.disposed:
            return
        self.disposed = True
        self.expire_all()
        for wait in self._waits.fail_all(MachineDisposed(self.machine_id)):
            wait.wake()


class Change:
    """What a tracer of a mirror receives in place of a transition: any number of them, merged.

    Attributes:
        accepted: True. ``called``, ``enters``: states that became active; ``exits``: inactive.
        time_before, time_after: ticks in index order.
    """

    __slots__ = ("machine_id", "schema", "time_after", "time_before")

    accepted = True
    kind = "set"

    def __init__(self, machine_id: str, schema: Schema, before: tuple[int, ...]) -> None:
        self.machine_id = machine_id
        self.schema = schema
        self.time_before = self.time_after = before

    def _flipped(self, to: int) -> tuple[str, ...]:
        pairs = zip(self.schema.names, self.time_before, self.time_after, strict=True)
        return tuple(name for name, old, new in pairs if new & 1 == to != old & 1)

    @property
    def enters(self) -> tuple[str, ...]:
        """See the class."""
        return self._flipped(1)

    @property
    def exits(self) -> tuple[str, ...]:
        """See the class."""
        return self._flipped(0)

    called = enters


class NetMachine(View):
    """A mirror of a remote machine. Implements ``MachineApi``; made by a client.

    It lives as long as its client, over any number of connections. While there is none, it keeps its
    last clock and says so by ``stale``; waits stay pending. When the source was restarted, its clock
    may go back: all scopes end then.

    States that the role of the session may not read never move here.

    Attributes:
        connected: a session is open.
        sessions: how many there were, with this one.
        stale: there was a session, and there is none now. ``stale_since``: when it ended, on the clock of the
            event loop, or None.
        epoch: random name of the source's life, ``ver``: version of its clock; 0 before the first.
        source_id: id of the remote machine; "" before the first session.
        role: of the session.
    """

    def __init__(self, schema: Schema, machine_id: str, call: Call) -> None:
        hub = MirrorHub(schema, machine_id)
        super().__init__(hub)
        self.connected = False
        self.sessions = 0
        self.stale = False
        self.stale_since: float | None = None
        self.epoch = 0
        self.ver = 0
        self.source_id = ""
        self.role = ""
        self._mirror: Final = hub
        self._call = call
        self._conn: Connection | None = None
        self._tracers = Tracers(self, _report)

    @property
    def rtt(self) -> float | None:
        """Seconds a heartbeat took to be answered, the last time; None before the first."""
        return self._conn.rtt if self._conn is not None else None

    @property
    def heard(self) -> float | None:
        """When something came from the source the last time, on the loop's clock; None before the first."""
        return self._conn._last_received if self._conn is not None else None

    # -- mutations -----------------------------------------------------------------------------

    def _send(
        self, op: int, states: tuple[States, ...], args: dict[str, Any], noreply: bool = False
    ) -> Reply[Result]:
        index = self._index
        called: list[int] = []
        for item in states:
            names: Sequence[str] = (item,) if isinstance(item, str) else item
            if not isinstance(names, list | tuple):
                raise unknown(self.schema, item)
            for name in names:
                try:
                    called.append(index[name])
                except (KeyError, TypeError):
                    raise unknown(self.schema, name) from None
        return self._call(op, called, args, noreply)

    def add(self, *states: States, **args: Any) -> Reply[Result]:
        """Activate *states* at the source. Sent with the call, answered when awaited.

        Raises (at once):
            UnknownState, ArgsError: it cannot be said; nothing was sent.
            NotConnected: there is no session.

        Raises (from the ``await``):
            Denied, RemoteError: nothing was executed.
            OutcomeUnknown: no answer in time, or the session was lost.
        """
        return self._send(Op.ADD.value, states, args)

    def remove(self, *states: States, **args: Any) -> Reply[Result]:
        """Deactivate *states* at the source. See :meth:`add`."""
        return self._send(Op.REMOVE.value, states, args)

    def set(self, *states: States, **args: Any) -> Reply[Result]:
        """Make *states* the only active ones at the source. See :meth:`add`."""
        return self._send(Op.SET.value, states, args)

    def toggle(self, *states: States, **args: Any) -> Reply[Result]:
        """Remove *states* if all are active at the source, else add them. See :meth:`add`."""
        return self._send(Op.TOGGLE.value, states, args)

    def can_add(self, *states: States, **args: Any) -> Reply[Result]:
        """What :meth:`add` would be answered, without doing it."""
        return self._send(Op.CAN_ADD.value, states, args)

    def can_remove(self, *states: States, **args: Any) -> Reply[Result]:
        """What :meth:`remove` would be answered, without doing it."""
        return self._send(Op.CAN_REMOVE.value, states, args)

    def add_error(self, error: BaseException, state: str = EXCEPTION, **args: Any) -> Reply[Result]:
        """Activate *state* and Exception at the source. The error itself stays here: it has no wire form.

        A source takes this only from a role that may add these states.
        """
        if not isinstance(error, Exception):
            raise ArgsError(f"{error!r} is not an Exception: cancellations are not reported")
        states = (state,) if state == EXCEPTION else (state, EXCEPTION)
        return self._send(Op.ADD.value, states, args)

    def add_nowait(self, *states: States, **args: Any) -> None:
        """As :meth:`add`, without an answer. A refusal is logged; a lost session loses it silently."""
        self._send(Op.ADD.value, states, args, True)

    def remove_nowait(self, *states: States, **args: Any) -> None:
        """As :meth:`remove`, without an answer."""
        self._send(Op.REMOVE.value, states, args, True)

    # -- what a mirror cannot do -----------------------------------------------------------------

    def when_args(self, state: str, **args: Any) -> Pending:
        """Not on a mirror: args of mutations are not pushed. Raises :class:`RpcError`."""
        raise RpcError(
            f"{self.id}: when_args({state!r}) is not possible on a mirror, args stay at the source; "
            "wait for the state with when(), or let the source send a payload"
        )

    def bind(self, handlers: object) -> NoReturn:
        """Not on a mirror. Raises :class:`RpcError`."""
        raise RpcError(f"{self.id} is a mirror: bind {type(handlers).__name__} at the source, or use when()")

    def unbind(self, handlers: object) -> NoReturn:
        """Not on a mirror. Raises :class:`RpcError`."""
        raise RpcError(f"{self.id} is a mirror: it has no handlers")

    # -- tracers -------------------------------------------------------------------------------

    def trace(self, tracer: Tracer) -> None:
        """Attach a tracer: it sees each change of the clock as one transition, see :class:`Change`."""
        self._tracers.attach(tracer)

    def untrace(self, tracer: Tracer) -> None:
        """Detach a tracer; harmless when it is not attached."""
        self._tracers.detach(tracer)

    # -- for the client ------------------------------------------------------------------------

    def move(self, changes: Sequence[tuple[int, int, int]], ver: int) -> None:
        """An update arrived."""
        self.ver = ver
        if self._tracers.items:
            self._traced(changes)
        else:
            self._mirror.install(changes)

    def _traced(self, changes: Sequence[tuple[int, int, int]]) -> None:
        change = Change(self.id, self.schema, tuple(self._ticks))
        self._tracers.emit("transition_start", change)
        self._mirror.install(changes)
        change.time_after = tuple(self._ticks)
        self._tracers.emit("transition_end", change)
        self._tracers.emit("queue_end")

    def install(self, ticks: Sequence[int], welcome: Welcome, conn: Connection) -> None:
        """A snapshot arrived."""
        if self.epoch and welcome.epoch != self.epoch:
            self._mirror.expire_all()
        self._conn = conn
        self.epoch, self.source_id, self.role = welcome.epoch, welcome.source, welcome.role
        before = self._ticks
        changes = [
            (i, old, new) for i, (old, new) in enumerate(zip(before, ticks, strict=True)) if old != new
        ]
        self.move(changes, conn.mirror.ver)

    def opened(self) -> None:
        """A session is open: mutations can be sent, and tracers may do so at once."""
        self.connected, self.stale, self.stale_since = True, False, None
        self.sessions += 1
        self._tracers.emit("queue_end")

    def close(self) -> None:
        """The client has stopped: the mirror is disposed of."""
        if not self.disposed:
            self._mirror.dispose()
            self._tracers.emit("machine_dispose")
            self._wake_disposed()
