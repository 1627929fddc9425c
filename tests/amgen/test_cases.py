"""Golden cases: each folder of tests/cases is compiled, and must give what stands in ``expected``.

After an intended change run ``python tests/amgen/test_cases.py`` and read the diff.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import sys
import types
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from amgen import source
from amgen.errors import as_text
from amgen.pipeline import compile_tree
from asyncmachine.machine import Machine
from asyncmachine.schema import Args, Masks, Record, Schema, find_problems, schema_digest, snake_case, to_wire

CASES = Path(__file__).parents[1] / "cases"
BUILTIN = source.read_tree(Path(__file__).parents[2] / "schemas")


def results(folder: Path) -> dict[str, str]:
    """Name of a file in ``expected`` -> its text."""
    outcome = compile_tree(source.read_tree(folder), BUILTIN)
    found = {name: text for name, text in outcome.files.items() if name != "__init__.py"}
    if outcome.diagnostics:
        found["expected.err"] = "\n".join(as_text(d, outcome.texts) for d in outcome.diagnostics) + "\n"
    return found


@pytest.mark.parametrize("name", sorted(p.name for p in CASES.iterdir()))
def test_case(name: str) -> None:
    folder = CASES / name / "expected"
    expected = {p.name: p.read_text("utf-8") for p in sorted(folder.iterdir()) if p.is_file()}
    assert expected, f"run this file to fill {folder}"
    assert results(CASES / name) == expected


# -- the expected modules are imported and used ---------------------------------------------------

MODULES = sorted(CASES.glob("*/expected/*.py"))


@contextmanager
def imported(path: Path) -> Iterator[Any]:
    name = f"case_{path.parents[1].name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[name]


def schema_of(module: Any) -> Schema:
    [found] = [value for name, value in vars(module).items() if name.endswith("_SCHEMA")]
    assert isinstance(found, Schema)
    return found


def each_module(test: Any) -> Any:
    ids = [f"{p.parents[1].name}/{p.stem}" for p in MODULES]
    return pytest.mark.parametrize("path", MODULES, ids=ids)(test)


@each_module
def test_what_the_module_says_is_what_the_runtime_computes(path: Path) -> None:
    with imported(path) as module:
        schema = schema_of(module)
        assert find_problems(schema.states, schema.groups, schema.invariants) == []
        assert schema.masks == Masks.build(schema.states)
        assert schema.digest == schema_digest(schema.states)
        names = getattr(module, f"{schema.name}States")
        assert [n for n in vars(names) if not n.startswith("_")] == list(schema.names)
        groups = getattr(module, f"{schema.name}Groups")
        assert {n: v for n, v in vars(groups).items() if not n.startswith("_")} == schema.groups
        for invariant in schema.invariants:
            assert (schema.names_of(invariant.when_mask), schema.names_of(invariant.then_mask)) == (
                tuple(sorted(invariant.when, key=schema.position)),
                tuple(sorted(invariant.then, key=schema.position)),
            )
        assert sorted(module.__all__) == sorted(set(module.__all__))
        assert all(hasattr(module, name) for name in module.__all__)


@each_module
def test_a_machine_runs_on_it(path: Path) -> None:
    """Every state is added, by a handlers object made of the base class, and checked against the clock."""
    with imported(path) as module:
        schema = schema_of(module)
        base = getattr(module, f"{schema.name}Handlers")
        assert [n for n in vars(base) if not n.startswith("_")] == []
        called: list[str] = []
        handlers = {
            f"{snake_case(name)}_state": lambda self, event, name=name: called.append(name)
            for name in schema.names
        }
        machine = Machine(schema, type("Handlers", (base,), handlers)(), id="case")
        facade = getattr(module, f"{snake_case(schema.name)}_machine")(machine)
        for name, state in schema.states.items():
            args = sample(state.args) if state.args else {}
            result = facade.add(name, **args)
            assert not result.executed or name in called
        assert called


@each_module
def test_args_cross_the_wire(path: Path) -> None:
    with imported(path) as module:
        for state in schema_of(module).states.values():
            if state.args is None:
                continue
            values = sample(state.args)
            remote = {name: value for name, value in values.items() if name in state.args.decoders}
            local = {name: value for name, value in values.items() if name not in remote}
            again = {name: state.args.decoders[name](value, name) for name, value in to_wire(remote).items()}
            assert state.args.of({**again, **local}) == state.args.of(values)
            if not local:
                assert state.args.decode(to_wire(remote)) == state.args.of(values)


def sample(kind: type[Args | Record]) -> dict[str, Any]:
    """A value for every field, as its annotation wants it."""
    hints = typing.get_type_hints(kind)
    return {spec.name: value_of(hints[spec.name]) for spec in fields(typing.cast(Any, kind))}


def value_of(hint: Any) -> Any:
    plain: dict[Any, Any] = {
        bool: True,
        int: 7,
        float: 2.5,
        str: "text",
        bytes: b"raw",
        Any: None,
        dt.datetime: dt.datetime(2026, 11, 24, 22, 1, tzinfo=dt.UTC),
    }
    if hint in plain:
        return plain[hint]
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return value_of(inner[0])
    if origin is list:
        return [value_of(inner[0])]
    if origin is dict:
        return {"key": value_of(inner[1])}
    if issubclass(hint, StrEnum):
        return list(hint)[-1]
    assert is_dataclass(hint)
    return hint(**sample(typing.cast(Any, hint)))


def accept() -> None:
    """Make what is compiled now what is expected."""
    for case in sorted(CASES.iterdir()):
        folder = case / "expected"
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for name, text in results(case).items():
            (folder / name).write_text(text, "utf-8")


if __name__ == "__main__":
    accept()
