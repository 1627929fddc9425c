"""A first YAML file from one line of words, as the ancestor's command line writes them. Pure.

``Open,Shut:auto:remove(Open),Baking:multi:require(Shut;Power)`` names states with their properties and
relations; ``Door(Open;Shut)`` a group. A relation to a group is written ``$Door`` or, where a shell would
not leave that alone, ``_Door``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from amgen import names
from amgen.errors import AmgenError
from amgen.model import RELATIONS
from asyncmachine.errors import did_you_mean

__all__ = ["Group", "StarterError", "Starting", "groups_of", "starter", "states_of"]

_FLAGS: Final = ("auto", "multi")
_ITEM: Final = re.compile(r"(?P<head>[^()]*)(?:\((?P<inside>[^()]*)\))?\Z")


class StarterError(AmgenError):
    """Words that do not follow the grammar."""


@dataclass(frozen=True, slots=True)
class Starting:
    """One state to begin with."""

    name: str
    flags: tuple[str, ...] = ()
    relations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """One group to begin with."""

    name: str
    members: tuple[str, ...]


def states_of(text: str) -> tuple[Starting, ...]:
    """The states in ``A,B:multi,C:require(A;B):auto``.

    Raises:
        StarterError: with the words that are wrong.
    """
    found: dict[str, Starting] = {}
    for item in _split(text, ","):
        head, *words = list(_split(item, ":")) or [""]
        name = _name(head, "state")
        flags: list[str] = []
        relations: dict[str, tuple[str, ...]] = {}
        for word in words:
            key, inside = _call(word)
            key = key.lower()
            known = RELATIONS if inside is not None else _FLAGS
            if key not in known:
                hint = did_you_mean(key, known) or f"; they are {', '.join((*_FLAGS, *RELATIONS))}"
                raise StarterError(f"{item!r}: {word!r} is no property and no relation{hint}")
            if key in relations or key in flags:
                raise StarterError(f"{item!r}: {key} is given twice")
            if inside is None:
                flags.append(key)
            else:
                relations[key] = _targets(inside, item)
        if name in found:
            raise StarterError(f"state {name} is given twice")
        found[name] = Starting(name, tuple(flags), relations)
    if not found:
        raise StarterError("no state; name one at least, such as Ready")
    return tuple(found.values())


def groups_of(text: str) -> tuple[Group, ...]:
    """The groups in ``Door(Open;Shut),Work``.

    Raises:
        StarterError: with the words that are wrong.
    """
    found: dict[str, Group] = {}
    for item in _split(text, ","):
        head, inside = _call(item)
        name = _name(head, "group")
        if name in found:
            raise StarterError(f"group {name} is given twice")
        found[name] = Group(name, _targets(inside or "", item) if inside else ())
    return tuple(found.values())


def _split(text: str, separator: str) -> Iterator[str]:
    """Parts at *separator*, but not inside of brackets. Nothing comes of an empty text."""
    if not text.strip():
        return
    depth, start = 0, 0
    for at, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if not 0 <= depth <= 1:
            raise StarterError(f"{text!r}: brackets do not match at column {at + 1}")
        if char == separator and depth == 0:
            yield text[start:at].strip()
            start = at + 1
    if depth:
        raise StarterError(f"{text!r}: a bracket is not closed")
    yield text[start:].strip()


def _call(word: str) -> tuple[str, str | None]:
    """``remove(A;B)`` -> ``("remove", "A;B")``."""
    match = _ITEM.match(word)
    if match is None:
        raise StarterError(f"{word!r} is not written as name(A;B)")
    return match["head"].strip(), match["inside"]


def _name(text: str, what: str) -> str:
    """A checked name; its first letter is made a capital, as the ancestor does."""
    name = text[:1].upper() + text[1:]
    if problem := names.class_name(name, what):
        raise StarterError(problem)
    return name


def _targets(inside: str, item: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for word in re.split(r"[;,]", inside):
        text = word.strip()
        group = text.startswith(("$", "_"))
        name = ("$" if group else "") + _name(text[1:] if group else text, "group" if group else "state")
        if name in found:
            raise StarterError(f"{item!r}: {name} is given twice")
        found[name] = None
    return tuple(found)


def starter(
    machine: str,
    states: Sequence[Starting],
    groups: Sequence[Group] = (),
    extends: Sequence[str] = (),
    inherited: Collection[str] = (),
) -> str:
    """The YAML. States among *inherited* are overlays: they keep the doc that they have.

    Raises:
        StarterError: *machine* is no name, or a parent no path.
    """
    if problem := names.class_name(machine, "machine"):
        raise StarterError(problem)
    lines = [f"machine: {machine}", "doc:  # one sentence: what the machine is for"]
    if bad := [parent for parent in extends if not re.fullmatch(r"[A-Za-z0-9_./-]+", parent)]:
        raise StarterError(f"parent {bad[0]!r} is no path of a schema, such as basic or node/worker")
    if extends:
        lines.append(f"extends: [{', '.join(extends)}]")
    if groups:
        lines.append("groups:")
        lines += [f"  {g.name}: [{', '.join(g.members)}]" for g in groups]
    lines.append("states:")
    for state in states:
        body = [] if state.name in inherited else ["    doc:  # what is true while it is active"]
        body += [f"    {flag}: true" for flag in _FLAGS if flag in state.flags]
        body += [f"    {r}: [{', '.join(state.relations[r])}]" for r in RELATIONS if r in state.relations]
        lines += [f"  {state.name}:", *body] if body else [f"  {state.name}: {{}}"]
    return "\n".join(lines) + "\n"
