"""Whatever stands in a text field, importing the result runs none of it and gives it back exactly."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from amgen import compile_tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def schema(payload: str) -> dict[str, object]:
    args = {
        "text": {"type": "str", "default": payload, "doc": payload},
        "obj": {"local": "a.B", "default": None, "doc": payload},
    }
    return {
        "machine": "Victim",
        "doc": payload,
        "groups": {"All": ["Foo"]},
        "states": {"Foo": {"doc": payload, "multi": True, "args": args}},
    }


PROGRAM = """
import importlib, inspect, json, pathlib, sys, typing
sys.path.insert(0, ".")
found = []
for name in json.loads(sys.argv[1]):
    module = importlib.import_module(f"out.{name}")
    state = module.VICTIM_SCHEMA.states["Foo"]
    typing.get_type_hints(module.FooArgs)
    inspect.getdoc(module)
    found.append([state.doc, state.args.of({}).text])
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
        [sys.executable, "-c", PROGRAM, json.dumps(names)],
        cwd=tmp_path,
        capture_output=True,
        timeout=50,
        check=True,
    )
    assert json.loads(done.stdout) == [[p, p] for p in payloads]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_the_canary_would_sing(tmp_path: Path, bomb: str) -> None:
    """The payload does work where text is run, so that the test above can fail."""
    subprocess.run([sys.executable, "-c", bomb], cwd=tmp_path, timeout=50, check=True)
    assert (tmp_path / "CANARY").exists()
