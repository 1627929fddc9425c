"""The exceptions of asyncmachine. Every one of them derives from :class:`AsyncMachineError`.

::

    AsyncMachineError
    ├── SchemaError            a schema contradicts itself; lists every problem found
    │   └── SchemaMismatch     two sides hold different schemas
    ├── UnknownState           a state name that the schema does not have
    ├── BindError              a handlers object that does not fit its schema
    ├── ArgsError              args of a mutation that do not fit their declaration
    ├── MachineDisposed        the machine was disposed of while, or before, it was asked
    ├── InvariantBroken        a machine came to rest where an invariant of its schema does not hold
    ├── SnapshotError          a snapshot that is malformed, or does not fit the machine
    ├── WrongThread            from_thread was used in the machine's own thread, or without its loop
    ├── GaveUp                 a request was repeated in vain
    ├── RpcError
    │   ├── ProtocolError      the peer broke the protocol; the connection is closed
    │   ├── NotConnected       there is no session; nothing was sent
    │   ├── Refused            the peer closed the door: wrong ticket, version, kind or schema
    │   ├── Denied             the role may not do this; nothing was executed
    │   ├── RemoteError        the peer answered with an error; nothing was executed
    │   ├── OutcomeUnknown     sent, never answered: it may or may not have run
    │   └── DeliveryError      a payload that was not accepted by its consumer
    └── NodeError
        ├── LaunchError        a worker process could not be started at all
        ├── PoolBroken         workers die before they are ready; forking has stopped
        ├── NoWorker           the supervisor granted no worker: busy, denied or timed out
        ├── StaleDecision      a command about a worker that has moved since it was decided
        └── WorkFailed
            ├── WorkError      the function raised; carries the remote traceback as text
            ├── WorkTimeout    the work took longer than its deadline
            └── WorkerLost     the worker died with the work in its hands

A message names the value that was wrong and the way out. Errors that cross a process arrive as
text and fields, never as pickled objects.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asyncmachine.schema import Invariant, Problem

__all__ = [
    "ArgsError",
    "AsyncMachineError",
    "BindError",
    "DeliveryError",
    "Denied",
    "GaveUp",
    "InvariantBroken",
    "LaunchError",
    "MachineDisposed",
    "NoWorker",
    "NodeError",
    "NotConnected",
    "OutcomeUnknown",
    "PoolBroken",
    "ProtocolError",
    "Refused",
    "RemoteError",
    "RpcError",
    "SchemaError",
    "SchemaMismatch",
    "SnapshotError",
    "StaleDecision",
    "UnknownState",
    "WorkError",
    "WorkFailed",
    "WorkTimeout",
    "WorkerLost",
    "WrongThread",
    "did_you_mean",
]


MAX_COMPARED: Final = 200


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'Start'?"`` when a known name is close to *name*, else an empty string.

    Comparing is slow, so of very many names only some that look alike at first sight are compared.
    """
    names = list(known)
    if len(names) > MAX_COMPARED:
        first, size = name[:1].lower(), len(name)
        names = [k for k in names if k[:1].lower() == first and abs(len(k) - size) <= 2][:MAX_COMPARED]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


class AsyncMachineError(Exception):
    """Root of all errors raised by this library."""


class SchemaError(AsyncMachineError):
    """A schema contradicts itself. ``problems`` holds all that was found, not just the first."""

    def __init__(self, schema: str, problems: Sequence[Problem]) -> None:
        self.schema = schema
        self.problems = tuple(problems)
        lines = "".join(f"\n  {p.state}: {p.message}" for p in self.problems)
        super().__init__(f"schema {schema} is not valid:{lines}")


class SchemaMismatch(AsyncMachineError):
    """The other side's schema is not the one that was compiled into this side."""

    def __init__(self, what: str, expected: str, got: str) -> None:
        self.what, self.expected, self.got = what, expected, got
        super().__init__(
            f"{what}: expected schema {expected}, got {got}; regenerate both sides from one schema"
        )


class UnknownState(AsyncMachineError):
    """A state name that the schema does not have. Not a transient condition: fix the name."""

    def __init__(self, name: object, schema: str, known: Iterable[str]) -> None:
        self.name, self.schema = name, schema
        hint = did_you_mean(name, known) if isinstance(name, str) else "; state names are strings"
        super().__init__(f"{schema} has no state {name!r}{hint}")


class BindError(AsyncMachineError):
    """A handlers object that does not fit its schema: a typo, an ambiguous or async negotiation."""


class ArgsError(AsyncMachineError):
    """Args that do not fit their declaration: unknown, missing or of another type."""


class MachineDisposed(AsyncMachineError):
    """The machine is gone, or went while a wait was pending."""

    def __init__(self, machine_id: str) -> None:
        self.machine_id = machine_id
        super().__init__(f"machine {machine_id} is disposed")


