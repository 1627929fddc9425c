"""What the types of a flat model mean: that they exist, end somewhere, and have fitting defaults.

Also what they are on the wire, which two peers must agree on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from amgen.arg_types import MAX_TYPE_DEPTH, WORDS, TypeExpr, named
from amgen.errors import Related, Report
from amgen.model import ArgDoc, SchemaModel, TypeDoc
from amgen.names import member_name
from asyncmachine.errors import did_you_mean
from asyncmachine.schema import signature, wire_enum, wire_record

__all__ = ["Types", "run"]

_SUFFIXES = ("States", "State", "Groups", "Handlers", "Machine")


class Types:
    """The declared types of one model, which must have passed :func:`run`.

    Attributes:
        ordered: each type after those that it names.
        kinds: name -> ``enum`` or ``record``.
        wires: name -> what it is on the wire.
    """

    def __init__(self, types: Mapping[str, TypeDoc]) -> None:
        self.ordered = tuple(_ordered(types))
        self.kinds: Mapping[str, str] = {t.name.text: t.kind for t in self.ordered}
        self.wires: dict[str, str] = {}
        for declared in self.ordered:
            self.wires[declared.name.text] = (
                wire_enum(value for value, _ in declared.values)
                if declared.kind == "enum"
                else wire_record(self.signature(declared.fields))
            )

    def signature(self, args: tuple[ArgDoc, ...]) -> str:
        """What a peer must agree on, as ``asyncmachine.schema.Args.signature`` says it at run time."""
        return signature((a.name.text, self.wire(a.type), a.has_default) for a in args if a.type)

    def wire(self, expr: TypeExpr) -> str:
        """One type on the wire, as the decoder says it."""
        if expr.item is not None:
            inner = self.wire(expr.item)
            return f"{inner}?" if expr.kind == "optional" else f"{expr.kind}[{inner}]"
        if expr.kind == "simple":
            return expr.name
        return self.wires[expr.name]


def _ordered(types: Mapping[str, TypeDoc]) -> Iterator[TypeDoc]:
    done: set[str] = set()

    def take(name: str) -> Iterator[TypeDoc]:
        if name not in done:
            done.add(name)
            for other in (n for field in types[name].fields for n in named(field.type)):
                yield from take(other)
            yield types[name]

    for name in types:
        yield from take(name)


def run(model: SchemaModel, report: Report) -> bool:
    """Report what is wrong with the types of *model*; whether :class:`Types` can be made of them."""
    before = report.errors
    _names(model, report)
    for declared in model.types.values():
        _members(declared, report)
        for field in declared.fields:
            _known(field, model, report)
    for state in model.states.values():
        for arg in state.args:
            _known(arg, model, report)
    if report.errors == before:
        _ends(model, report)
    if report.errors == before:
        _unused(model, report)
    return report.errors == before


def _names(model: SchemaModel, report: Report) -> None:
    """A type must not be called like what the module defines anyway."""
    for name, declared in model.types.items():
        if name.startswith(model.name) and name[len(model.name) :] in _SUFFIXES:
            text = f"type name {name!r} is taken: the module of {model.name} has a class of that name"
            report.error(
                "AM104", text, declared.name.span, Related(model.span, f"{model.name} is declared here")
            )


def _members(declared: TypeDoc, report: Report) -> None:
    """Values of an enum give names to constants, which must differ."""
    seen: dict[str, str] = {}
    for value, _ in declared.values:
        member = member_name(value)
        if (twin := seen.setdefault(member, value)) != value:
            text = f"values {value!r} and {twin!r} would share the name {member}; change one"
            report.error(
                "AM106", text, declared.places[value], Related(declared.places[twin], "the other one")
            )


def _known(arg: ArgDoc, model: SchemaModel, report: Report) -> None:
    unknown = [name for name in named(arg.type) if name not in model.types]
    span = arg.places.get("type", arg.name.span)
    for name in unknown:
        hint = did_you_mean(name, [*model.types, *WORDS]) or "; declare it under `types:`"
        report.error("AM210", f"arg {arg.name.text}: there is no type {name!r}{hint}", span)
    if arg.type is None or unknown or arg.type.base.kind != "named" or not arg.has_default:
        return
    declared = model.types[arg.type.base.name]
    values = [value for value, _ in declared.values]
    if arg.default is None or arg.default in values:
        return
    name = declared.name.text
    place = Related(declared.name.span, f"{name} is declared here")
    if declared.kind == "record":
        text = f"arg {arg.name.text}: a record has no default; write `{name} | None` and `default: null`"
    else:
        hint = did_you_mean(str(arg.default), values) or f"; they are {', '.join(values)}"
        text = f"arg {arg.name.text}: {arg.default!r} is not a value of {name}{hint}"
    report.error("AM106", text, arg.places.get("default", span), place)


def _ends(model: SchemaModel, report: Report) -> None:
    """Records do not contain themselves, and are not nested too deep."""
    depths: dict[str, int] = {}

    def depth(name: str, path: tuple[str, ...]) -> int:
        if name in path:
            circle = " -> ".join([*path[path.index(name) :], name])
            span = model.types[name].name.span
            report.error("AM211", f"record {name} contains itself: {circle}; pass an id instead", span)
            return 0
        if len(path) > MAX_TYPE_DEPTH:
            return 1  # deep enough to be reported for the one it began with
        if name not in depths:
            depths[name] = max(
                (
                    _nested(f.type, lambda other: depth(other, (*path, name)))
                    for f in model.types[name].fields
                ),
                default=0,
            )
            if depths[name] > MAX_TYPE_DEPTH:
                text = f"type {name} is nested more than {MAX_TYPE_DEPTH} deep"
                report.error("AM105", text, model.types[name].name.span)
        return depths[name]

    for name in model.types:
        depth(name, ())
    for state in model.states.values():
        for arg in state.args:
            if _nested(arg.type, lambda other: depths[other]) > MAX_TYPE_DEPTH:
                text = f"arg {arg.name.text}: types are nested more than {MAX_TYPE_DEPTH} deep"
                report.error("AM105", text, arg.places.get("type", arg.name.span))


def _nested(expr: TypeExpr | None, depth: Callable[[str], int]) -> int:
    """Levels of lists, maps and records."""
    levels = 0
    while expr is not None:
        if expr.kind in ("list", "dict"):
            levels += 1
        elif expr.kind == "named":
            levels += depth(expr.name) + 1
        expr = expr.item
    return levels


def _unused(model: SchemaModel, report: Report) -> None:
    used = {name for used_by in _users(model) for name in named(used_by.type)}
    for name, declared in model.types.items():
        if name not in used and declared.name.span.path == model.path:
            report.warn("AM319", f"type {name} is not used by any arg or record", declared.name.span)


def _users(model: SchemaModel) -> Iterator[ArgDoc]:
    for state in model.states.values():
        yield from state.args
    for declared in model.types.values():
        yield from declared.fields
