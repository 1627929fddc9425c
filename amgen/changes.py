"""What differs between two versions of a machine, and what a peer with the old one would notice. Pure.

Peers agree on a digest when they connect (``docs/spec/wire.md``): over names and order of the states,
auto, multi, relations, tags and args. If it differs the server refuses, since indexes and relations
are what both sides speak in. Rights are asked for each mutation. All else is local to one process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from amgen.arg_types import named
from amgen.check_types import Types
from amgen.errors import Span
from amgen.model import ArgDoc, SchemaModel, StateModel, TypeDoc
from asyncmachine.schema import Schema, State

__all__ = ["ADVICE", "Change", "Effect", "Version", "compare", "worst"]

Effect: TypeAlias = Literal["breaks", "denies", "safe"]
EFFECTS: Final[tuple[Effect, ...]] = ("breaks", "denies", "safe")

ADVICE: Final[Mapping[Effect, str]] = {
    "breaks": (
        "old and new peers refuse each other when they connect, and do not try again: start the new "
        "ones beside the old, on other addresses, let clients move, then stop the old"
    ),
    "denies": (
        "old and new peers connect, but what is denied now fails with DENIED: "
        "upgrade who does that first, then who grants it"
    ),
    "safe": "old and new peers work together, in any order",
}


class Version(NamedTuple):
    """One version of a machine."""

    model: SchemaModel
    schema: Schema


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    Attributes:
        subject: what it is about: a state, ``State.arg``, a group, role or type, or the machine.
        text: what is different, from old to new.
        effect: ``breaks``: an old peer is refused; ``denies``: it may do less than before; ``safe``.
        span: where the new version says so; the old one for what is *gone*.
    """

    subject: str
    text: str
    effect: Effect
    span: Span
    gone: bool = False


def worst(changes: Sequence[Change]) -> Effect:
    """The gravest effect among them."""
    for effect in EFFECTS:
        if any(c.effect == effect for c in changes):
            return effect
    return "safe"


def compare(old: Version, new: Version) -> tuple[Change, ...]:
    """All differences but those of docs; what breaks first, else in the order of the new version.

    There is one that ``breaks`` exactly if the digests differ.
    """
    found = [
        *_presence(old, new),
        *_order(old, new),
        *(c for name in new.model.states if name in old.model.states for c in _state(name, old, new)),
        *_types(old, new),
        *_roles(old.model, new.model),
        *_groups(old.model, new.model),
        *_invariants(old, new),
    ]
    return tuple(sorted(found, key=lambda c: EFFECTS.index(c.effect)))


def _presence(old: Version, new: Version) -> Iterator[Change]:
    for name, state in new.model.states.items():
        if name not in old.model.states:
            yield Change(name, f"state added, at index {new.schema.index[name]}", "breaks", state.span)
    for name, state in old.model.states.items():
        if name not in new.model.states:
            text = f"state removed, it was at index {old.schema.index[name]}"
            yield Change(name, text, "breaks", state.span, gone=True)


def _order(old: Version, new: Version) -> Iterator[Change]:
    """One line for all states that got another index: mostly one insertion has moved them."""
    before, after = old.schema.index, new.schema.index
    moved = [name for name in new.schema.names if name in before and before[name] != after[name]]
    if moved:
        some = ", ".join(f"{name} {before[name]} -> {after[name]}" for name in moved[:3])
        more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
        yield Change(new.model.name, f"states renumbered: {some}{more}", "breaks", new.model.span)


# ---------------------------------------------------------------------------------------------
# One state


def _state(name: str, old: Version, new: Version) -> Iterator[Change]:
    was, now = old.schema.states[name], new.schema.states[name]
    span = new.model.states[name].span
    for flag, before, after in (("auto", was.auto, now.auto), ("multi", was.multi, now.multi)):
        if before != after:
            yield Change(name, f"is {flag} now" if after else f"is not {flag} any more", "breaks", span)
    pairs = zip(was.relations(), now.relations(), strict=True)
    for word, before_, after_ in (*((r, b, a) for (r, b), (_, a) in pairs), ("tags", was.tags, now.tags)):
        if text := _targets(word, before_, after_):
            yield Change(name, text, "breaks", span)
    yield from _args(old, new, name)
    yield from _rights(name, was, now, span)
    for key in ("scope", "limit", "overflow", "timeout"):
        before, after = getattr(was, key), getattr(now, key)
        if before != after:
            yield Change(name, f"{key} {_value(before)} -> {_value(after)}", "safe", span)


def _value(value: object) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _targets(word: str, old: Sequence[str], new: Sequence[str]) -> str:
    """``require +Power -Plug``, or "" when nothing has changed."""
    if tuple(old) == tuple(new):
        return ""
    marks = [*(f"+{n}" for n in new if n not in old), *(f"-{n}" for n in old if n not in new)]
    return f"{word} {' '.join(marks)}" if marks else f"{word} in another order: {', '.join(new)}"


def _rights(name: str, was: State, now: State, span: Span) -> Iterator[Change]:
    for role in dict.fromkeys([*was.rpc, *now.rpc]):
        before, after = was.rpc.get(role, ()), now.rpc.get(role, ())
        if lost := [o for o in before if o not in after]:
            yield Change(name, f"role {role} may not {', '.join(lost)} it any more", "denies", span)
        if gained := [o for o in after if o not in before]:
            yield Change(name, f"role {role} may {', '.join(gained)} it now", "safe", span)


