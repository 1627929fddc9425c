"""The grammar as a JSON Schema (draft-07), for editors: it accepts what ``amgen.parse`` accepts.

Both are made of the same constants. What needs other files, or other parts of the same one, such as
whether a name exists, is said by the compiler only.
"""

from __future__ import annotations

import json
import keyword
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias, get_args

from amgen import arg_types, names, parse, parse_args
from amgen.model import RELATIONS
from amgen.shapes import MAX_INT
from asyncmachine.schema import Operation, Overflow

__all__ = ["TITLE", "document", "text"]

TITLE: Final = "State schema of asyncmachine"
"""What a file with this JSON Schema is known by."""

Schema: TypeAlias = dict[str, Any]

MAX_FLOAT: Final = 1.7976931348623157e308
_NOTHING: Final[Schema] = {"type": "null"}
_TEXT: Final = ["string", "number", "boolean", "null"]

_DOCS: Final = {
    # keys of a document
    "version": "Version of this grammar. Missing means 1.",
    "machine": "CamelCase name; the module is called by its snake_case.",
    "extends": "Parents, by relative path without .yaml, or built-ins; their states come first.",
    "roles": "Who may touch states from afar; as a mapping: what a role may do where nothing is said.",
    "types": "Enums and records for args.",
    "groups": "Name: states. `$Name` in a relation stands for all of them but the state itself.",
    "states": "Name: state, in index order. `Exception` is in every machine.",
    "invariants": "What must hold whenever the machine is at rest; see `am-gen verify`.",
    # keys of a state
    "auto": "The machine activates it whenever its relations allow.",
    "multi": "Can be called again while it is active.",
    "require": "It is active only while all of these are.",
    "add": "Activating it tries to activate these too.",
    "remove": "While it is active these cannot be; activating it deactivates them.",
    "after": "Its handlers run after those of these states.",
    "tags": "Words for tools.",
    "args": "Arguments of a mutation that adds it: name: type, or a mapping.",
    "rpc": "Role: what it may do over the wire. Nothing is allowed unless it is said.",
    "acl_override": "Protected state: the reason why a role may touch it through the relations of this one.",
    "scope": "For a multi state: the state whose end cancels its async handlers.",
    "limit": "Most async handlers at a time.",
    "overflow": "What a call above the limit does.",
    "timeout": "Seconds an async handler may take.",
    "override": "Replaces the inherited state instead of adding to it.",
    "drop": "Takes inherited targets of relations away.",
    # others
    "doc": "One sentence.",
    "type": "bool int float str bytes datetime list[T] dict[str, T] T | None, or a name under `types:`.",
    "default": "A plain value; without one the arg is required.",
    "local": "Dotted name of the type of an arg that never leaves the process.",
    "enum": "Values, which are what is sent: a list, or value: doc.",
    "fields": "Fields of a record, typed as args are.",
    "never": "These are never active all together.",
    "implies": "While all states of `if` are active, those of `then` are too.",
    "if": "All of these together.",
    "then": "All of these.",
}


def text() -> str:
    """The JSON Schema as it is written to a file."""
    return json.dumps(document(), indent=2) + "\n"


