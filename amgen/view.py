"""Model to a flat view of one module: every decision about layout is made here, none in templates.

All text in a view is either made of checked names and fixed words, or a literal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from amgen import arg_types, names
from amgen.check_types import Types
from amgen.model import RELATIONS, ArgDoc, GroupModel, SchemaModel, StateModel, TypeDoc
from asyncmachine.schema import ABI, Invariant, Masks, Schema, State, snake_case

__all__ = [
    "ArgView",
    "ArgsView",
    "EnumView",
    "ModuleView",
    "StateView",
    "build",
    "explain",
    "module_name",
]

WIDTH = 110
_DECODER = re.compile(r"decode_[a-z]+")


@dataclass(frozen=True, slots=True)
class ArgView:
    """One arg: ``field`` is its declaration in a dataclass, ``parameter`` in a call of ``add``."""

    name: str
    field: str
    parameter: str
    optional: str
    doc: str


@dataclass(frozen=True, slots=True)
class ArgsView:
    """The args of one state, or a record of no state; *options* are those of its dataclass."""

    state: str
    class_name: str
    base: str
    options: str
    doc: str
    args: tuple[ArgView, ...]
    decoders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EnumView:
    """One enum; *members* are constants with their docs."""

    class_name: str
    doc: str
    members: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class StateView:
    """One state: its constant, the lines of its entry in the schema, its handlers."""

    name: str
    doc: str
    constant: tuple[str, ...]
    lines: tuple[str, ...]
    handlers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModuleView:
    """All a template needs."""

    abi: int
    machine: str
    upper: str
    snake: str
    doc: str
    imports: tuple[str, ...]
    typing: tuple[str, ...]
    exports: tuple[str, ...]
    states: tuple[StateView, ...]
    groups: tuple[str, ...]
    group_lines: tuple[str, ...]
    roles: str
    invariants: tuple[str, ...]
    types: tuple[EnumView | ArgsView, ...]
    stdlib: tuple[str, ...]
    args: tuple[ArgsView, ...]
    plain: tuple[str, ...]
    masks: tuple[str, ...]
    digest: str


def module_name(machine: str) -> str:
    """Name of the module of a machine."""
    return snake_case(machine)


def build(model: SchemaModel, schema: Schema) -> ModuleView:
    """The view of one module; *schema* is the value it will hold, see ``check.build``."""
    machine = model.name
    upper = module_name(machine).upper()
    declared = Types(model.types)
    args = tuple(_args(model.states[name], declared) for name in schema.names if model.states[name].args)
    types = tuple(_type(one, declared) for one in declared.ordered)
    needed = {a.name.text for s in model.states.values() for a in s.args if not a.has_default}
    required = {
        n for n, s in model.states.items() if any(a.name.text in needed and not a.has_default for a in s.args)
    }
    typed = (*args, *(t for t in types if isinstance(t, ArgsView)))
    decoders = {word for a in typed for line in a.decoders for word in _DECODER.findall(line)}
    return ModuleView(
        abi=ABI,
        machine=machine,
        upper=upper,
        snake=module_name(machine),
        doc=names.docstring(model.doc or f"Machine {machine}.", 0, WIDTH - len(machine)),
        imports=_sorted(
            *_IMPORTS,
            *(["Decoder"] if typed else []),
            *(["Invariant"] if schema.invariants else []),
            *(["Record"] if len(typed) > len(args) else []),
            *decoders,
        ),
        typing=_sorted(*_TYPING, *(["ClassVar"] if typed else []), *(["overload"] if args else [])),
        exports=_sorted(
            *(f"{machine}{suffix}" for suffix in ("Groups", "Handlers", "Machine", "State", "States")),
            *(a.class_name for a in (*args, *types)),
            f"{upper}_SCHEMA",
            f"{module_name(machine)}_machine",
        ),
        states=tuple(
            _state(name, schema.states[name], bool(model.states[name].args)) for name in schema.names
        ),
        groups=tuple(line for g in model.groups.values() for line in _group(g)),
        group_lines=tuple(
            line
            for g, members in schema.groups.items()
            for line in _call(f"{names.literal(g)}: ", members, 8, ",")
        ),
        roles="\n".join(_call("roles=", schema.roles, 4, ",")),
        invariants=tuple(_invariants(schema.invariants)),
        types=types,
        stdlib=tuple(_stdlib(model, typed)),
        args=args,
        plain=tuple(names.literal(n) for n in schema.names if n not in required),
        masks=tuple(_masks(schema.masks)),
        digest=schema.digest,
    )


_IMPORTS = (
    *(
        "Args",
        "ClockLike",
        "Event",
        "Facade",
        "Masks",
        "Precomputed",
        "ResultLike",
        "Schema",
        "State",
        "check_facade",
        "require_abi",
    ),
)
_TYPING = ("Any", "Final", "Literal", "Protocol", "TYPE_CHECKING", "TypeAlias", "cast")


def _import_order(name: str) -> tuple[int, str]:
    """Constants, classes, functions: the order of ruff's isort and of RUF022."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2, name)


