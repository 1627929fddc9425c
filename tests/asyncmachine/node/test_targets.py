from __future__ import annotations

import sys
from pathlib import Path

import pytest

from asyncmachine.node.targets import TargetError, load_function, load_path, parse_address


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return tmp_path


def test_load_function() -> None:
    import math

    assert load_function("math:sqrt") is math.sqrt


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("math", "'math' is not of the form package.module:function"),
        (":sqrt", "is not of the form"),
        ("math:", "is not of the form"),
        ("no_such_module:f", "no module named 'no_such_module' .from 'no_such_module:f'."),
        ("math:sqr", "module 'math' has no function 'sqr'; did you mean 'sqrt'?"),
        ("math:pi", "'math:pi' is a float, not a function"),
    ],
)
def test_bad_targets_are_explained_in_one_line(target: str, message: str) -> None:
    with pytest.raises(TargetError, match=message.replace("?", r"\?")) as caught:
        load_function(target)
    assert "\n" not in str(caught.value)


def test_a_module_that_raises_when_imported(folder: Path) -> None:
    (folder / "raises_at_import.py").write_text("raise RuntimeError('on purpose')\n")
    with pytest.raises(TargetError, match="cannot import 'raises_at_import': RuntimeError: on purpose"):
        load_function("raises_at_import:f")


def test_functions_come_from_the_current_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here.py").write_text("def f(x): return x\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    with pytest.raises(TargetError):
        load_function("only_here:f")
    load_path()
    load_path()
    assert sys.path.count(str(tmp_path)) == 1
    load_function("only_here:f")
    del sys.modules["only_here"]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7070", ("127.0.0.1", 7070)),
        ("localhost:1", ("localhost", 1)),
        ("[::1]:65535", ("::1", 65535)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "host", "host:", ":80", "[]:80", "host:0", "host:65536", "host:-1", "host:x"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not HOST:PORT, e\.g\. 127\.0\.0\.1:7070") as caught:
        parse_address(text)
    assert str(caught.value).startswith(repr(text))