class InvariantBroken(AsyncMachineError):
    """A machine came to rest where an invariant of its schema does not hold.

    Attributes:
        invariant: which. ``active``: the active states; ``after``: the last accepted transition.
    """

    def __init__(self, invariant: Invariant, active: Iterable[str], after: str) -> None:
        self.invariant, self.active, self.after = invariant, tuple(active), after
        why = f" ({invariant.doc})" if invariant.doc else ""
        now = ", ".join(self.active) or "nothing"
        super().__init__(f"invariant `{invariant}`{why} is broken after {after}: active are {now}")


class SnapshotError(AsyncMachineError):
    """A snapshot that is malformed, or a machine that cannot be restored from it."""


class WrongThread(AsyncMachineError):
    """``machine.from_thread`` in the thread of the machine itself, or on one that is not running."""


class GaveUp(AsyncMachineError):
    """A mutation was asked for again and again, and was not executed.

    Attributes:
        what: the call. ``reason``: why it is not repeated once more.
        tries: how often it was made, in ``elapsed`` seconds.
        last: the last answer: a canceled ``Result``, or an error; None when there was none.
    """

    def __init__(self, what: str, reason: str, tries: int, elapsed: float, last: object) -> None:
        self.what, self.reason, self.tries, self.elapsed, self.last = what, reason, tries, elapsed, last
        kind = f"{type(last).__name__}: " if isinstance(last, Exception) else ""
        often = "once" if tries == 1 else f"{tries} times"
        answer = "no answer" if last is None else f"last answer {kind}{last}"
        super().__init__(f"{what} was tried {often} in {elapsed:.3g} s, {answer}; gave up: {reason}")


class RpcError(AsyncMachineError):
    """Root of what can go wrong between two machines."""


class ProtocolError(RpcError):
    """The peer sent what the protocol forbids. ``code`` is the wire code, see ``rpc.protocol``."""

    def __init__(self, code: int, text: str) -> None:
        self.code, self.text = code, text
        super().__init__(text)


class NotConnected(RpcError):
    """No session with the peer; nothing was sent and nothing ran."""


class Refused(RpcError):
    """The peer refused the session. Retrying with the same credentials will not help."""


class Denied(RpcError):
    """The role of this session may not do that; nothing was executed."""


class RemoteError(RpcError):
    """The peer answered a request with an error; nothing was executed."""

    def __init__(self, code: int, text: str) -> None:
        self.code, self.text = code, text
        super().__init__(text)


class OutcomeUnknown(RpcError):
    """A request left this process and no answer came. It may or may not have been executed."""


class DeliveryError(RpcError):
    """A payload was not accepted: no consumer, rejected, too big, or not acknowledged in time."""


class NodeError(AsyncMachineError):
    """Root of what can go wrong in a pool."""


class LaunchError(NodeError):
    """A worker process could not be started at all: no such command, not executable, no memory."""


class PoolBroken(NodeError):
    """Workers die before they are ready, so forking has stopped. ``stderr`` is the last output."""

    def __init__(self, reason: str, stderr: str = "") -> None:
        self.reason, self.stderr = reason, stderr
        super().__init__(f"{reason}\n{stderr}" if stderr else reason)


class NoWorker(NodeError):
    """The supervisor granted no worker. ``retry_after`` seconds is its own estimate, or None."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        self.reason, self.retry_after = reason, retry_after
        super().__init__(reason)


class StaleDecision(NodeError):
    """A command about a worker that has moved on since it was decided; nothing was done.

    Attributes:
        worker: its id. ``expected``, ``clock``: sums of its ticks, when it was decided and now.
    """

    def __init__(self, worker: str, expected: int, clock: int) -> None:
        self.worker, self.expected, self.clock = worker, expected, clock
        super().__init__(
            f"worker {worker} has moved from clock {expected} to {clock} since this was decided; look again"
        )


class WorkFailed(NodeError):
    """Root of the ways in which a piece of work ends without a result."""


class WorkError(WorkFailed):
    """The work raised. ``traceback`` is the remote traceback, as text."""

    def __init__(self, kind: str, message: str, traceback: str = "") -> None:
        self.kind, self.message, self.traceback = kind, message, traceback
        super().__init__(f"{kind}: {message}")


class WorkTimeout(WorkFailed):
    """The work took longer than its deadline and was cancelled."""


class WorkerLost(WorkFailed):
    """The worker died, or could not be reached any more, while it held the work.

    Attributes:
        report: how it ended, an :class:`asyncmachine.node.exits.ExitReport`; None if no supervisor could say.
    """

    def __init__(self, message: str, report: Any = None) -> None:
        self.report = report
        super().__init__(message)
