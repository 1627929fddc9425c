"""What may be called fresh without a compilation, and what may not."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amgen import memo

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = {"__init__.py": "a\n", "lamp.py": "b\n"}
KEY = "0" * 64


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, Path]:
    """A memo, and the folder that it is about."""
    output = tmp_path / "made"
    output.mkdir()
    for name, text in FILES.items():
        (output / name).write_text(text, "utf-8")
    where = memo.place(tmp_path / "cache", output)
    memo.remember(where, KEY, FILES)
    return where, output


def test_what_was_made_is_fresh(kept: tuple[Path, Path]) -> None:
    where, output = kept
    (output / "py.typed").touch()
    assert memo.fresh(where, KEY, output) == 2
    assert memo.fresh(where, "1" * 64, output) is None


CHANGES: dict[str, Callable[[Path], object]] = {
    "edited": lambda folder: (folder / "lamp.py").write_text("b\n# mine\n", "utf-8"),
    "other line ends": lambda folder: (folder / "lamp.py").write_bytes(b"b\r\n"),
    "missing": lambda folder: (folder / "lamp.py").unlink(),
    "one more": lambda folder: (folder / "door.py").write_text("", "utf-8"),
    "renamed": lambda folder: (folder / "lamp.py").rename(folder / "door.py"),
    "no file": lambda folder: ((folder / "lamp.py").unlink(), (folder / "lamp.py").mkdir()),
    "gone": lambda folder: folder.rename(folder.parent / "elsewhere"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_is_not(kept: tuple[Path, Path], change: str) -> None:
    where, output = kept
    CHANGES[change](output)
    assert memo.fresh(where, KEY, output) is None


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"key": 1}', json.dumps({"key": KEY, "files": 3}), "\xff"]
)
def test_a_broken_memo_is_not_believed(kept: tuple[Path, Path], text: str) -> None:
    where, output = kept
    where.write_text(text, "latin-1")
    assert memo.fresh(where, KEY, output) is None


def test_an_empty_memo_says_nothing_of_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    memo.remember(tmp_path / "m.json", KEY, {})
    assert memo.fresh(tmp_path / "m.json", KEY, tmp_path / "made") is None


def test_a_memo_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    memo.remember(tmp_path / "file" / "m.json", KEY, FILES)
    assert memo.fresh(tmp_path / "file" / "m.json", KEY, tmp_path) is None


def test_each_folder_has_its_own(tmp_path: Path) -> None:
    assert memo.place(tmp_path, tmp_path / "a") != memo.place(tmp_path, tmp_path / "b")
    assert memo.place(tmp_path, tmp_path / "a") == memo.place(tmp_path, tmp_path / "b" / ".." / "a")


def test_the_fingerprint_is_of_all_sources() -> None:
    base = memo.fingerprint({"a.yaml": b"x"}, {"b.yaml": b"y"})
    assert base == memo.fingerprint({"a.yaml": b"x"}, {"b.yaml": b"y"})
    others = [
        memo.fingerprint({"a.yaml": b"X"}, {"b.yaml": b"y"}),
        memo.fingerprint({"a.yaml": b"x"}, {"b.yaml": b"Y"}),
        memo.fingerprint({"A.yaml": b"x"}, {"b.yaml": b"y"}),
        memo.fingerprint({"a.yaml": b"x", "c.yaml": b""}, {"b.yaml": b"y"}),
        memo.fingerprint({"a.yaml": b"x", "b.yaml": b"y"}, {}),
        memo.fingerprint({}, {"a.yaml": b"x", "b.yaml": b"y"}),
        memo.fingerprint({"a.yam": b"lx"}, {"b.yaml": b"y"}),
    ]
    assert len({base, *others}) == len(others) + 1


def test_a_change_of_the_compiler_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its code, its templates, the rules of the runtime that it shares, Python and the libraries."""
    base = memo.fingerprint({}, {})
    files = list(memo._compiler())
    names = {"/".join(p.parts[-2:]) for p in files}
    assert {"amgen/memo.py", "amgen/view.py", "templates/module.py.j2", "cli/build.py"} <= names
    assert {"asyncmachine/schema.py", "asyncmachine/_args.py", "_core/relations.py"} <= names
    copy = tmp_path / "view.py"
    copy.write_bytes(b"# changed\n")
    changed = [copy if p.name == "view.py" else p for p in files]
    monkeypatch.setattr(memo, "_compiler", lambda: changed)
    assert memo.fingerprint({}, {}) != base
    monkeypatch.setattr(memo, "_compiler", lambda: files)
    assert memo.fingerprint({}, {}) == base
    with monkeypatch.context() as patch:
        patch.setattr(importlib.metadata, "version", lambda _: "0")
        assert memo.fingerprint({}, {}) != base
    monkeypatch.setattr(sys, "version", "3.99")
    assert memo.fingerprint({}, {}) != base
