"""What a flat model means: references, contradictions, roles. One function a rule.

Validity itself is defined once, on values, by ``asyncmachine.schema.find_problems``; here its
problems get their places. The rest are rules that only make sense at compile time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

from amgen import check_types
from amgen.check_types import Types
from amgen.errors import Related, Report, Span
from amgen.model import RELATIONS, Relation, SchemaModel, StateModel
from asyncmachine.errors import did_you_mean
from asyncmachine.schema import (
    EXCEPTION,
    Args,
    Operation,
    Problem,
    Schema,
    State,
    decode_any,
    find_cycles,
    find_problems,
    iter_bits,
    snake_case,
)

__all__ = ["build", "run"]

MAX_EDGES = 65_536

_CODES = {
    "unknown-state": "AM301",
    "require-remove": "AM302",
    "require-cycle": "AM303",
    "after-cycle": "AM304",
    "handler-clash": "AM305",
    "bad-name": "AM103",
    "too-many-states": "AM313",
    "bad-value": "AM106",
}


def build(model: SchemaModel) -> Schema:
    """The value that the generated module will hold. *model* must have passed :func:`run`."""
    groups = {g.name: tuple(m.text for m in g.members) for g in model.groups.values()}
    types = Types(model.types)
    return Schema(
        model.name,
        {name: _state(state, types) for name, state in model.states.items()},
        groups=groups,
        roles=tuple(model.roles),
        invariants=[i.value() for i in model.invariants],
    )


def _state(state: StateModel, types: Types | None = None) -> State:
    """The value of one state; of its args only the class is there, and what it says to peers."""
    args = None
    if state.args and types:
        said = types.signature(state.args)
        decoders = {a.name.text: decode_any for a in state.args if not a.local}
        args = type(
            f"{state.name}Args",
            (Args,),
            {"decoders": decoders, "signature": classmethod(lambda _: said), "__slots__": ()},
        )
    return State(
        auto=state.auto,
        multi=state.multi,
        require=state.targets("require"),
        add=state.targets("add"),
        remove=state.targets("remove"),
        after=state.targets("after"),
        tags=state.tags,
        doc=state.doc,
        args=args,
        rpc=state.roles,
        scope=state.scope.text if state.scope else None,
        limit=state.limit,
        overflow=state.overflow,
        timeout=state.timeout,
    )


def run(model: SchemaModel, report: Report) -> None:
    """Report all that is wrong with *model*."""
    edges = sum(len(s.targets(r)) for s in model.states.values() for r in RELATIONS)
    if edges > MAX_EDGES:
        report.error("AM313", f"{edges} relations, at most {MAX_EDGES} are allowed", model.span)
        return
    groups = {g.name: tuple(m.text for m in g.members) for g in model.groups.values()}
    values = {name: _state(state) for name, state in model.states.items()}
    problems = find_problems(values, groups, [i.value() for i in model.invariants])
    for problem in problems:
        _place(model, problem, report)
    for circle in find_cycles(values, "add"):
        text = f"add goes in a circle: {' -> '.join([*circle, circle[0]])}; they are always added together"
        report.warn("AM320", text, _span(model.states[circle[0]], "add", circle[1]))
    if any(p.kind == "too-many-states" for p in problems):
        return
    check_types.run(model, report)
    _letter_case(model, report)
    _pair_handlers(model, report)
    if not any(p.kind in ("unknown-state", "require-cycle") for p in problems):
        needs = _Needs.of(model)
        _never_active(model, needs, report)
        _blocked_auto(model, needs, report)
        _error_states(model, needs, report)
        _escalation(model, report)
        _shut_out(model, needs, report)
    _unused_groups(model, report)
    _says_nothing(model, report)
    _undocumented(model, report)


def _place(model: SchemaModel, problem: Problem, report: Report) -> None:
    """Report a problem of the shared validator at the line that says so."""
    code = _CODES[problem.kind]
    if problem.relation == "group":
        group = model.groups[problem.state]
        span = next((m.span for m in group.members if m.text == problem.other), group.span)
        report.error(code, f"{problem.state}: {problem.message}", span)
        return
    if problem.relation == "invariant":
        for name in [n for i in model.invariants for n in (*i.when, *i.then) if n.text == problem.other]:
            report.error(code, problem.message, name.span)
        return
    state = model.states.get(problem.state)
    if state is None:
        report.error(code, problem.message, model.span)
        return
    related: list[Related] = []
    if problem.relation == "scope" and state.scope:
        span = state.scope.span
    else:
        span = _span(state, problem.relation, problem.other)
    if problem.kind == "require-remove":
        related.append(Related(_span(state, "remove", problem.other), "removed here"))
    elif problem.kind == "handler-clash":
        related.append(Related(model.states[problem.other].span, f"{problem.other} is declared here"))
    text = problem.message if problem.kind == "bad-name" else f"{problem.state}: {problem.message}"
    report.error(code, text, span, *related)


def _span(state: StateModel, relation: str, target: str) -> Span:
    """Where *state* says that it relates to *target*, or where it begins."""
    for known in RELATIONS:
        if known == relation:
            for item in state.relations.get(known, ()):
                if item.target == target:
                    return item.span
    return state.places.get(relation, state.span)


@dataclass(frozen=True, slots=True)
class _Needs:
    """Bit masks by state, over Require.

    Attributes:
        needed: all it needs, itself included. ``removed``: all that these remove.
        removes: what it removes itself.
    """

    index: Mapping[str, int]
    needed: Mapping[str, int]
    removed: Mapping[str, int]
    removes: Mapping[str, int]

    @classmethod
    def of(cls, model: SchemaModel) -> _Needs:
        """Compute them; Require must have no cycle."""
        index = {name: i for i, name in enumerate(model.states)}
        needed: dict[str, int] = {}
        removed: dict[str, int] = {}
        removes: dict[str, int] = {}
        stack = list(model.states)[::-1]
        while stack:
            name = stack[-1]
            targets = model.states[name].targets("require")
            if name not in needed and (waiting := [t for t in targets if t not in needed]):
                stack += waiting
                continue
            stack.pop()
            if name not in needed:
                kept = (name, *model.states[name].targets("add"))
                own = [t for t in model.states[name].targets("remove") if t not in kept]
                removes[name] = reduce(or_, (1 << index[t] for t in own), 0)
                needed[name] = reduce(or_, (needed[t] for t in targets), 1 << index[name])
                removed[name] = reduce(or_, (removed[t] for t in targets), removes[name])
        return cls(index, needed, removed, removes)

    def needs(self, name: str, other: str) -> bool:
        """Whether *name* is only active while *other* is."""
        return bool(self.needed[name] >> self.index[other] & 1)


def _closure(model: SchemaModel, names: Iterable[str], relation: Relation) -> tuple[str, ...]:
    """All that is reached by one relation, *names* first."""
    found = dict.fromkeys(names)
    todo = list(found)
    while todo:
        for target in model.states[todo.pop()].targets(relation):
            if target not in found:
                found[target] = None
                todo.append(target)
    return tuple(found)


def _letter_case(model: SchemaModel, report: Report) -> None:
    seen: dict[str, str] = {}
    for name, state in model.states.items():
        twin = seen.setdefault(name.lower(), name)
        if twin != name and snake_case(twin) != snake_case(name):
            text = f"{name!r} and {twin!r} differ only in case"
            report.error(
                "AM305", text, state.span, Related(model.states[twin].span, f"{twin} is declared here")
            )


def _pair_handlers(model: SchemaModel, report: Report) -> None:
    """``a_to_b_to_c`` must not be both A to BToC and AToB to C."""
    snakes = {snake_case(name): name for name in model.states}
    for snake, name in snakes.items():
        head, found, tail = snake.partition("_to_")
        if not found or head not in snakes:
            continue
        for other, last in snakes.items():
            rest = f"{tail}_to_{other}"
            if rest in snakes:
                text = (
                    f"handler {snake}_to_{other} would stand for both {name} to {last} "
                    f"and {snakes[head]} to {snakes[rest]}; rename one state"
                )
                report.error("AM305", text, model.states[name].span)


def _never_active(model: SchemaModel, needs: _Needs, report: Report) -> None:
    """A state that needs two states which exclude each other."""
    for name, state in model.states.items():
        if not needs.needed[name] & needs.removed[name]:
            continue
        for one, other in _exclusive(model, name):
            if one == name and other in state.targets("require"):
                continue  # AM302 says so
            text = f"{name} can never be active: it needs {one} and {other}, and {one} removes {other}"
            place = Related(_span(model.states[one], "remove", other), f"{one} removes {other} here")
            report.error("AM309", text, state.span, place)


def _exclusive(model: SchemaModel, name: str) -> Iterator[tuple[str, str]]:
    needed = dict.fromkeys(_closure(model, [name], "require"))
    for one in needed:
        state = model.states[one]
        yield from (
            (one, r) for r in state.targets("remove") if r in needed and r not in (one, *state.targets("add"))
        )


def _blocked_auto(model: SchemaModel, needs: _Needs, report: Report) -> None:
    """An auto state which another auto state, active whenever it could be, removes."""
    for other in (s for s in model.states.values() if s.auto):
        for name in other.targets("remove"):
            state = model.states[name]
            always = all(r != name and needs.needs(name, r) for r in other.targets("require"))
            if state.auto and always and name != other.name and other.name not in state.targets("remove"):
                text = f"auto state {state.name} is always blocked by auto state {other.name}"
                place = Related(_span(other, "remove", state.name), f"{other.name} removes it here")
                report.warn("AM314", text, state.span, place)


def _error_states(model: SchemaModel, needs: _Needs, report: Report) -> None:
    for name, state in model.states.items():
        is_error = name.startswith("Err") and (name[3:4].isupper() or name == "Err")
        if is_error and not needs.needs(name, EXCEPTION):
            report.warn("AM310", f"error state {name} should require {EXCEPTION}", state.span)


def _escalation(model: SchemaModel, report: Report) -> None:
    """Through relations, no role does what is granted to other roles only, unless a reason is given."""
    needed: set[tuple[str, str]] = set()
    for role in model.roles:
        for name, state in model.states.items():
            if "add" not in state.roles.get(role, ()):
                continue
            allowed = {given.text for given in state.acl_override}
            for operation, target in _effects(model, name):
                owner = _protected(model, role, target, operation)
                if owner and target in allowed:
                    needed.add((name, target))
                elif owner:
                    text = (
                        f"role {role} may add {name}, and through it would {operation} {target}, "
                        f"which is for role {owner} only; grant it to {role}, drop the relation, "
                        f"or say why it is right: `acl_override: {{{target}: reason}}`"
                    )
                    place = Related(model.states[target].span, f"{target} is declared here")
                    report.error("AM308", text, state.span, place)
    for name, state in model.states.items():
        for given in state.acl_override:
            if given.text not in model.states:
                hint = did_you_mean(given.text, model.states)
                text = f"{name}: acl_override names unknown state {given.text!r}{hint}"
                report.error("AM301", text, given.span)
            elif (name, given.text) not in needed and given.span.path == model.path:
                text = f"{name}: acl_override of {given.text} is not needed, no role is kept from it"
                report.warn("AM318", text, given.span)


def _effects(model: SchemaModel, name: str) -> list[tuple[Operation, str]]:
    """What adding a state does to others, through Add and Remove."""
    added = _closure(model, [name], "add")
    removed = dict.fromkeys(r for a in added for r in model.states[a].targets("remove"))
    return [*(("add", a) for a in added[1:]), *(("remove", r) for r in removed)]


def _protected(model: SchemaModel, role: str, name: str, operation: Operation) -> str | None:
    """The role for which it is, when *role* may not do it; None when it may, or when nobody may."""
    roles = model.states[name].roles
    if operation in roles.get(role, ()):
        return None
    return next((r for r, operations in roles.items() if operation in operations), None)


def _shut_out(model: SchemaModel, needs: _Needs, report: Report) -> None:
    """Two states that put each other out, though neither says so: each removes what the other requires."""
    names = list(model.states)
    requiring = [0] * len(names)  # by index: the states that need this one and remove something
    for name in names:
        if needs.removes[name]:
            for i in iter_bits(needs.needed[name] & ~(1 << needs.index[name])):
                requiring[i] |= 1 << needs.index[name]
    for number, one in enumerate(names):
        hit = reduce(or_, (requiring[i] for i in iter_bits(needs.removes[one])), 0)
        for other in (names[i] for i in iter_bits(hit >> number + 1 << number + 1)):
            mine = needs.removes[one] & needs.needed[other]
            theirs = needs.removes[other] & needs.needed[one]
            said = mine >> needs.index[other] & 1 or theirs >> number & 1
            # What removes Exception clears an error: that is how errors end.
            cleared = (mine | theirs) >> needs.index[EXCEPTION] & 1
            if theirs and not (said or cleared or needs.needs(one, other) or needs.needs(other, one)):
                lost = [names[next(iter_bits(mask))] for mask in (mine, theirs)]
                _warn_shut_out(model, report, (one, other), lost)
                break  # one of them tells enough about a state


def _warn_shut_out(model: SchemaModel, report: Report, pair: tuple[str, str], lost: Sequence[str]) -> None:
    one, other = pair
    text = (
        f"{one} and {other} put each other out, though neither removes the other: {one} removes {lost[0]}, "
        f"which {other} requires, and {other} removes {lost[1]}, which {one} requires; "
        f"write `remove: [{other}]` to say so"
    )
    places = [
        Related(_span(model.states[name], "remove", target), f"{name} removes {target} here")
        for name, target in zip(pair, lost, strict=True)
    ]
    report.warn("AM316", text, model.states[one].span, *places)


def _unused_groups(model: SchemaModel, report: Report) -> None:
    used = {r.via for s in model.states.values() for r_list in s.relations.values() for r in r_list}
    for group in model.groups.values():
        known = all(member.text in model.states for member in group.members)
        if known and group.name not in used and not group.doc and group.span.path == model.path:
            text = (
                f"no relation uses group {group.name}; write ${group.name} in one, "
                f"or say what it is for: `{group.name}: {{doc: ..., states: [...]}}`"
            )
            report.warn("AM317", text, group.span)


def _says_nothing(model: SchemaModel, report: Report) -> None:
    for name, state in model.states.items():
        for relation in ("add", "remove", "after"):
            if name in state.targets(relation):
                report.warn(
                    "AM315", f"{name}: {relation} of itself does nothing", _span(state, relation, name)
                )
        for both in set(state.targets("add")) & set(state.targets("remove")):
            report.warn("AM315", f"{name} adds and removes {both}; add wins", _span(state, "remove", both))


def _undocumented(model: SchemaModel, report: Report) -> None:
    for name, state in model.states.items():
        if not state.doc:
            report.warn("AM311", f"state {name} has no doc", state.span)
