"""Record what a machine does, and say what is wrong with it in a way that can be read.

::

    recorder = Recorder(machine)
    machine.add("Open", key=42)
    recorder.assert_order("closed_exit", "open_enter", "open_state")
    recorder.assert_states("Open")
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Self

from asyncmachine.api import MachineApi, Tracer
from asyncmachine.schema import EXCEPTION, snake_case

__all__ = ["Recorded", "Recorder"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """One transition. Of a mirror it may be several that arrived together, as one ``set``.

    Attributes:
        kind: ``add``, ``remove`` or ``set``; of ``called``.
        args: of the mutation.
        auto: made by the machine itself.
        source: id of the machine whose transition caused it, or "".
        accepted: whether it took place; else ``stopped_by`` names the handler that stopped it, if one did.
        error: what a handler raised.
        started, ended: states that became active, or were called again; and inactive.
        active: all that were active afterwards, in index order.
        calls: handlers, in order, with those of accepted transitions that no handler was bound to or that
            are async; the ones that only exist when bound are ``foo_to_bar`` and ``any_...``.
    """

    kind: str
    called: tuple[str, ...]
    args: Mapping[str, Any] = field(default_factory=dict)
    auto: bool = False
    source: str = ""
    accepted: bool = True
    stopped_by: str = ""
    error: Exception | None = None
    started: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    active: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Such as ``add Open -> (Open)`` or ``add Open, canceled by open_enter -> (Closed)``."""
        auto = " (auto)" if self.auto else ""
        verdict = ""
        if not self.accepted:
            by = f" by {self.stopped_by}" if self.stopped_by else " by relations"
            verdict = f", canceled{by}{f': {self.error!r}' if self.error else ''}"
        return f"{self.kind} {' '.join(self.called)}{auto}{verdict} -> ({' '.join(self.active)})"


