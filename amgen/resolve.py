"""Documents to one flat model: parents, overlays, groups and roles.

Parents come first in the index, in the order of ``extends``; a state keeps the place of its first
mention. An overlay (a state that a parent has too) adds to relations, tags and args and sets
properties; ``override: true`` replaces the state, ``drop:`` takes targets away.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from amgen.errors import Related, Report
from amgen.model import (
    RELATIONS,
    ArgDoc,
    GroupDoc,
    GroupModel,
    InvariantDoc,
    Name,
    Relation,
    RelationModel,
    RoleDoc,
    SchemaDoc,
    SchemaModel,
    StateDoc,
    StateModel,
    TypeDoc,
)
from asyncmachine.errors import did_you_mean
from asyncmachine.schema import EXCEPTION, Operation

__all__ = ["BUILTIN", "Resolver", "complete"]

BUILTIN = "builtin/"
MAX_PARENTS = 8


class Resolver:
    """Flattens documents; each file is flattened once, however many extend it.

    Args:
        load: path -> document, None when the file is broken (already reported).
        paths: all paths there are; those of built-ins begin with ``builtin/``.
        report: where problems go.
    """

    def __init__(self, load: Callable[[str], SchemaDoc | None], paths: Iterable[str], report: Report) -> None:
        self.load = load
        self.paths = frozenset(paths)
        self.report = report
        self._done: dict[str, SchemaModel | None] = {}
        self._path: list[str] = []

    def flatten(self, path: str) -> SchemaModel | None:
        """The model of one file; None when it, or a parent, is broken (which is reported)."""
        if path not in self._done:
            doc = self.load(path)
            self._path.append(path)
            self._done[path] = self._flatten(doc) if doc else None
            self._path.pop()
        return self._done[path]

    def _flatten(self, doc: SchemaDoc) -> SchemaModel | None:
        parents: list[tuple[Name, SchemaModel]] = []
        for name in doc.extends:
            if (found := self._find(doc, name)) is None:
                continue
            if found in self._path:
                circle = " -> ".join([*self._path[self._path.index(found) :], found])
                self.report.error("AM202", f"extends goes in a circle: {circle}", name.span)
            elif len(self._path) >= MAX_PARENTS:
                self.report.error("AM202", f"more than {MAX_PARENTS} generations of schemas", name.span)
            elif model := self.flatten(found):
                parents.append((name, model))
        if len(parents) < len(doc.extends):
            return None
        return _Flat(doc, parents, self.report).model()

    def _find(self, doc: SchemaDoc, name: Name) -> str | None:
        """Path of a parent: beside the file, then from the root, then a built-in."""
        inside = doc.path.startswith(BUILTIN)
        folder = posixpath.dirname(doc.path)
        beside = posixpath.normpath(posixpath.join(folder, name.text))
        candidates = [beside]
        if beside.startswith("../") or (inside and not beside.startswith(BUILTIN)):
            self.report.error("AM208", f"parent {name.text!r} is outside of the folder of schemas", name.span)
            return None
        if not name.text.startswith("."):
            candidates += [BUILTIN + name.text] if inside else [name.text, BUILTIN + name.text]
        for candidate in candidates:
            if f"{candidate}.yaml" in self.paths:
                return f"{candidate}.yaml"
        known = sorted(p.removeprefix(BUILTIN).removesuffix(".yaml") for p in self.paths)
        self.report.error(
            "AM201", f"there is no schema {name.text!r}{did_you_mean(name.text, known)}", name.span
        )
        return None


class _Flat:
    """The flattening of one document over its flat parents."""

    def __init__(self, doc: SchemaDoc, parents: Sequence[tuple[Name, SchemaModel]], report: Report) -> None:
        self.doc, self.parents, self.report = doc, parents, report
        self.states: dict[str, StateModel] = {}
        self.groups: dict[str, GroupModel] = {}
        self.roles: dict[str, tuple[Operation, ...]] = {}
        self.types: dict[str, TypeDoc] = {}
        self.overridden = {s.name.text for s in doc.states if s.override}

    def model(self) -> SchemaModel:
        for name, parent in self.parents:
            self._inherit(name, parent)
        for role in self.doc.roles:
            self._declare(role)
        for declared in self.doc.types:
            self._declare_type(declared)
        for group in self.doc.groups:
            self._extend_group(group)
        for state in self.doc.states:
            self._take(state, self.states.get(state.name.text))
        for role in self.doc.roles:
            self._widened(role)
        sources = dict.fromkeys(p for _, parent in self.parents for p in parent.sources)
        return SchemaModel(
            name=self.doc.machine.text,
            doc=self.doc.doc,
            path=self.doc.path,
            span=self.doc.machine.span,
            sources=(*sources, self.doc.path),
            roles=self.roles,
            groups=self.groups,
            states=self.states,
            invariants=tuple(self._invariants()),
            types=self.types,
        )

    # -- what comes from parents ----------------------------------------------------------------

    def _inherit(self, name: Name, parent: SchemaModel) -> None:
        for role, operations in parent.roles.items():
            known = self.roles.get(role, operations)
            self.roles[role] = tuple(o for o in known if o in operations)
        for declared in parent.types.values():
            same = self.types.setdefault(declared.name.text, declared)
            if same != declared:
                text = f"two parents disagree on type {declared.name.text}; rename one of the two"
                self.report.error(
                    "AM203",
                    text,
                    name.span,
                    *(Related(t.name.span, "one says this") for t in (same, declared)),
                )
        for group in parent.groups.values():
            self._merge_group(group)
        for state in parent.states.values():
            mine = self.states.get(state.name)
            if mine is None or _begins(state.origin, mine.origin):
                self.states[state.name] = state
            elif (
                mine != state and not _begins(mine.origin, state.origin) and state.name not in self.overridden
            ):
                text = f"two parents disagree on state {state.name}; say which is right with `override: true`"
                places = [Related(s.span, "one says this") for s in (mine, state)]
                self.report.error("AM203", text, name.span, *places)

    def _merge_group(self, group: GroupModel) -> None:
        known = self.groups.get(group.name)
        members = dict.fromkeys([*(known.members if known else ()), *group.members])
        doc = group.doc or (known.doc if known else "")
        self.groups[group.name] = replace(group, members=tuple(members), doc=doc)

    # -- what the document says itself ----------------------------------------------------------

    def _declare(self, role: RoleDoc) -> None:
        name = role.name.text
        if name in self.roles and not set(role.operations) <= set(self.roles[name]):
            allowed = ", ".join(self.roles[name]) or "nothing"
            text = f"a parent gives role {name} only: {allowed} by default; it can only be narrowed"
            self.report.error("AM207", text, role.name.span)
            return
        self.roles[name] = role.operations

    def _widened(self, role: RoleDoc) -> None:
        """A role that no parent has must not, by its default, do what a parent gives to other roles only."""
        name = role.name.text
        if any(name in parent.roles for _, parent in self.parents):
            return
        for state in self.states.values():
            if name not in state.roles and (owner := self._owner(state.name, name, role.operations)):
                text = (
                    f"role {name} may by default {owner[1]} {state.name}, which is for role {owner[0]} only"
                )
                hint = f"say `rpc: {{{name}: [...]}}` for {state.name}, or less by default"
                self.report.error(
                    "AM207",
                    f"{text}; {hint}",
                    role.name.span,
                    Related(state.span, f"{state.name} is declared here"),
                )

    def _owner(self, state: str, role: str, operations: Sequence[Operation]) -> tuple[str, Operation] | None:
        """The role of a parent that alone may do one of these to a state, and which; reading is no secret."""
        for _, parent in self.parents:
            inherited = parent.states.get(state)
            if inherited is None or role in parent.roles:
                continue
            for operation in operations:
                owners = [r for r in parent.roles if operation in inherited.roles.get(r, parent.roles[r])]
                if owners and operation != "read":
                    return owners[0], operation
        return None

    def _declare_type(self, declared: TypeDoc) -> None:
        name = declared.name.text
        if known := self.types.get(name):
            text = f"type {name} is inherited and cannot be changed; give the new one another name"
            self.report.error("AM212", text, declared.name.span, Related(known.name.span, "declared here"))
        else:
            self.types[name] = declared

    def _extend_group(self, group: GroupDoc) -> None:
        for member in group.members:
            if member.text.startswith("$"):
                text = f"group {group.name.text} names group {member.text!r}; groups hold states only"
                self.report.error("AM306", text, member.span)
        members = tuple(m for m in group.members if not m.text.startswith("$"))
        self._merge_group(GroupModel(group.name.text, group.name.span, members, group.doc))

    def _invariants(self) -> Iterator[InvariantDoc]:
        """Those of parents first. What is said twice counts once, with the oldest doc."""
        inherited = [i for _, parent in self.parents for i in parent.invariants]
        seen: set[tuple[object, ...]] = set()
        for invariant in [*inherited, *self.doc.invariants]:
            key = (invariant.kind, frozenset(invariant.when), frozenset(invariant.then))
            if key not in seen:
                seen.add(key)
                yield invariant

    def _take(self, state: StateDoc, base: StateModel | None) -> None:
        name = state.name.text
        if base is None and state.override:
            self.report.error(
                "AM206", f"no parent has state {name}, there is nothing to override", state.name.span
            )
        if state.drop and (base is None or state.override):
            self.report.error(
                "AM205", f"state {name} inherits nothing that could be dropped", state.name.span
            )
        start = base if base is not None and not state.override else StateModel(name, state.name.span, ())
        self.states[name] = replace(
            start,
            span=state.name.span,
            origin=(*(base.origin if base else ()), self.doc.path),
            doc=start.doc if state.doc is None else state.doc,
            auto=start.auto if state.auto is None else state.auto,
            multi=start.multi if state.multi is None else state.multi,
            relations={r: self._relation(r, state, start) for r in RELATIONS},
            tags=tuple(dict.fromkeys([*start.tags, *state.tags])),
            args=self._args(state, start),
            roles=self._rpc(state, base),
            scope=state.scope or start.scope,
            places={**start.places, **state.places},
            limit=start.limit if state.limit is None else state.limit,
            overflow=state.overflow or start.overflow,
            timeout=start.timeout if state.timeout is None else state.timeout,
            acl_override={**start.acl_override, **dict(state.acl_override)},
        )

    def _relation(self, relation: Relation, state: StateDoc, start: StateModel) -> tuple[RelationModel, ...]:
        targets = {r.target: r for r in start.relations.get(relation, ())}
        for name in state.drop.get(relation, ()):
            for gone in self._expand(name, state.name.text):
                if targets.pop(gone.target, None) is None and start.origin:
                    text = (
                        f"{state.name.text} inherits no {relation} of {gone.target!r} that could be dropped"
                    )
                    self.report.error("AM205", text + did_you_mean(gone.target, targets), name.span)
        for name in state.relations.get(relation, ()):
            for target in self._expand(name, state.name.text):
                targets.setdefault(target.target, target)
        return tuple(targets.values())

    def _expand(self, name: Name, owner: str) -> list[RelationModel]:
        """A state stands for itself, a group for its members without the owner of the relation."""
        if not name.text.startswith("$"):
            return [RelationModel(name.text, name.span)]
        group = self.groups.get(name.text[1:])
        if group is None:
            hint = did_you_mean(name.text[1:], self.groups)
            self.report.error("AM306", f"there is no group {name.text[1:]!r}{hint}", name.span)
            return []
        return [RelationModel(m.text, name.span, group.name) for m in group.members if m.text != owner]

    def _args(self, state: StateDoc, start: StateModel) -> tuple[ArgDoc, ...]:
        args = {a.name.text: a for a in start.args}
        for arg in state.args:
            known = args.get(arg.name.text)
            if known and (known.type, known.local) != (arg.type, arg.local):
                text = f"arg {arg.name.text} is {known.annotation} in a parent; rename it or `override: true`"
                self.report.error("AM209", text, arg.name.span, Related(known.name.span, "declared here"))
            args[arg.name.text] = arg
        return tuple(args.values())

    def _rpc(self, state: StateDoc, base: StateModel | None) -> dict[str, tuple[Operation, ...]]:
        name = state.name.text
        roles = dict(base.roles) if base else {}
        bounds: dict[str, tuple[Operation, ...]] = {}
        for _, parent in self.parents:
            if inherited := parent.states.get(name):
                bounds |= {r: inherited.roles.get(r, default) for r, default in parent.roles.items()}
        for grant in state.rpc:
            role = grant.role.text
            if role not in self.roles:
                hint = did_you_mean(role, self.roles) or "; declare it under `roles:`"
                self.report.error("AM307", f"there is no role {role!r}{hint}", grant.role.span)
            elif not set(grant.operations) <= set(bounds.get(role, grant.operations)):
                allowed = ", ".join(bounds[role]) or "nothing"
                text = f"a parent gives role {role} only: {allowed} on {name}; it can only be narrowed"
                self.report.error("AM207", text, grant.role.span)
            elif owner := self._owner(name, role, grant.operations):
                text = f"a parent lets role {owner[0]} {owner[1]} {name}, but has no role {role}"
                self.report.error("AM207", f"{text}; what is inherited can only be narrowed", grant.role.span)
            else:
                roles[role] = grant.operations
        return roles


def _begins(long: Sequence[str], short: Sequence[str]) -> bool:
    """Whether a state with the history *long* was made from the one with *short*."""
    return tuple(long[: len(short)]) == tuple(short) and len(long) > len(short)


def complete(model: SchemaModel) -> SchemaModel:
    """The model as it is compiled: with ``Exception``, and roles' defaults where a state says nothing."""
    states = dict(model.states)
    if EXCEPTION not in states:
        states[EXCEPTION] = StateModel(EXCEPTION, model.span, (), doc="An error happened.", multi=True)
    for name, state in states.items():
        defaults = {r: o for r, o in model.roles.items() if o and r not in state.roles}
        granted = {r: o for r, o in {**state.roles, **defaults}.items() if o}
        states[name] = replace(state, roles=dict(sorted(granted.items())))
    return replace(model, states=states)
