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
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, Final, Literal, Protocol, Self, TypeAlias, TypeVar, cast

from asyncmachine.errors import ArgsError, SchemaError, SchemaMismatch, UnknownState, did_you_mean

__all__ = [
    "ABI",
    "EXCEPTION",
    "Args",
    "ClockLike",
    "Decoder",
    "Event",
    "Facade",
    "Group",
    "Masks",
    "Operation",
    "Overflow",
    "Problem",
    "ResultLike",
    "Schema",
    "State",
    "check_facade",
    "decode_any",
    "decode_bool",
    "decode_bytes",
    "decode_dict",
    "decode_float",
    "decode_int",
    "decode_list",
    "decode_optional",
    "decode_str",
    "find_problems",
    "iter_bits",
    "require_abi",
    "schema_digest",
    "snake_case",
]

ABI: Final = 1
EXCEPTION: Final = "Exception"
MAX_STATES: Final = 4096

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
# Args


Decoder: TypeAlias = Callable[[object, str], Any]
"""``(wire value, where) -> value``; raises :class:`ArgsError` naming *where*. Never coerces."""


def _expected(what: str, value: object, where: str) -> ArgsError:
    return ArgsError(f"{where}: expected {what}, got {type(value).__name__}")


def decode_bool(value: object, where: str) -> bool:
    """Accept true or false, nothing else."""
    if value is True or value is False:
        return value
    raise _expected("bool", value, where)


def decode_int(value: object, where: str) -> int:
    """Accept an integer within 64 bits; a bool is not one."""
    if type(value) is int:
        if -(2**63) <= value < 2**64:
            return value
        raise ArgsError(f"{where}: {value.bit_length()} bits do not fit in 64")
    raise _expected("int", value, where)


def decode_float(value: object, where: str) -> float:
    """Accept a finite float or an integer."""
    if type(value) is float or type(value) is int:
        number = float(value)
        if number - number == 0.0:
            return number
        raise ArgsError(f"{where}: {number} is not finite")
    raise _expected("float", value, where)


def decode_str(value: object, where: str) -> str:
    """Accept text."""
    if type(value) is str:
        return value
    raise _expected("str", value, where)


def decode_bytes(value: object, where: str) -> bytes:
    """Accept bytes."""
    if type(value) is bytes:
        return value
    raise _expected("bytes", value, where)


def decode_any(value: object, where: str) -> object:
    """Accept anything: for args declared ``local``, which never cross the wire."""
    return value


def decode_list(item: Decoder) -> Decoder:
    """Accept a list whose every item passes *item*."""

    def decode(value: object, where: str) -> list[Any]:
        if isinstance(value, list | tuple):
            return [item(x, f"{where}[{i}]") for i, x in enumerate(value)]
        raise _expected("list", value, where)

    return decode


def decode_dict(item: Decoder) -> Decoder:
    """Accept a map with text keys whose every value passes *item*."""

    def decode(value: object, where: str) -> dict[str, Any]:
        if type(value) is dict:
            return {decode_str(k, f"{where} key"): item(x, f"{where}[{k!r}]") for k, x in value.items()}
        raise _expected("dict", value, where)

    return decode


def decode_optional(item: Decoder) -> Decoder:
    """Accept null or what *item* accepts."""
    return lambda value, where: None if value is None else item(value, where)


