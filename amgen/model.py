"""The intermediate representation: what a file says, and the flat model it comes to.

``*Doc`` is one file as written, with places. ``*Model`` is a machine with all it inherits, groups
expanded and states in index order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from amgen.arg_types import TypeExpr
from amgen.errors import Span
from asyncmachine.schema import Invariant, InvariantKind, Operation, Overflow

__all__ = [
    "RELATIONS",
    "ArgDoc",
    "GroupDoc",
    "GroupModel",
    "InvariantDoc",
    "Name",
    "Relation",
    "RelationModel",
    "RoleDoc",
    "RpcDoc",
    "SchemaDoc",
    "SchemaModel",
    "StateDoc",
    "StateModel",
    "TypeDoc",
]

Relation = Literal["require", "add", "remove", "after"]
RELATIONS: Final[tuple[Relation, ...]] = ("require", "add", "remove", "after")
Default = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Name:
    """A checked name, or a reference such as ``$Group``, and where it stands."""

    text: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class ArgDoc:
    """One arg of a state, or one field of a record.

    Attributes:
        type: None for an arg that never crosses the wire, see *local*.
        default: a plain value; the value of an enum as text.
        places: of ``type`` and ``default``.
    """

    name: Name
    type: TypeExpr | None
    doc: str = ""
    has_default: bool = False
    default: Default = None
    local: str = ""
    places: Mapping[str, Span] = field(default_factory=dict, compare=False)

    @property
    def annotation(self) -> str:
        """Its type, as Python wants it."""
        return str(self.type) if self.type else "Any"


@dataclass(frozen=True, slots=True)
class TypeDoc:
    """One entry under ``types``: an enum has *values* with their docs and places, a record has *fields*."""

    name: Name
    kind: Literal["enum", "record"]
    doc: str = ""
    values: tuple[tuple[str, str], ...] = ()
    fields: tuple[ArgDoc, ...] = ()
    places: Mapping[str, Span] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class RpcDoc:
    """What one role may do with one state."""

    role: Name
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class StateDoc:
    """One entry under ``states``. None means "not said"; ``places`` are those of limit and timeout."""

    name: Name
    doc: str | None = None
    auto: bool | None = None
    multi: bool | None = None
    relations: Mapping[Relation, tuple[Name, ...]] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    args: tuple[ArgDoc, ...] = ()
    rpc: tuple[RpcDoc, ...] = ()
    scope: Name | None = None
    limit: int | None = None
    overflow: Overflow | None = None
    timeout: float | None = None
    places: Mapping[str, Span] = field(default_factory=dict, compare=False)
    override: bool = False
    drop: Mapping[Relation, tuple[Name, ...]] = field(default_factory=dict)
    acl_override: tuple[tuple[Name, str], ...] = ()


@dataclass(frozen=True, slots=True)
class GroupDoc:
    """One entry under ``groups``."""

    name: Name
    members: tuple[Name, ...]
    doc: str = ""


@dataclass(frozen=True, slots=True)
class RoleDoc:
    """A role, and what it may do with states that do not mention it."""

    name: Name
    operations: tuple[Operation, ...] = ()


@dataclass(frozen=True, slots=True)
class InvariantDoc:
    """One entry under ``invariants``; *when* and *then* as in ``schema.Invariant``."""

    kind: InvariantKind
    when: tuple[Name, ...]
    then: tuple[Name, ...] = ()
    doc: str = ""

    def value(self) -> Invariant:
        """What the module will hold."""
        when, then = (tuple(n.text for n in names) for names in (self.when, self.then))
        return Invariant(self.kind, when, then, self.doc)


@dataclass(frozen=True, slots=True)
class SchemaDoc:
    """One file."""

    path: str
    machine: Name
    doc: str
    extends: tuple[Name, ...]
    roles: tuple[RoleDoc, ...]
    groups: tuple[GroupDoc, ...]
    states: tuple[StateDoc, ...]
    invariants: tuple[InvariantDoc, ...] = ()
    types: tuple[TypeDoc, ...] = ()


@dataclass(frozen=True, slots=True)
class RelationModel:
    """One target of a relation; ``via`` is the group it came from, or "". Places do not count in ==."""

    target: str
    span: Span = field(compare=False)
    via: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class StateModel:
    """One state with all that its files say about it.

    Attributes:
        origin: paths of the files that said something, oldest first.
        roles: role -> operations.
        acl_override: protected states that it may touch through its relations, each with the reason.
    """

    name: str
    span: Span = field(compare=False)
    origin: tuple[str, ...] = field(compare=False)
    doc: str = ""
    auto: bool = False
    multi: bool = False
    relations: Mapping[Relation, tuple[RelationModel, ...]] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    args: tuple[ArgDoc, ...] = ()
    roles: Mapping[str, tuple[Operation, ...]] = field(default_factory=dict)
    scope: Name | None = None
    limit: int | None = None
    overflow: Overflow = "error"
    timeout: float | None = None
    places: Mapping[str, Span] = field(default_factory=dict, compare=False)
    acl_override: Mapping[Name, str] = field(default_factory=dict)

    def targets(self, relation: Relation) -> tuple[str, ...]:
        """Names of the targets of one relation."""
        return tuple(r.target for r in self.relations.get(relation, ()))


@dataclass(frozen=True, slots=True)
class GroupModel:
    """A group with its members in order of declaration."""

    name: str
    span: Span = field(compare=False)
    members: tuple[Name, ...]
    doc: str = ""


@dataclass(frozen=True, slots=True)
class SchemaModel:
    """A whole machine. ``sources`` are the paths it was made from, oldest first, its own last."""

    name: str
    doc: str
    path: str
    span: Span
    sources: tuple[str, ...]
    roles: Mapping[str, tuple[Operation, ...]]
    groups: Mapping[str, GroupModel]
    states: Mapping[str, StateModel]
    invariants: tuple[InvariantDoc, ...] = ()
    types: Mapping[str, TypeDoc] = field(default_factory=dict)