class Recorder(Tracer):
    """Records the transitions of one machine or mirror, from now on; dry runs are left out.

    Can be used as a context manager, which detaches it.

    Attributes:
        transitions: oldest first.
        reports: kind and details of what the machine reported, such as a slow handler.
    """

    def __init__(self, machine: MachineApi) -> None:
        self.machine = machine
        self.transitions: list[Recorded] = []
        self.reports: list[tuple[str, Mapping[str, Any]]] = []
        self._running: list[list[str]] = []  # names of the called handlers; a dry run may run inside
        machine.trace(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.detach()

    def detach(self) -> None:
        """Record nothing any more. Idempotent."""
        self.machine.untrace(self)

    def clear(self) -> None:
        """Forget what was recorded."""
        self.transitions.clear()
        self.reports.clear()

    @property
    def calls(self) -> tuple[str, ...]:
        """The calls of all transitions, in order. See :class:`Recorded`."""
        return tuple(name for step in self.transitions for name in step.calls)

    @property
    def history(self) -> tuple[tuple[str, ...], ...]:
        """The active states after each transition that changed some."""
        return tuple(step.active for step in self.transitions if step.started or step.ended)

    def __str__(self) -> str:
        """The transitions, one in a line."""
        return "\n".join(map(str, self.transitions)) or "no transition"

    # -- the tracer ----------------------------------------------------------------------------

    def transition_start(self, machine: Any, transition: Any) -> None:
        """See the base."""
        self._running.append([])

    def handler_start(self, machine: Any, transition: Any, name: str) -> None:
        """See the base."""
        if self._running:
            self._running[-1].append(name)

    def transition_end(self, machine: Any, transition: Any) -> None:
        """See the base."""
        called = self._running.pop() if self._running else []
        mutation = getattr(transition, "mutation", None)  # of a mirror: none
        if mutation is None:
            self._keep(transition, called)
        elif not mutation.check:
            source = mutation.source.machine if mutation.source is not None else ""
            self._keep(
                transition,
                called,
                args=dict(mutation.args),
                auto=mutation.auto,
                source=source,
                stopped_by=transition.stopped_by,
                error=transition.error,
            )

    def report(self, machine: Any, kind: str, details: Mapping[str, Any]) -> None:
        """See the base."""
        self.reports.append((kind, details))

    def _keep(self, transition: Any, called: Sequence[str], **fields: Any) -> None:
        before, after = transition.time_before, transition.time_after
        if not before:  # attached while it ran
            before = after
        moved = [
            n for n, old, new in zip(self.machine.schema.names, before, after, strict=True) if old != new
        ]
        active = tuple(n for n, tick in zip(self.machine.schema.names, after, strict=True) if tick & 1)
        started = [n for n in transition.enters if n in moved and n in active]
        ended = [n for n in transition.exits if n in moved]
        ended += [n for n in moved if n not in started and n not in ended and n not in active]
        rolled_back = not transition.accepted
        self.transitions.append(
            Recorded(
                kind=transition.kind,
                called=transition.called,
                accepted=transition.accepted,
                started=tuple(started),
                ended=tuple(ended),
                active=active,
                calls=tuple(called) if rolled_back else _calls(transition, called),
                **fields,
            )
        )

    # -- assertions ----------------------------------------------------------------------------

    def assert_states(self, *states: str) -> None:
        """Exactly these states are active now.

        Raises:
            AssertionError: says which ones are missing or too many, and what had happened.
            UnknownState: the machine has no such state.
        """
        __tracebackhide__ = True
        for name in states:
            self.machine.schema.position(name)
        active = self.machine.active_states()
        missing = [name for name in states if name not in active]
        extra = [name for name in active if name not in states]
        if missing or extra:
            lines = [f"- {name}  is not active" for name in missing]
            lines += [f"+ {name}  is active" for name in extra]
            self._fail(f"the active states of {self.machine.id} are not those expected", lines)

    def assert_history(self, *steps: str | Iterable[str]) -> None:
        """These were the active states after each transition that changed some.

        Args:
            steps: names in a list, or in one string with blanks between them; in any order.

        Raises:
            AssertionError: shows the difference, ``-`` what was expected, ``+`` what was.
        """
        __tracebackhide__ = True
        order = self.machine.schema.position
        wanted = [sorted(s.split() if isinstance(s, str) else s, key=order) for s in steps]
        self._compare("the history", [" ".join(s) for s in wanted], [" ".join(s) for s in self.history])

    def assert_order(self, *names: str) -> None:
        """Handlers of these names were called, or would have been, in this order; others may be in between.

        Raises:
            AssertionError: shows all calls, and what was expected where.
        """
        __tracebackhide__ = True
        calls = self.calls
        lines: list[str] = []
        place = 0
        for name in names:
            try:
                found = calls.index(name, place)
            except ValueError:
                why = "was not called" if name not in calls else "was called only before"
                lines += [f"- {name}  {why}", *(f"  {other}" for other in calls[place:])]
                self._fail(f"{' > '.join(names)} is not the order of the calls", lines)
            lines += [f"  {other}" for other in calls[place : found + 1]]
            place = found + 1

    def assert_calls(self, *names: str) -> None:
        """These calls, and no others, were made in this order.

        Raises:
            AssertionError: shows the difference.
        """
        __tracebackhide__ = True
        self._compare("the calls", list(names), list(self.calls))

    def assert_no_errors(self) -> None:
        """No handler has failed, and Exception was never activated.

        Raises:
            AssertionError: shows the transitions.
        """
        __tracebackhide__ = True
        bad = [s for s in self.transitions if s.error is not None or EXCEPTION in s.started]
        if bad:
            errors = [s.error or s.args.get("error") for s in bad]
            self._fail(f"{self.machine.id} had errors", [f"+ {error!r}" for error in errors])

    def _compare(self, what: str, wanted: list[str], got: list[str]) -> None:
        __tracebackhide__ = True
        if wanted != got:
            lines = [line for line in difflib.ndiff(wanted, got) if not line.startswith("?")]
            self._fail(f"{what} of {self.machine.id} is not what was expected", lines)

    def _fail(self, text: str, lines: Iterable[str]) -> NoReturn:
        __tracebackhide__ = True
        told = "\n".join(f"  {line}".rstrip() for line in lines)
        raise AssertionError(
            f"{text}:\n{told}\nafter:\n" + "\n".join(f"  {s}" for s in str(self).splitlines())
        )


def _calls(transition: Any, called: Sequence[str]) -> tuple[str, ...]:
    """All handlers that an accepted transition has, in the order of the engine, whether bound or not."""
    if not hasattr(transition, "plan"):  # of a mirror
        return ()
    exits = [snake_case(name) for name in transition.exits]
    enters = [snake_case(name) for name in transition.enters]
    asked = [f"{name}_exit" for name in exits] + [f"{name}_enter" for name in enters]
    told = [f"{name}_end" for name in exits] + [f"{name}_state" for name in enters]
    others = [name for name in called if name not in asked and name not in told]
    return (*asked, *(n for n in others if n != "any_state"), *told, *(n for n in others if n == "any_state"))