class Args:
    """Base of the typed args of one state. Subclasses are frozen, keyword-only dataclasses.

    ``decoders`` maps each field that may cross the wire to its decoder.
    """

    __slots__ = ()
    decoders: ClassVar[Mapping[str, Decoder]] = {}

    @classmethod
    def decode(cls, values: Mapping[str, object]) -> Self:
        """Build from values that came over the wire.

        Raises:
            ArgsError: unknown or missing key, or a value of another type. Nothing is coerced.
        """
        decoded: dict[str, Any] = {}
        for key, value in values.items():
            decoder = cls.decoders.get(key)
            if decoder is None:
                raise ArgsError(f"{cls.__name__} has no arg {key!r}{did_you_mean(key, cls.decoders)}")
            decoded[key] = decoder(value, key)
        return cls.of(decoded)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Build from the keyword arguments of a local mutation; keys of other states are ignored.

        Raises:
            ArgsError: a required arg is missing.
        """
        own: dict[str, Any] = {}
        for spec in fields(cast(Any, cls)):
            if spec.name in values:
                own[spec.name] = values[spec.name]
            elif spec.default is MISSING and spec.default_factory is MISSING:
                raise ArgsError(f"{cls.__name__} needs arg {spec.name!r}")
        return cls(**own)

    def encode(self) -> dict[str, Any]:
        """The keyword arguments that :meth:`of` takes."""
        return {spec.name: getattr(self, spec.name) for spec in fields(cast(Any, self))}


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


def find_problems(states: Mapping[str, State], groups: Mapping[str, Group]) -> list[Problem]:
    """Everything that is wrong with these states and groups, in index order. Empty when valid."""
    found = [*_bad_names(states)]
    for name, state in states.items():
        for relation, targets in state.relations():
            for other in targets:
                if other not in states and other != EXCEPTION:
                    hint = did_you_mean(other, states)
                    text = f"{relation} names unknown state {other!r}{hint}"
                    found.append(Problem("unknown-state", name, text, relation, other))
        if state.scope is not None and state.scope not in states:
            text = f"scope names unknown state {state.scope!r}{did_you_mean(state.scope, states)}"
            found.append(Problem("unknown-state", name, text, "scope", state.scope))
        for other in state.require:
            if other in state.remove and other != name:
                text = f"requires and removes {other!r}: it could never be active"
                found.append(Problem("require-remove", name, text, "require", other))
        found += _bad_limits(name, state)
    for group, members in groups.items():
        for other in members:
            if other not in states:
                text = f"group names unknown state {other!r}{did_you_mean(other, states)}"
                found.append(Problem("unknown-state", group, text, "group", other))
    for relation in ("require", "after"):
        for cycle in _cycles(states, relation):
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


def _cycles(states: Mapping[str, State], relation: str) -> list[list[str]]:
    """Each cycle once, by iterative depth-first search in index order."""
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


class Schema:
    """An ordered, validated, immutable set of states.

    Args:
        name: CamelCase name of the kind of machine, e.g. ``Worker``.
        states: name -> State, in index order. ``Exception`` is appended if it is missing.
        groups: name -> states of the group.
        roles: names of the roles that ``State.rpc`` may mention.
        masks, digest: given by generated modules, where the compiler has computed them and
            checked the schema; left out by hand-written schemas, which are checked here.

    Raises:
        SchemaError: with every problem found.

    Attributes:
        digest: 32 hex digits, BLAKE2b-128 over names, order, properties, relations and args; two
            peers with one digest agree on every index.
    """

    __slots__ = ("_plans", "digest", "groups", "index", "masks", "name", "names", "roles", "states")

    def __init__(
        self,
        name: str,
        states: Mapping[str, State],
        *,
        groups: Mapping[str, Group] | None = None,
        roles: Sequence[str] = (),
        masks: Masks | None = None,
        digest: str = "",
    ) -> None:
        self.name = name
        self.groups: Mapping[str, Group] = dict(groups or {})
        self.roles = tuple(roles)
        if masks is None or not digest:
            if problems := find_problems(states, self.groups):
                raise SchemaError(name, problems)
            states = {n: _sanitize(n, s) for n, s in states.items()}
            states.setdefault(EXCEPTION, State(multi=True, doc="An error happened."))
            masks, digest = Masks.build(states), schema_digest(states)
        self.states: Mapping[str, State] = dict(states)
        self.names = tuple(states)
        self.index: Mapping[str, int] = {n: i for i, n in enumerate(self.names)}
        self.masks = masks
        self.digest = digest
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
            sorted(s.args.decoders) if s.args else [],
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


# ---------------------------------------------------------------------------------------------
# What generated handlers and facades are typed with


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
    def schema(self) -> Schema: ...
    @property
    def disposed(self) -> bool: ...
    def clock(self) -> ClockLike: ...
    def when_query(self, query: Callable[[Any], bool]) -> Awaitable[ClockLike]: ...
    def when_error(self) -> Awaitable[ClockLike]: ...
    def when_disposed(self) -> Awaitable[None]: ...
    def bind(self, handlers: object) -> Any: ...
    def unbind(self, handlers: object) -> None: ...