def _sorted(*found: str) -> tuple[str, ...]:
    return tuple(sorted(found, key=_import_order))


def _stdlib(model: SchemaModel, typed: Sequence[ArgsView]) -> Iterator[str]:
    """Imports of the standard library, in the order of ruff's isort."""
    mapping = ", Mapping" if typed else ""
    yield f"from collections.abc import Awaitable{mapping}, Sequence"
    yield "from contextlib import AbstractContextManager"
    if typed:
        yield "from dataclasses import dataclass"
    if any("decode_datetime" in line for a in typed for line in a.decoders):
        yield "from datetime import datetime"
    if any(t.kind == "enum" for t in model.types.values()):
        yield "from enum import StrEnum"


def _tuple(items: Sequence[str]) -> str:
    inner = ", ".join(names.literal(i) for i in items)
    return f"({inner},)" if len(items) == 1 else f"({inner})"


def _call(prefix: str, items: Sequence[str], indent: int, end: str) -> list[str]:
    """``prefix(items)end`` on one line when it fits, else one item a line."""
    pad = " " * indent
    line = f"{pad}{prefix}{_tuple(items)}{end}"
    if len(line) <= WIDTH:
        return [line]
    return [f"{pad}{prefix}(", *(f"{pad}    {names.literal(i)}," for i in items), f"{pad}){end}"]


def _group(group: GroupModel) -> list[str]:
    """The constant of a group, and what it is for."""
    lines = _call(f"{group.name}: Final = ", [m.text for m in group.members], 4, "")
    return [*lines, f'    """{names.docstring(group.doc, 4)}"""'] if group.doc else lines


def _invariants(invariants: Sequence[Invariant]) -> list[str]:
    """The argument ``invariants=``; nothing when there are none."""
    lines = [line for i in invariants for line in _invariant(i)]
    if len(lines) == 1 and len(one := f"    invariants=({lines[0].strip()}),") <= WIDTH:
        return [one]
    return ["    invariants=(", *lines, "    ),"] if lines else []


def _invariant(invariant: Invariant) -> list[str]:
    """``Invariant("never", ("A", "B")),`` in the tuple of invariants."""
    fields = [names.literal(invariant.kind), _tuple(invariant.when)]
    if invariant.then:
        fields.append(_tuple(invariant.then))
    one = f"        Invariant({', '.join(fields)}),"
    if not invariant.doc and len(one) <= WIDTH:
        return [one]
    lines = ["        Invariant(", f"            {fields[0]},"]
    for items in (invariant.when, invariant.then):
        lines += _call("", items, 12, ",") if items else []
    if invariant.doc:
        lines += _doc(invariant.doc)
    return [*lines, "        ),"]


