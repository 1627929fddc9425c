"""Files and YAML as text. Hostile documents are in test_hostile.py."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from amgen.errors import Rejected, Report, Span
from amgen.source import ListNode, MapNode, ScalarNode, decode, load, read_tree

if TYPE_CHECKING:
    from pathlib import Path


def test_nodes_know_their_place() -> None:
    root = load("a: b\nlist:\n  - 'No'\n  - No\nmap: {x: }\n", "f.yaml", Report())
    (a, b), (_, items), (_, inner) = root.entries
    assert (a.value, a.span) == ("a", Span("f.yaml", 1, 1, 1))
    assert b == ScalarNode("b", True, Span("f.yaml", 1, 4, 1))
    assert isinstance(items, ListNode)
    assert items.items == (
        ScalarNode("No", False, Span("f.yaml", 3, 5, 4)),
        ScalarNode("No", True, Span("f.yaml", 4, 5, 2)),
    )
    assert isinstance(inner, MapNode)
    assert inner.entries[0][1] == ScalarNode("", True, Span("f.yaml", 5, 10, 1))


def test_columns_count_characters_not_bytes() -> None:
    root = load("é漢: [🎉, b]\n", "f.yaml", Report())
    items = root.entries[0][1]
    assert isinstance(items, ListNode)
    assert [i.span.column for i in items.items] == [6, 9]


def test_of_duplicate_keys_the_first_is_kept() -> None:
    report = Report()
    root = load("a: 1\nb: 2\na: 3\n", "f.yaml", report)
    assert [(k.value, v.value) for k, v in root.entries if isinstance(v, ScalarNode)] == [
        ("a", "1"),
        ("b", "2"),
    ]
    assert [d.code for d in report.sorted()] == ["AM015"]


def test_line_ends_and_bom_are_normalised() -> None:
    assert decode(b"\xef\xbb\xbfa\r\nb\rc\n", "f") == "a\nb\nc\n"


@pytest.mark.parametrize("char", ["\x00", "\x07", "\x7f", "\x9b", "\u202e", "\u2069", "\ufeff"])
def test_misleading_characters_have_a_place(char: str) -> None:
    with pytest.raises(Rejected) as caught:
        decode(f"a\nbc{char}d\n".encode(), "f")
    (found,) = caught.value.diagnostics
    assert (found.code, found.span) == ("AM016", Span("f", 2, 3))
    assert f"U+{ord(char):04X}" in found.message


def codes(folder: Path) -> list[str]:
    with pytest.raises(Rejected) as caught:
        read_tree(folder)
    return [f"{d.code} {d.span.path}" for d in caught.value.diagnostics]


def test_a_tree_is_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("z.yaml", "a.yaml", "b/c.yaml", ".hidden.yaml", "notes.md"):
        (tmp_path / name).write_text(name, "utf-8")
    assert list(read_tree(tmp_path).items()) == [(n, n.encode()) for n in ("a.yaml", "b/c.yaml", "z.yaml")]


def test_yml_is_not_overlooked(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("", "utf-8")
    assert codes(tmp_path) == ["AM010 a.yml"]


def test_big_files_are_refused(tmp_path: Path) -> None:  # Y27
    with (tmp_path / "a.yaml").open("wb") as file:
        file.truncate(1 << 30)  # sparse; reading all of it would take a gigabyte
    assert codes(tmp_path) == ["AM010 a.yaml"]


def test_folders_called_like_files_are_no_files(tmp_path: Path) -> None:  # Y27
    (tmp_path / "a.yaml").mkdir()
    (tmp_path / "b.yaml").symlink_to("/dev/zero")
    assert codes(tmp_path) == ["AM010 b.yaml"]


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:  # Y27
    os.mkfifo(tmp_path / "a.yaml")
    program = "import sys, pathlib, amgen.source as s; s.read_tree(pathlib.Path(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, timeout=50, check=False
    )
    assert b"is not a regular file" in done.stderr


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:  # Y60
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.yaml").write_text("machine: X\n", "utf-8")
    (root / "out.yaml").symlink_to(tmp_path / "secret.yaml")
    (root / "loop.yaml").symlink_to("loop.yaml")
    (root / "dead.yaml").symlink_to("nowhere.yaml")
    assert codes(root) == ["AM010 dead.yaml", "AM010 loop.yaml", "AM010 out.yaml"]


def test_links_to_folders_are_refused(tmp_path: Path) -> None:  # Y60
    (tmp_path / "round").symlink_to(tmp_path, target_is_directory=True)
    assert codes(tmp_path) == ["AM010 round"]


def test_links_inside_of_the_folder_are_fine(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("machine: A\n", "utf-8")
    (tmp_path / "b.yaml").symlink_to("a.yaml")
    assert list(read_tree(tmp_path)) == ["a.yaml", "b.yaml"]


def test_a_huge_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # Y66
    for i in range(12):
        (tmp_path / f"{i}.txt").touch()
    monkeypatch.setattr("amgen.source.MAX_WALK", 10)
    assert codes(tmp_path) == ["AM010 ."]


def test_too_many_schemas_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # Y66
    for i in range(3):
        (tmp_path / f"{i}.yaml").touch()
    monkeypatch.setattr("amgen.source.MAX_FILES", 2)
    assert codes(tmp_path) == ["AM010 ."]


def test_a_tab_is_called_a_tab() -> None:
    with pytest.raises(Rejected) as caught:
        load("machine: M\nstates:\n\tFoo: {}\n", "f", Report())
    (found,) = caught.value.diagnostics
    assert (found.span, found.message) == (
        Span("f", 3, 1),
        "not valid YAML: a tab cannot stand here, indent with spaces",
    )


def test_a_tag_is_named_as_it_was_written() -> None:
    with pytest.raises(Rejected, match=r"AM013: tag !!python/name:os is not allowed"):
        load("a: !!python/name:os\n", "f", Report())


@pytest.mark.parametrize("early", [False, True])
def test_what_is_checked_is_what_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:  # Y64
    """A file that is swapped once it is open changes nothing; one that is swapped before is refused."""
    (tmp_path / "a.yaml").write_text("machine: A\n", "utf-8")
    opened: list[Path] = []
    real = os.open

    def swap(path: Path, flags: int) -> int:
        opened.append(path)
        descriptor = -1 if early else real(path, flags)
        path.unlink()
        path.symlink_to("/dev/zero")
        return real(path, flags) if early else descriptor

    monkeypatch.setattr(os, "open", swap)
    if early:
        assert codes(tmp_path) == ["AM010 a.yaml"]
    else:
        assert read_tree(tmp_path) == {"a.yaml": b"machine: A\n"}
    assert opened == [tmp_path / "a.yaml"]