def _args(old: Version, new: Version, state: str) -> Iterator[Change]:
    was, now = (_by_name(v.model.states[state]) for v in (old, new))
    for name in dict.fromkeys([*now, *was]):
        subject = f"{state}.{name}"
        before, after = was.get(name), now.get(name)
        if before is None and after is not None:
            need = "optional" if after.has_default else "required"
            effect: Effect = "breaks" if after.type else "safe"
            yield Change(subject, f"{need} arg added, {_kind(after)}", effect, after.name.span)
        elif after is None and before is not None:
            effect = "breaks" if before.type else "safe"
            yield Change(
                subject, f"arg removed, it was {_kind(before)}", effect, new.model.states[state].span
            )
        elif before is not None and after is not None:
            same = _wire(before, old.model) == _wire(after, new.model)
            yield from _arg(subject, before, after, same=same)


def _by_name(state: StateModel) -> dict[str, ArgDoc]:
    return {arg.name.text: arg for arg in state.args}


def _kind(arg: ArgDoc) -> str:
    return arg.annotation if arg.type else f"{arg.local}, local"


def _wire(arg: ArgDoc, model: SchemaModel) -> str:
    return Types(model.types).wire(arg.type) if arg.type else ""


def _arg(subject: str, before: ArgDoc, after: ArgDoc, *, same: bool) -> Iterator[Change]:
    crosses = bool(before.type or after.type)
    if _kind(before) != _kind(after):
        text = f"type {_kind(before)} -> {_kind(after)}"
        if same and crosses:
            text += ", the same on the wire"
        yield Change(subject, text, "safe" if same else "breaks", after.name.span)
    if before.has_default != after.has_default:
        text = "is optional now" if after.has_default else "is required now"
        yield Change(subject, text, "breaks" if crosses else "safe", after.name.span)
    elif before.default != after.default or type(before.default) is not type(after.default):
        yield Change(
            subject,
            f"default {_value(before.default)} -> {_value(after.default)}; each side uses its own",
            "safe",
            after.name.span,
        )


# ---------------------------------------------------------------------------------------------
# The rest of a machine


def _types(old: Version, new: Version) -> Iterator[Change]:
    """Types break when an arg that both versions have now has another form on the wire."""
    was, now = old.model.types, new.model.types
    touched = _touched(old, new)
    for name in dict.fromkeys([*now, *was]):
        before, after = was.get(name), now.get(name)
        if before is None and after is not None:
            yield Change(name, f"{after.kind} added", "safe", after.name.span)
        elif after is None and before is not None:
            yield Change(name, f"{before.kind} removed", "safe", before.name.span, gone=True)
        elif before is not None and after is not None and (text := _inside(before, after)):
            yield Change(name, text, "breaks" if name in touched else "safe", after.name.span)


def _touched(old: Version, new: Version) -> set[str]:
    """Names of the types, and of those inside of them, through which the form of an arg has changed."""
    forms = Types(old.model.types), Types(new.model.types)
    found: set[str] = set()
    for name, state in new.model.states.items():
        was = _by_name(old.model.states[name]) if name in old.model.states else {}
        for arg in state.args:
            before = was.get(arg.name.text)
            if (
                before is None
                or before.type is None
                or arg.type is None
                or before.annotation != arg.annotation
            ):
                continue
            if forms[0].wire(before.type) != forms[1].wire(arg.type):
                found |= _within(new.model.types, named(arg.type))
    return found


def _within(types: Mapping[str, TypeDoc], names: Iterator[str] | Sequence[str]) -> set[str]:
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [n for field in types[name].fields if field.type for n in named(field.type)]
    return found


def _inside(before: TypeDoc, after: TypeDoc) -> str:
    if before.kind != after.kind:
        return f"{before.kind} -> {after.kind}"
    if before.kind == "enum":
        return _targets("values", [v for v, _ in before.values], [v for v, _ in after.values])
    was, now = ([_field(f) for f in t.fields] for t in (before, after))
    return _targets("fields", was, now)


def _field(field: ArgDoc) -> str:
    default = f"={_value(field.default)}" if field.has_default else ""
    return f"{field.name.text}:{field.annotation}{default}"


def _roles(old: SchemaModel, new: SchemaModel) -> Iterator[Change]:
    """What a role can do, or could, is told at the states."""
    yield from (Change(r, "role added", "safe", new.span) for r in new.roles if r not in old.roles)
    yield from (Change(r, "role removed", "safe", new.span) for r in old.roles if r not in new.roles)


def _groups(old: SchemaModel, new: SchemaModel) -> Iterator[Change]:
    for name in dict.fromkeys([*new.groups, *old.groups]):
        was, now = old.groups.get(name), new.groups.get(name)
        if was is None and now is not None:
            yield Change(name, "group added", "safe", now.span)
        elif now is None and was is not None:
            yield Change(name, "group removed", "safe", was.span, gone=True)
        elif was is not None and now is not None:
            text = _targets("members", [m.text for m in was.members], [m.text for m in now.members])
            if text:
                yield Change(name, text, "safe", now.span)


def _invariants(old: Version, new: Version) -> Iterator[Change]:
    was, now = ([str(i) for i in v.schema.invariants] for v in (old, new))
    span = new.model.span
    yield from (Change(new.model.name, f"invariant added: `{i}`", "safe", span) for i in now if i not in was)
    yield from (
        Change(new.model.name, f"invariant removed: `{i}`", "safe", span) for i in was if i not in now
    )
