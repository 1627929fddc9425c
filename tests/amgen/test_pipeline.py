"""The whole compiler as one pure function."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from amgen import compile_tree, source
from amstates.basic import basic_machine
from amstates.worker import WORKER_SCHEMA, WorkerHandlers, WorkerStates, WorkRequestedArgs, worker_machine
from asyncmachine.errors import SchemaMismatch
from asyncmachine.machine import Machine
from asyncmachine.schema import Event, Masks, Schema, find_problems, schema_digest

SCHEMAS = Path(__file__).parents[2] / "schemas"
SOURCES = source.read_tree(SCHEMAS)
MODULES = sorted(n.removesuffix(".py") for n in compile_tree(SOURCES).files if n != "__init__.py")


def test_the_built_in_schemas_have_no_errors_and_no_warnings() -> None:
    assert compile_tree(SOURCES).diagnostics == ()
    assert len(MODULES) == len(SOURCES) == 12


def test_the_order_of_files_does_not_matter() -> None:
    backwards = dict(reversed(SOURCES.items()))
    assert compile_tree(backwards).files == compile_tree(SOURCES).files


def test_line_ends_do_not_matter() -> None:
    other = {n: t.replace(b"\n", b"\r\n") for n, t in SOURCES.items()}
    assert compile_tree(other).files == compile_tree(SOURCES).files


@pytest.mark.parametrize("name", MODULES)
def test_literal_tables_are_what_the_runtime_would_compute(name: str) -> None:
    module = importlib.import_module(f"amstates.{name}")
    schema: Schema = getattr(module, f"{name.upper()}_SCHEMA")
    assert find_problems(schema.states, schema.groups) == []
    assert schema.masks == Masks.build(schema.states)
    assert schema.digest == schema_digest(schema.states)
    assert tuple(n for n in vars(getattr(module, f"{schema.name}States")) if n[0] != "_") == schema.names
    assert sorted(module.__all__) == sorted(set(module.__all__))
    assert all(hasattr(module, n) for n in module.__all__)
    handlers = getattr(module, f"{schema.name}Handlers")
    assert [n for n in vars(handlers) if not n.startswith("__")] == []


def test_generated_modules_need_no_compiler() -> None:
    program = (
        "import importlib, sys\n"
        f"for name in {MODULES!r}: importlib.import_module('amstates.' + name)\n"
        "print([m for m in ('amgen', 'click', 'jinja2', 'yaml', 'anyio', 'asyncio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=50, check=True)
    assert done.stdout.strip() == b"[]"


def test_all_errors_of_all_files_are_found_and_sorted() -> None:
    outcome = compile_tree(
        {
            "b.yaml": b"machine: B\nstates:\n  X: {doc: d, requre: []}\n  Y: {doc: d, require: [Z]}\n",
            "a.yaml": b"machine: A\nstates:\n  x: {doc: d}\n",
            "c.yaml": b"machine: C\nstates:\n  Fine: {doc: d}\n",
        }
    )
    assert [(d.code, d.span.path, d.span.line) for d in outcome.diagnostics] == [
        ("AM103", "a.yaml", 3),
        ("AM102", "b.yaml", 3),
        ("AM301", "b.yaml", 4),
    ]
    assert outcome.files == {}


def test_only_some_are_compiled() -> None:
    outcome = compile_tree(SOURCES, only=["node/worker.yaml"])
    assert set(outcome.files) == {"worker.py", "__init__.py"}
    assert outcome.files["worker.py"] == compile_tree(SOURCES).files["worker.py"]


@pytest.mark.parametrize("order", [1, -1])
def test_long_chains_of_states_are_no_problem(order: int) -> None:  # Y28
    names = [f"S{i}" for i in range(1500)][::order]
    links = zip(names, [*names[1:], "Exception"], strict=True)
    text = "machine: Big\nstates:\n" + "".join(
        f"  {n}: {{doc: d, require: [{r}], after: [{r}]}}\n" for n, r in links
    )
    outcome = compile_tree({"big.yaml": text.encode()})
    assert not outcome.failed, outcome.diagnostics[:3]
    assert len(outcome.compiled["big.yaml"].schema) == 1501


def test_generated_states_drive_a_machine() -> None:
    seen: list[object] = []

    class Handlers(WorkerHandlers):
        def work_requested_enter(self, event: Event[WorkRequestedArgs]) -> bool:
            return event.data.id > 0

        def work_requested_state(self, event: Event[WorkRequestedArgs]) -> None:
            seen.append(event.data)

    machine = Machine(WORKER_SCHEMA)
    worker = worker_machine(machine)
    worker.bind(Handlers())
    worker.add(WorkerStates.Start, WorkerStates.LocalRpcReady, WorkerStates.PublicRpcReady)
    assert worker.is_active(WorkerStates.Ready, WorkerStates.Idle)
    worker.add("WorkRequested", id=-1, input=b"no")
    assert worker.is_active("Idle")
    worker.add("WorkRequested", id=1, input=b"yes")
    assert worker.is_active("WorkRequested")
    assert worker.is_inactive("Idle")
    assert seen == [WorkRequestedArgs(id=1, input=b"yes", deadline=None)]


def test_a_facade_refuses_a_machine_with_another_schema() -> None:
    with pytest.raises(SchemaMismatch, match="Basic"):
        basic_machine(Machine(WORKER_SCHEMA))