def _doc(doc: str) -> list[str]:
    """``doc="...",`` at the depth of the fields of a state."""
    one = f"            doc={names.literal(doc)},"
    if len(one) <= WIDTH:
        return [one]
    lines = names.text_lines(doc, WIDTH - 16)
    return ["            doc=(", *(f"                {line}" for line in lines), "            ),"]


def _state(name: str, state: State, has_args: bool) -> StateView:
    doc = names.docstring(state.doc or "Undocumented.", 4)
    handlers = tuple(_handlers(snake_case(name), f"{name}Args" if has_args else "Args"))
    constant = [f'    {name}: Final = "{name}"']
    if len(constant[0]) > WIDTH:
        constant = [f"    {name}: Final = (", f'        "{name}"', "    )"]
    return StateView(name, doc, tuple(constant), tuple(_entry(name, state, has_args)), handlers)


def _handlers(snake: str, event: str) -> list[str]:
    lines: list[str] = []
    results = {
        "enter": "bool | None",
        "exit": "bool | None",
        "state": "Awaitable[None] | None",
        "end": "Awaitable[None] | None",
    }
    for suffix, result in results.items():
        line = f"        def {snake}_{suffix}(self, event: Event[{event}], /) -> {result}: ..."
        if len(line) <= WIDTH:
            lines.append(line)
        else:
            lines += [
                f"        def {snake}_{suffix}(",
                "            self,",
                f"            event: Event[{event}],",
            ]
            lines += ["            /,", f"        ) -> {result}: ..."]
    return lines


def _entry(name: str, state: State, has_args: bool) -> list[str]:
    """``"Foo": State(...),`` in the mapping of states."""
    pad = " " * 12
    fields: list[str] = []
    fields += [f"{pad}{flag}=True," for flag, on in (("auto", state.auto), ("multi", state.multi)) if on]
    for relation in ("require", "add", "remove", "after", "tags"):
        if items := getattr(state, relation):
            fields += _call(f"{relation}=", items, 12, ",")
    if state.doc:
        fields += _doc(state.doc)
    if has_args:
        fields.append(f"{pad}args={name}Args,")
    if state.rpc:
        roles = [f"{names.literal(role)}: {_tuple(operations)}" for role, operations in state.rpc.items()]
        one = f"{pad}rpc={{{', '.join(roles)}}},"
        fields += (
            [one] if len(one) <= WIDTH else [f"{pad}rpc={{", *(f"{pad}    {r}," for r in roles), f"{pad}}},"]
        )
    if state.scope is not None:
        fields.append(f"{pad}scope={names.literal(state.scope)},")
    if state.limit is not None:
        fields.append(f"{pad}limit={state.limit!r},")
    if state.overflow != "error":
        fields.append(f"{pad}overflow={names.literal(state.overflow)},")
    if state.timeout is not None:
        fields.append(f"{pad}timeout={state.timeout!r},")
    head = f"        {names.literal(name)}: State("
    return [f"{head}),"] if not fields else [head, *fields, "        ),"]


def _args(state: StateModel, types: Types) -> ArgsView:
    doc = names.docstring(f"Args of {state.name}. {state.doc}".rstrip(), 4)
    return _fields(ArgsView(state.name, f"{state.name}Args", "Args", "", doc, (), ()), state.args, types)


def _type(declared: TypeDoc, types: Types) -> EnumView | ArgsView:
    name = declared.name.text
    doc = names.docstring(declared.doc or f"{declared.kind.capitalize()} {name}.", 4)
    if declared.kind == "record":
        return _fields(ArgsView("", name, "Record", ", eq=False", doc, (), ()), declared.fields, types)
    members = tuple(
        (
            f"{names.member_name(value)} = {names.literal(value)}",
            names.docstring(text, 4) if text else "",
        )
        for value, text in declared.values
    )
    return EnumView(name, doc, members)


def _fields(view: ArgsView, args: Sequence[ArgDoc], types: Types) -> ArgsView:
    decoders = tuple(
        line
        for a in args
        if a.type
        for line in _nested(f"{names.literal(a.name.text)}: ", arg_types.decoder(a.type, types.kinds), 8)
    )
    return replace(view, args=tuple(_arg(a) for a in args), decoders=decoders)


