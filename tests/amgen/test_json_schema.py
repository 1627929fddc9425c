"""The JSON Schema for editors accepts what the parser accepts, and nothing else."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from amgen import json_schema, parse, parse_args
from amgen.errors import Report
from amgen.parse import document
from amgen.source import load

REPOSITORY = Path(__file__).parents[2]


def _pattern(
    validator: Any, pattern: str, instance: Any, schema: Any
) -> Iterator[jsonschema.ValidationError]:
    """As JSON Schema means it: ``$`` is the end, where Python's also matches before a last newline."""
    if isinstance(instance, str) and not re.search(
        pattern.replace("$", r"\Z").replace(r"\\Z", r"\$"), instance
    ):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


Validator = jsonschema.validators.extend(jsonschema.Draft7Validator, {"pattern": _pattern})
EDITOR = Validator(json_schema.document())


def read(text: bytes) -> list[str]:
    """What the parser says."""
    report = Report()
    document(load(text.decode(), "m.yaml", report), "m.yaml", report)
    return [f"{d.span}: {d.code}: {d.message}" for d in report.sorted()]


# -- documents near the grammar -----------------------------------------------------------------

NAMES = st.sampled_from(["Foo", "Bar", "HTTPGate", "On", "A1"])
ROLES = st.sampled_from(["client", "admin", "a_1"])
TYPES = st.sampled_from(
    [
        *("bool", "int", " float | None ", "str", "str|None", "bytes", "datetime | None", "Level"),
        *("Level | None", "list[int]", "dict[str, Foo | None] | None", "dict[ str ,list[bytes]]"),
    ]
)
WRONG: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, False, 0, 1, -1, 5.0, 1.5, 2**63, -(2**63) - 1, 1e10, 1e300, 10**309, 1e-300, ""),
        *(" ", "\n", "x", "Foo", "Foo\n", "foo", "FooState", "AnyFoo", "ValueError", "$Foo", "$Any", "$"),
        *(
            "Event",
            "FooArgs",
            "Class",
            "client",
            "class",
            "self",
            "datetime",
            "int",
            "list[int",
            "int | None",
        ),
        *("None", "add", "drop", "true", "1", "../up", "/etc/passwd", "a/b", "a.B", "os; x", "*"),
        *([], ["Foo"], ["Foo", "Foo"], ["foo"], [1], [None], [True], [[]], {}, {"Foo": None}, {"Foo": {}}),
        *({"x": "int"}, {"doc": "d"}, {"type": "int"}, {"enum": ["a"]}, {"fields": {"x": "int"}}),
        {"never": ["Foo"]},
    ]
).map(copy.deepcopy)
KEYS = st.sampled_from(
    [
        *dict.fromkeys((*parse.ROOT_KEYS, *parse.STATE_KEYS, *parse_args.ARG_KEYS, *parse_args.TYPE_KEYS)),
        *("never", "if", "then", "Foo", "foo", "Event", "self", "requre", "x y"),
    ]
)
TEXTS = st.sampled_from(["text", "", None, 5, True, 1.5])
some = st.lists(NAMES, unique=True, max_size=2)
references = st.lists(NAMES | NAMES.map("${}".format), unique=True, max_size=3)
operations = st.lists(st.sampled_from(["add", "remove", "read"]), unique=True, max_size=3)


def fixed(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=values)


def args(*, local: bool, least: int = 0) -> st.SearchStrategy[Any]:
    defaults = st.sampled_from([None, True, 0, -3, 2.5, 7.0, "low", "", 2**63 - 1, 2**63, 1e308])
    typed = st.fixed_dictionaries({"type": TYPES}, optional={"doc": TEXTS, "default": defaults})
    forms = TYPES | typed
    if local:
        forms |= st.fixed_dictionaries(
            {"local": st.just("a.B")}, optional={"default": st.none(), "doc": TEXTS}
        )
    return st.dictionaries(st.sampled_from(["x", "y_1", "id"]), forms, min_size=least, max_size=2)


