"""Whatever stands in a text field, importing the result runs none of it and gives it back exactly."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from amgen import compile_tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def schema(text: str) -> dict[str, Any]:
    """A valid schema with *text* in every place that takes text."""
    args = {
        "text": {"type": "str", "default": text, "doc": text},
        "maybe": {"type": "str | None", "default": text, "doc": text},
        "obj": {"local": "a.B", "default": None, "doc": text},
        "pen": {"type": "Pen | None", "default": None, "doc": text},
        "color": {"type": "Color", "default": "red", "doc": text},
    }
    fields = {"name": {"type": "str", "default": text, "doc": text}}
    return {
        "machine": "Victim",
        "doc": text,
        "roles": ["guest", "admin"],
        "types": {"Pen": {"doc": text, "fields": fields}, "Color": {"doc": text, "enum": {"red": text}}},
        "groups": {"All": {"doc": text, "states": ["Foo"]}},
        "states": {
            "Foo": {
                "doc": text,
                "multi": True,
                "add": ["Bar"],
                "args": args,
                "rpc": {"guest": ["add"]},
                "acl_override": {"Bar": text if text.strip() else "a reason must say something"},
            },
            "Bar": {"doc": text, "rpc": {"admin": ["add"]}},
        },
        "invariants": [
            {"never": ["Foo", "Exception"], "doc": text},
            {"implies": {"if": ["Foo"], "then": ["Bar"]}, "doc": text},
        ],
    }


PROGRAM = """
import importlib, inspect, json, pathlib, sys, typing
sys.path.insert(0, ".")
found = []
for name in json.loads(sys.argv[1]):
    module = importlib.import_module(f"out.{name}")
    schema = module.VICTIM_SCHEMA
    for value in [module, *vars(module).values()]:
        inspect.getdoc(value)
        if isinstance(value, type) and value.__module__ == module.__name__:
            typing.get_type_hints(value)
    args = schema.states["Foo"].args.of({})
    docs = [state.doc for state in (schema.states["Foo"], schema.states["Bar"])]
    docs += [invariant.doc for invariant in schema.invariants]
    found.append([*docs, args.text, args.maybe, module.Pen().name])
print(json.dumps(found))
"""


def test_no_text_is_ever_run(tmp_path: Path, to_yaml: Callable[[object], bytes], payloads: list[str]) -> None:
    package = tmp_path / "out"
    package.mkdir()
    (package / "__init__.py").write_text("", "utf-8")
    names: list[str] = []
    for number, payload in enumerate(payloads):
        outcome = compile_tree({"victim.yaml": to_yaml(schema(payload))})
        assert not outcome.failed, (payload, outcome.diagnostics)
        text = outcome.files["victim.py"]
        assert text.isascii(), payload
        assert "CANARY" not in text.split('"""', 1)[0]
        names.append(f"m{number}")
        (package / f"m{number}.py").write_text(text, "ascii")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, json.dumps(names)],
        cwd=tmp_path,
        capture_output=True,
        timeout=50,
        check=True,
    )
    assert json.loads(done.stdout) == [[p] * 7 for p in payloads]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


NAMES: dict[str, Callable[[str], dict[str, Any]]] = {
    "machine": lambda t: {"machine": t},
    "parent": lambda t: {"extends": [t]},
    "role": lambda t: {"roles": [t]},
    "operation": lambda t: {"roles": {"guest": [t]}},
    "group": lambda t: {"groups": {t: []}},
    "member": lambda t: {"groups": {"All": [t]}},
    "state": lambda t: {"states": {t: {"doc": "d"}}},
    "type": lambda t: {"types": {t: {"enum": ["a"]}}},
    "value": lambda t: {"types": {"T": {"enum": [t]}}},
    "field": lambda t: {"types": {"T": {"fields": {t: "int"}}}},
    "field type": lambda t: {"types": {"T": {"fields": {"x": t}}}},
    "invariant": lambda t: {"invariants": [{"never": [t]}]},
    "version": lambda t: {"version": t},
    "key": lambda t: {t: "x"},
    **{
        key: lambda t, key=key: {"states": {"Foo": {"doc": "d", key: t}}}  # type: ignore[misc]
        for key in ("auto", "multi", "limit", "overflow", "timeout", "scope", "override")
    },
    **{
        key: lambda t, key=key: {"states": {"Foo": {"doc": "d", key: [t]}}}  # type: ignore[misc]
        for key in ("require", "add", "remove", "after", "tags")
    },
    "drop": lambda t: {"states": {"Foo": {"doc": "d", "drop": {"add": [t]}}}},
    "arg": lambda t: {"states": {"Foo": {"doc": "d", "args": {t: "int"}}}},
    "arg type": lambda t: {"states": {"Foo": {"doc": "d", "args": {"x": t}}}},
    "local": lambda t: {"states": {"Foo": {"doc": "d", "args": {"x": {"local": t}}}}},
    "default": lambda t: {"states": {"Foo": {"doc": "d", "args": {"x": {"type": "int", "default": t}}}}},
    "rpc": lambda t: {"states": {"Foo": {"doc": "d", "rpc": {t: ["add"]}}}},
    "reason for": lambda t: {"states": {"Foo": {"doc": "d", "acl_override": {t: "r"}}}},
}


@pytest.mark.parametrize("place", NAMES)
def test_where_a_name_should_be_no_text_is_taken(
    place: str, to_yaml: Callable[[object], bytes], payloads: list[str]
) -> None:
    for payload in payloads:
        document = {"machine": "M", "states": {"Foo": {"doc": "d"}}, **NAMES[place](payload)}
        outcome = compile_tree({"m.yaml": to_yaml(document)})
        assert outcome.failed, payload
        assert outcome.files == {}


def test_the_canary_would_sing(tmp_path: Path, bomb: str) -> None:
    """The payload does work where text is run, so that the test above can fail."""
    subprocess.run([sys.executable, "-c", bomb], cwd=tmp_path, timeout=50, check=True)
    assert (tmp_path / "CANARY").exists()
