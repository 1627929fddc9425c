"""The ABI of generated modules, and the one definition of a valid schema.

A generated module imports this file and nothing else of the runtime. Everything here is a value:
no I/O, no event loop, no global state.

* :class:`State` is one state with its properties and relations.
* :class:`Schema` is an ordered set of states. A state's position is its *index*: clocks, bit masks
  and wire messages speak in indexes, so the order is part of a schema's identity.
* :class:`Args` is the base of the typed arguments of a state, with a strict decoder.
* :func:`find_problems` says what is wrong with a schema. The compiler calls it and maps each
  problem to a place in the YAML; ``Schema(...)`` calls it for schemas written by hand.

Relations, for a state Foo (from the ancestor, asyncmachine-go):

``require``
    Foo is active only while all of these are.
``add``
    Activating Foo also tries to activate these; failing to does not stop Foo.
``remove``
    While Foo is active these cannot be; activating Foo deactivates them.
``after``
    In one transition, Foo's handlers run after those of these states. Nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, TypeAlias, cast

from asyncmachine._args import (
    Args,
    Decoder,
    Record,
    decode_any,
    decode_bool,
    decode_bytes,
    decode_datetime,
    decode_dict,
    decode_enum,
    decode_float,
    decode_int,
    decode_list,
    decode_optional,
    decode_record,
    decode_str,
    signature,
    to_wire,
    wire_enum,
    wire_record,
)
from asyncmachine._facades import ClockLike, Event, Facade, ResultLike
from asyncmachine._invariants import Invariant, InvariantKind
from asyncmachine.errors import SchemaError, SchemaMismatch, UnknownState, did_you_mean

__all__ = [
    "ABI",
    "EXCEPTION",
    "Args",
    "ClockLike",
    "Decoder",
    "Event",
    "Facade",
    "Group",
    "Invariant",
    "InvariantKind",
    "Masks",
    "Operation",
    "Overflow",
    "Precomputed",
    "Problem",
    "Record",
    "ResultLike",
    "Schema",
    "State",
    "check_facade",
    "decode_any",
    "decode_bool",
    "decode_bytes",
    "decode_datetime",
    "decode_dict",
    "decode_enum",
    "decode_float",
    "decode_int",
    "decode_list",
    "decode_optional",
    "decode_record",
    "decode_str",
    "find_cycles",
    "find_problems",
    "iter_bits",
    "require_abi",
    "schema_digest",
    "signature",
    "snake_case",
    "to_wire",
    "wire_enum",
    "wire_record",
]

ABI: Final = 2
EXCEPTION: Final = "Exception"
MAX_STATES: Final = 4096
MAX_HINTS: Final = 200  # by find_problems; a comparison with thousands of names takes its time

Overflow: TypeAlias = Literal["drop", "queue", "error"]
Operation: TypeAlias = Literal["add", "remove", "read"]
Group: TypeAlias = tuple[str, ...]

_NAME = re.compile(r"[A-Z][A-Za-z0-9]{0,63}\Z")
_SUFFIXES = ("Enter", "Exit", "State", "End", "Any")


def require_abi(version: int) -> None:
    """Refuse a generated module that was made for another runtime.

    Raises:
        ImportError: the module and this runtime do not fit; regenerate it.
    """
    if version != ABI:
        raise ImportError(
            f"this module was generated for ABI {version}, the installed asyncmachine has ABI {ABI}; "
            "run `am-gen compile` with the am-gen of the installed asyncmachine"
        )


def snake_case(name: str) -> str:
    """``LocalRpcReady`` -> ``local_rpc_ready``, ``HTTPServer`` -> ``http_server``."""
    spaced = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", spaced).lower()


# ---------------------------------------------------------------------------------------------
# States


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One state: properties, relations, and who may touch it from afar.

    Attributes:
        auto: the machine itself activates it whenever its relations allow.
        multi: an active one can be called again: two ticks, handlers run again.
        rpc: role -> operations allowed over the wire; deny by default.
        scope: for a Multi state, the state whose end cancels its async handlers.
        limit: most async handlers of this state at a time, None for no limit.
        overflow: what a call over *limit* does.
        timeout: seconds an async handler may take, None for no limit.
    """

    auto: bool = False
    multi: bool = False
    require: tuple[str, ...] = ()
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    doc: str = ""
    args: type[Args] | None = None
    rpc: Mapping[str, tuple[Operation, ...]] = field(default_factory=dict[str, "tuple[Operation, ...]"])
    scope: str | None = None
    limit: int | None = None
    overflow: Overflow = "error"
    timeout: float | None = None

    def relations(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The four relations as ``(name, targets)``, in the order add, require, remove, after."""
        yield "add", self.add
        yield "require", self.require
        yield "remove", self.remove
        yield "after", self.after


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a schema.

    Attributes:
        kind: stable identifier, e.g. ``unknown-state``; the compiler maps it to its code.
        state: the state (or group) at fault.
        relation: the relation at fault, or "".
        other: the other state involved, or "".
    """

    kind: str
    state: str
    message: str
    relation: str = ""
    other: str = ""


def find_problems(
    states: Mapping[str, State], groups: Mapping[str, Group], invariants: Iterable[Invariant] = ()
) -> list[Problem]:
    """Everything that is wrong with these states and groups, in index order. Empty when valid."""
    found = [*_bad_names(states)]
    left = MAX_HINTS

    def hint(unknown: str) -> str:
        nonlocal left
        left -= 1
        return did_you_mean(unknown, states) if left >= 0 else ""

    for name, state in states.items():
        for relation, targets in state.relations():
            for other in targets:
                if other not in states and other != EXCEPTION:
                    text = f"{relation} names unknown state {other!r}{hint(other)}"
                    found.append(Problem("unknown-state", name, text, relation, other))
        if state.scope is not None and state.scope not in states:
            text = f"scope names unknown state {state.scope!r}{hint(state.scope)}"
            found.append(Problem("unknown-state", name, text, "scope", state.scope))
        for other in state.require:
            if other in state.remove and other != name:
                text = f"requires and removes {other!r}: it could never be active"
                found.append(Problem("require-remove", name, text, "require", other))
        found += _bad_limits(name, state)
    for group, members in groups.items():
        for other in members:
            if other not in states:
                text = f"group names unknown state {other!r}{hint(other)}"
                found.append(Problem("unknown-state", group, text, "group", other))
    for invariant in invariants:
        for other in invariant.states:
            if other not in states and other != EXCEPTION:
                text = f"invariant `{invariant}` names unknown state {other!r}{hint(other)}"
                found.append(Problem("unknown-state", "", text, "invariant", other))
    for relation in ("require", "after"):
        for cycle in find_cycles(states, relation):
            text = f"{relation} goes in a circle: {' -> '.join([*cycle, cycle[0]])}"
            other = cycle[1] if len(cycle) > 1 else cycle[0]
            found.append(Problem(f"{relation}-cycle", cycle[0], text, relation, other))
    return found


def _bad_names(states: Mapping[str, State]) -> Iterator[Problem]:
    if len(states) > MAX_STATES:
        yield Problem("too-many-states", "", f"{len(states)} states, at most {MAX_STATES} are allowed")
    snakes: dict[str, str] = {}
    for name in states:
        if not _NAME.match(name):
            yield Problem(
                "bad-name", name, f"{name!r} is not CamelCase ASCII of at most 64 letters and digits"
            )
        elif name.endswith(_SUFFIXES):
            suffix = next(s for s in _SUFFIXES if name.endswith(s))
            yield Problem("bad-name", name, f"{name!r} ends with {suffix!r}, which marks handlers")
        snake = snake_case(name)
        if (twin := snakes.setdefault(snake, name)) != name:
            text = f"{name!r} and {twin!r} would share the handler name {snake}_state"
            yield Problem("handler-clash", name, text, "", twin)


def _bad_limits(name: str, state: State) -> Iterator[Problem]:
    if state.limit is not None and state.limit < 1:
        yield Problem("bad-value", name, f"limit is {state.limit}, it must be at least 1", "limit")
    if state.timeout is not None and not 0 < state.timeout < float("inf"):
        yield Problem(
            "bad-value", name, f"timeout is {state.timeout}, it must be positive seconds", "timeout"
        )
    if state.auto and state.scope == name:
        yield Problem("bad-value", name, "scope names the state itself", "scope", name)


def find_cycles(states: Mapping[str, State], relation: str) -> list[list[str]]:
    """Each cycle of one relation once, by iterative depth-first search in index order."""
    done: set[str] = set()
    cycles: list[list[str]] = []
    for root in states:
        path: list[str] = []
        stack: list[tuple[str, Iterator[str]]] = []

        def enter(name: str, path: list[str] = path, stack: list[tuple[str, Iterator[str]]] = stack) -> None:
            targets = cast("tuple[str, ...]", getattr(states[name], relation))
            path.append(name)
            stack.append(
                (name, iter(t for t in targets if t in states and (t != name or relation == "require")))
            )

        if root not in done:
            enter(root)
        while stack:
            name, targets = stack[-1]
            for target in targets:
                if target in path:
                    cycles.append(path[path.index(target) :])
                elif target not in done:
                    enter(target)
                    break
            else:
                stack.pop()
                path.pop()
                done.add(name)
    return cycles


# ---------------------------------------------------------------------------------------------
# Schemas


@dataclass(frozen=True, slots=True)
class Masks:
    """Tables of the resolver: bit i of a mask stands for the state with index i.

    Attributes:
        require, add, remove: per state, the states it relates to.
        auto, multi: the states with that property.
        rank: per state, its place in the order of Require (-1: takes no part), see
            ``_core.relations``.
    """

    require: tuple[int, ...]
    add: tuple[int, ...]
    remove: tuple[int, ...]
    auto: int
    multi: int
    rank: tuple[int, ...]

    @classmethod
    def build(cls, states: Mapping[str, State]) -> Masks:
        """Compute the tables; *states* must be valid and sanitized, as ``Schema.states`` are."""
        index = {name: i for i, name in enumerate(states)}

        def mask(names: Iterable[str]) -> int:
            return sum(1 << index[n] for n in dict.fromkeys(names))

        every = list(states.values())
        return cls(
            require=tuple(mask(s.require) for s in every),
            add=tuple(mask(s.add) for s in every),
            remove=tuple(mask(s.remove) for s in every),
            auto=mask(n for n, s in states.items() if s.auto),
            multi=mask(n for n, s in states.items() if s.multi),
            rank=_require_ranks(states),
        )


def _require_ranks(states: Mapping[str, State]) -> tuple[int, ...]:
    """Depth-first post-order over Require, roots in index order: dependencies come first."""
    rank: dict[str, int] = {}
    for root, state in states.items():
        if not state.require or root in rank:
            continue
        stack = [(root, iter(state.require))]  # by hand: a chain may be longer than the recursion limit
        while stack:
            name, targets = stack[-1]
            for other in targets:
                if other not in rank:
                    stack.append((other, iter(states[other].require)))
                    break
            else:
                stack.pop()
                rank[name] = len(rank)
    return tuple(rank.get(name, -1) for name in states)


def _sanitize(name: str, state: State) -> State:
    """Drop what says nothing: self in remove, add or after; add wins over remove; duplicates."""
    add = tuple(a for a in dict.fromkeys(state.add) if a != name)
    remove = tuple(r for r in dict.fromkeys(state.remove) if r != name and r not in add)
    after = tuple(a for a in dict.fromkeys(state.after) if a != name)
    require = tuple(dict.fromkeys(state.require))
    if (add, remove, after, require) == (state.add, state.remove, state.after, state.require):
        return state
    values = {f.name: getattr(state, f.name) for f in fields(State)}
    return State(**{**values, "add": add, "remove": remove, "after": after, "require": require})


@dataclass(frozen=True, slots=True)
class Precomputed:
    """What the compiler has computed of a schema that it has checked: tables and :attr:`Schema.digest`."""

    masks: Masks
    digest: str


class Schema:
    """An ordered, validated, immutable set of states.

    Args:
        name: CamelCase name of the kind of machine, e.g. ``Worker``.
        states: name -> State, in index order. ``Exception`` is appended if it is missing.
        groups: name -> states of the group.
        roles: names of the roles that ``State.rpc`` may mention.
        invariants: what must be true of the active states whenever a machine is at rest.
        made: given by generated modules, whose schema the compiler has checked; left out by
            hand-written schemas, which are checked here.

    Raises:
        SchemaError: with every problem found.

    Attributes:
        digest: 32 hex digits, BLAKE2b-128 over names, order, properties, relations and types of args; two
            peers with one digest agree on every index. Invariants do not count, they are local.
        invariants: those that were given, with their bit masks.
    """

    __slots__ = (
        *("_plans", "digest", "groups", "index", "invariants"),
        *("masks", "name", "names", "roles", "states"),
    )

    def __init__(
        self,
        name: str,
        states: Mapping[str, State],
        *,
        groups: Mapping[str, Group] | None = None,
        roles: Sequence[str] = (),
        invariants: Iterable[Invariant] = (),
        made: Precomputed | None = None,
    ) -> None:
        self.name = name
        self.groups: Mapping[str, Group] = dict(groups or {})
        self.roles = tuple(roles)
        invariants = tuple(invariants)
        if made is None:
            if problems := find_problems(states, self.groups, invariants):
                raise SchemaError(name, problems)
            states = {n: _sanitize(n, s) for n, s in states.items()}
            states.setdefault(EXCEPTION, State(multi=True, doc="An error happened."))
            made = Precomputed(Masks.build(states), schema_digest(states))
        self.states: Mapping[str, State] = dict(states)
        self.names = tuple(states)
        self.index: Mapping[str, int] = {n: i for i, n in enumerate(self.names)}
        self.masks = made.masks
        self.digest = made.digest
        self.invariants = tuple(i.bound(self.mask) for i in invariants)
        self._plans: object = None  # the plan cache, shared by all machines of this schema

    def __repr__(self) -> str:
        return f"<Schema {self.name} of {len(self.names)} states, {self.digest[:8]}>"

    def __len__(self) -> int:
        return len(self.names)

    def position(self, name: str) -> int:
        """Index of a state.

        Raises:
            UnknownState: with the closest known name.
        """
        try:
            return self.index[name]
        except (KeyError, TypeError):
            raise UnknownState(name, self.name, self.names) from None

    def mask(self, names: Iterable[str]) -> int:
        """Bit mask of these states. Raises :class:`UnknownState`."""
        result = 0
        for name in names:
            result |= 1 << self.position(name)
        return result

    def names_of(self, mask: int) -> tuple[str, ...]:
        """Names of the states in *mask*, in index order."""
        return tuple(self.names[i] for i in iter_bits(mask))

    def allowed(self, role: str, operation: Operation) -> int:
        """Mask of the states on which *role* may perform *operation*."""
        return self.mask(n for n, s in self.states.items() if operation in s.rpc.get(role, ()))


def iter_bits(mask: int) -> Iterator[int]:
    """Positions of the set bits, lowest first."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def schema_digest(states: Mapping[str, State]) -> str:
    """See :attr:`Schema.digest`. Docs, tags of roles and scopes do not matter to a peer."""
    rows = [
        [
            name,
            int(s.auto) | int(s.multi) << 1,
            [list(targets) for _, targets in s.relations()],
            list(s.tags),
            s.args.signature() if s.args else "",
        ]
        for name, s in states.items()
    ]
    text = json.dumps(rows, separators=(",", ":"), ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def check_facade(machine: Any, schema: Schema) -> Any:
    """Return *machine* if it runs *schema*: the runtime half of every generated typed facade.

    Raises:
        SchemaMismatch: the machine runs another schema.
    """
    if machine.schema.digest != schema.digest:
        raise SchemaMismatch(schema.name, schema.digest, machine.schema.digest)
    return machine