RELATIONS = dict.fromkeys(("require", "add", "remove", "after"), references)
STATES = st.none() | fixed(
    doc=TEXTS,
    auto=st.booleans(),
    multi=st.booleans(),
    **RELATIONS,
    tags=st.lists(st.sampled_from(["a", "b:c"]), unique=True, max_size=2),
    args=args(local=True),
    rpc=st.dictionaries(ROLES, operations, max_size=2),
    acl_override=st.dictionaries(NAMES, st.just("why"), max_size=1),
    scope=NAMES,
    limit=st.sampled_from([1, 7.0, 1_000_000]),
    overflow=st.sampled_from(["drop", "queue", "error"]),
    timeout=st.sampled_from([1, 0.5, 1e9]),
    override=st.booleans(),
    drop=st.none() | fixed(**RELATIONS),
)
together = st.lists(NAMES, unique=True, min_size=1, max_size=2)
INVARIANTS = st.fixed_dictionaries({"never": together}, optional={"doc": TEXTS}) | st.fixed_dictionaries(
    {"implies": st.fixed_dictionaries({"if": together, "then": together})}, optional={"doc": TEXTS}
)
VALUES = st.sampled_from(["low", "text/plain", "A"])
DECLARED = st.fixed_dictionaries(
    {
        "enum": st.lists(VALUES, unique=True, min_size=1, max_size=3)
        | st.dictionaries(VALUES, TEXTS, min_size=1, max_size=3)
    },
    optional={"doc": TEXTS},
) | st.fixed_dictionaries({"fields": args(local=False, least=1)}, optional={"doc": TEXTS})
DOCUMENTS = st.fixed_dictionaries(
    {"machine": NAMES, "states": st.none() | st.dictionaries(NAMES, STATES, max_size=3)},
    optional={
        "version": st.just(1),
        "doc": TEXTS,
        "extends": st.lists(st.sampled_from(["basic", "../a/b", "./x"]), unique=True, max_size=3),
        "roles": st.lists(ROLES, unique=True, max_size=3) | st.dictionaries(ROLES, operations, max_size=3),
        "types": st.none() | st.dictionaries(st.sampled_from(["Level", "Place"]), DECLARED, max_size=2),
        "groups": st.none()
        | st.dictionaries(NAMES, some | st.fixed_dictionaries({"states": some}), max_size=2),
        "invariants": st.lists(INVARIANTS, max_size=2),
    },
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in *value* with every key or index of it."""
    if isinstance(value, dict | list):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield value, key
            yield from places(value[key])


@st.composite
def broken(draw: st.DrawFn) -> Any:
    """A document with some of its parts exchanged, renamed, doubled or taken away."""
    made = json.loads(json.dumps(draw(DOCUMENTS)))
    for _ in range(draw(st.integers(0, 3))):
        found = list(places(made))
        if not found:
            break
        container, key = draw(st.sampled_from(found))
        change = draw(st.sampled_from(["replace", "replace", "rename", "add", "remove"]))
        if change == "replace":
            container[key] = draw(WRONG)
        elif change == "remove":
            del container[key]
        elif change == "rename" and isinstance(container, dict):
            container[draw(KEYS)] = container.pop(key)
        elif isinstance(container, dict):
            container[draw(KEYS)] = draw(WRONG)
        else:
            container.append(draw(WRONG))
    return made


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(made=broken())
@example(made={"machine": "Class", "states": {}})
@example(made={"machine": "CLASS", "states": {}})
@example(
    made={"machine": "Foo", "states": {"Foo": {"args": {"x": {"type": "list[int | None]", "default": None}}}}}
)
@example(made={"machine": "Foo", "states": {"Foo": {"args": {"x": {"type": "None", "default": None}}}}})
@example(made={"machine": "Foo", "states": {"Foo": {"limit": 5.0}}})
@example(made={"machine": "Foo", "states": {"Foo\n": {}}})
@example(made={"machine": "Foo", "states": {}, "extends": [10**309]})
@example(made={"machine": "Foo", "states": {}, "types": {"Level": {"enum": {"low": None, "LOW": None}}}})
def test_editors_and_the_parser_agree(made: Any, to_yaml: Callable[[Any], bytes]) -> None:
    said = read(to_yaml(made))
    wrong = [error.message for error in EDITOR.iter_errors(made)]
    assert bool(said) == bool(wrong), (said, wrong)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(made=DOCUMENTS)
def test_most_documents_of_the_property_are_right_before_they_are_broken(
    made: Any, to_yaml: Callable[[Any], bytes]
) -> None:
    """Only defaults are drawn without regard to their type, so all else must be accepted by both."""
    said = [line for line in read(to_yaml(made)) if ": default " not in line]
    assert said == []


def test_it_is_a_json_schema() -> None:
    jsonschema.Draft7Validator.check_schema(json_schema.document())
    assert json.loads(json_schema.text()) == json_schema.document()
    assert json_schema.text().isascii()


def test_every_key_of_the_grammar_is_described() -> None:
    root = json_schema.document()
    state = root["definitions"]["state"]["properties"]
    assert tuple(root["properties"]) == parse.ROOT_KEYS
    assert set(state) == set(parse.STATE_KEYS)
    assert all(value["description"] for value in (*root["properties"].values(), *state.values()))


@pytest.mark.parametrize("path", sorted((REPOSITORY / "schemas").rglob("*.yaml")), ids=lambda p: p.stem)
def test_the_built_in_schemas_are_accepted(path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    assert [e.message for e in EDITOR.iter_errors(yaml.safe_load(path.read_text("utf-8")))] == []