def document() -> Schema:
    """The JSON Schema as plain values."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": TITLE,
        "description": "One machine, compiled by am-gen to a Python module.",
        **_keys(_ROOT, required=["machine", "states"], nothing=False),
        "definitions": {
            "state": _keys(_STATE),
            "arg": _arg(parse_args.ARG_KEYS),
            "field": _arg(parse_args.FIELD_KEYS),
            "type": _type(),
            "invariant": _invariant(),
            "stateName": _name("state"),
            "groupName": _name("group"),
            "roleName": {"type": "string", "pattern": _whole(names.SNAKE)},
            "argName": {
                "type": "string",
                "pattern": _whole(names.SNAKE),
                "not": {"enum": sorted(names.RESERVED_ARGS)},
            },
            "reference": {"anyOf": [_ref("stateName"), _group_reference()]},
            "references": _list(_ref("reference")),
            "together": _list(_ref("stateName"), minItems=1),
            "operations": _list({"enum": list(get_args(Operation))}),
        },
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def _whole(pattern: str) -> str:
    return f"^{pattern}$"


def _list(item: Schema, **more: int) -> Schema:
    return {"type": "array", "items": item, "uniqueItems": True, **more}


def _any(*choices: Schema) -> Schema:
    return {"anyOf": [*choices]}


def _mapping(names_: Schema, values: Schema) -> Schema:
    """Free keys; nothing at all is an empty mapping."""
    return {"type": ["object", "null"], "propertyNames": names_, "additionalProperties": values}


def _keys(properties: Mapping[str, Schema], required: Iterable[str] = (), *, nothing: bool = True) -> Schema:
    """Fixed keys."""
    described = {
        key: {"description": _DOCS[key], **({"allOf": [value]} if "$ref" in value else value)}
        for key, value in properties.items()
    }
    found: Schema = {
        "type": ["object", "null"] if nothing else "object",
        "properties": described,
        "additionalProperties": False,
    }
    return {**found, "required": [*required]} if required else found


def _name(what: str) -> Schema:
    """A CamelCase name that is not reserved, see ``names.class_name``."""
    found: Schema = {"type": "string", "pattern": _whole(names.CLASS)}
    refused: list[Schema] = [{"enum": sorted(names.RESERVED_CLASSES)}]
    if what == "state":
        refused.append({"pattern": f"({'|'.join(names.HANDLER_SUFFIXES)})$|^Any[A-Z]"})
    if what == "machine":
        words = [k for k in keyword.kwlist if k.islower()]
        refused[0]["enum"] = sorted(
            {*refused[0]["enum"], *(w.capitalize() for w in words), *map(str.upper, words)}
        )
    return {**found, "not": {"anyOf": refused}}


def _group_reference() -> Schema:
    return {
        "type": "string",
        "pattern": f"^\\${names.CLASS}$",
        "not": {"enum": [f"${name}" for name in sorted(names.RESERVED_CLASSES)]},
    }


def _arg(keys: tuple[str, ...]) -> Schema:
    """A type, or a mapping with one; an arg may be local instead, a field of a record may not."""
    of_type: Schema = {"type": "string", "pattern": arg_types.pattern()}
    typed = _keys({k: v for k, v in _ARG.items() if k in keys and k != "local"}, ["type"], nothing=False)
    typed["properties"]["type"] |= of_type
    forms = [of_type, {**typed, "allOf": [*_defaults()]}]
    if "local" in keys:
        properties = {"local": _ARG["local"], "default": _NOTHING, "doc": {"type": _TEXT}}
        forms.append(_keys(properties, ["local"], nothing=False))
    return _any(*forms)


def _defaults() -> Iterable[Schema]:
    """What a default may be, by the type. A default of null needs a type that ends with ``| None``."""
    optional = r" *(\| *None *)?"
    others = []
    for words, values in (
        ("bool", {"type": "boolean"}),
        ("int", {"type": "integer", "minimum": -MAX_INT - 1, "maximum": MAX_INT}),
        ("float", {"type": "number", "minimum": -MAX_FLOAT, "maximum": MAX_FLOAT}),
        (f"str|{names.CLASS}", {"type": ["string", "number", "boolean"]}),
    ):
        matches = _of_type(_whole(f" *({words}){optional}"))
        others.append(matches)
        yield {"if": matches, "then": {"properties": {"default": _any(values, _NOTHING)}}}
    yield {"if": {"not": _any(*others)}, "then": {"properties": {"default": _NOTHING}}}
    yield {
        "if": {"not": _of_type(r"\| *None *$")},
        "then": {"properties": {"default": {"not": _NOTHING}}},
    }


def _of_type(pattern: str) -> Schema:
    return {"properties": {"type": {"pattern": pattern}}}


def _type() -> Schema:
    values: Schema = {"type": "string", "pattern": _whole(names.MEMBER)}
    mapping: Schema = {
        "type": "object",
        "minProperties": 1,
        "propertyNames": values,
        "additionalProperties": {"type": _TEXT},
    }
    fields: Schema = {
        "type": "object",
        "minProperties": 1,
        "propertyNames": _ref("argName"),
        "additionalProperties": _ref("field"),
    }
    found = _keys(
        {"doc": {"type": _TEXT}, "enum": _any(_list(values, minItems=1), mapping), "fields": fields},
        nothing=False,
    )
    return {**found, "oneOf": [{"required": ["enum"]}, {"required": ["fields"]}]}


def _invariant() -> Schema:
    sides = {"if": _ref("together"), "then": _ref("together")}
    found = _keys(
        {
            "never": _ref("together"),
            "implies": _keys(sides, ["if", "then"], nothing=False),
            "doc": {"type": _TEXT},
        },
        nothing=False,
    )
    return {**found, "oneOf": [{"required": ["never"]}, {"required": ["implies"]}]}


_RELATIONS: Final[dict[str, Schema]] = {relation: _ref("references") for relation in RELATIONS}
_ARG: Final[dict[str, Schema]] = {
    "type": {},
    "default": {},
    "doc": {"type": _TEXT},
    "local": {"type": "string", "pattern": _whole(parse_args.LOCAL)},
}
_STATE: Final[dict[str, Schema]] = {
    "doc": {"type": _TEXT},
    "auto": {"type": "boolean"},
    "multi": {"type": "boolean"},
    **_RELATIONS,
    "tags": _list({"type": "string", "pattern": _whole(parse.TAG)}),
    "args": _mapping(_ref("argName"), _ref("arg")),
    "rpc": _mapping(_ref("roleName"), _ref("operations")),
    "acl_override": _mapping(
        _ref("stateName"),
        _any({"type": "string", "pattern": r"[^\s\u0085]"}, {"type": ["number", "boolean"]}),
    ),
    "scope": _ref("stateName"),
    "limit": {"type": "integer", "minimum": 1, "maximum": parse.MAX_LIMIT},
    "overflow": {"enum": list(get_args(Overflow))},
    "timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": parse.MAX_TIMEOUT},
    "override": {"type": "boolean"},
    "drop": _keys(_RELATIONS),
}
_TYPE_NAME: Final[Schema] = {
    "type": "string",
    "pattern": _whole(names.CLASS),
    "not": _any({"enum": sorted(names.RESERVED_TYPES)}, {"pattern": "Args$"}),
}
_GROUP: Final = _keys({"doc": {"type": _TEXT}, "states": _ref("references")}, ["states"], nothing=False)
_ROOT: Final[dict[str, Schema]] = {
    "version": {"type": "integer", "minimum": 1, "maximum": parse.VERSION},
    "machine": _name("machine"),
    "doc": {"type": _TEXT},
    "extends": _list({"type": "string", "pattern": _whole(parse.PARENT)}),
    "roles": _any(
        _list(_ref("roleName")),
        {"type": "object", "propertyNames": _ref("roleName"), "additionalProperties": _ref("operations")},
    ),
    "types": _mapping(_TYPE_NAME, _ref("type")),
    "groups": _mapping(_ref("groupName"), _any(_ref("references"), _GROUP)),
    "states": _mapping(_ref("stateName"), _ref("state")),
    "invariants": {"type": "array", "items": _ref("invariant")},
}