def _nested(prefix: str, call: str, indent: int, end: str = ",") -> list[str]:
    """``prefix f(g(x)),``, broken at parentheses where it does not fit on a line."""
    pad = " " * indent
    head, bracket, rest = call.partition("(")
    if len(line := f"{pad}{prefix}{call}{end}") <= WIDTH or not bracket:
        return [line]
    return [f"{pad}{prefix}{head}(", *_nested("", rest[:-1], indent + 4, ""), f"{pad}){end}"]


def _arg(arg: ArgDoc) -> ArgView:
    name = arg.name.text
    default = ""
    if arg.has_default and arg.type and arg.type.base.kind == "named" and arg.default is not None:
        default = f" = {arg.type.base.name}.{names.member_name(str(arg.default))}"
    elif arg.has_default:
        default = f" = {names.literal(arg.default)}"
    doc = arg.doc
    if arg.local:
        doc = f"{doc} ({arg.local}, never sent to a peer)".lstrip()
    return ArgView(
        name=name,
        field=f"{name}: {arg.annotation}{default}",
        parameter=f"{name}: {arg.annotation}{default}",
        optional=f"{name}: {arg.annotation} = ...",
        doc=names.docstring(doc, 4) if doc else "",
    )


def _masks(masks: Masks) -> list[str]:
    """The keyword arguments of ``Masks``, many numbers a line."""
    lines: list[str] = []
    for table in ("require", "add", "remove"):
        lines += _table(table, [f"{mask:#x}" for mask in getattr(masks, table)])
    lines += [f"    auto={masks.auto:#x},", f"    multi={masks.multi:#x},"]
    return lines + _table("rank", [str(rank) for rank in masks.rank])


def _table(name: str, numbers: Sequence[str]) -> list[str]:
    lines = [f"    {name}=("]
    row = "       "
    for number in numbers:
        if len(row) + len(number) + 2 > WIDTH:
            lines.append(row)
            row = "       "
        row += f" {number},"
    return [*lines, row, "    ),"]


# ---------------------------------------------------------------------------------------------
# Explanations


def explain(model: SchemaModel, state: str) -> list[tuple[str, str]]:
    """Lines about one state, each with the place that says so ("" when none does)."""
    one = model.states[state]
    flags = "".join(f", {flag}" for flag, on in (("auto", one.auto), ("multi", one.multi)) if on)
    lines = [(f"{model.name}.{state}: index {list(model.states).index(state)}{flags}", str(one.span))]
    if one.doc:
        lines.append((f"  {one.doc}", ""))
    for relation in RELATIONS:
        lines += [
            (f"  {relation} {i.target}" + (f" (from ${i.via})" if i.via else ""), str(i.span))
            for i in one.relations.get(relation, ())
        ]
    passive = {"require": "required by", "add": "added by", "remove": "removed by", "after": "followed by"}
    for relation in RELATIONS:
        for other in model.states.values():
            lines += [
                (f"  {passive[relation]} {other.name}", str(i.span))
                for i in other.relations.get(relation, ())
                if i.target == state and other.name != state
            ]
    lines += [(f"  arg {a.name.text}: {a.annotation}", str(a.name.span)) for a in one.args]
    lines += [(f"  role {role} may {', '.join(operations)}", "") for role, operations in one.roles.items()]
    lines += [(f"  may touch {n.text}: {reason}", str(n.span)) for n, reason in one.acl_override.items()]
    for invariant in model.invariants:
        named = next((n for n in (*invariant.when, *invariant.then) if n.text == state), None)
        if named:
            lines.append((f"  invariant {invariant.value()}", str(named.span)))
    holding = [g for g in model.groups.values() if any(m.text == state for m in g.members)]
    return lines + [(f"  in group {g.name}", str(g.span)) for g in holding]
