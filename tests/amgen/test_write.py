"""Files on disk: what is written, refused, removed and left alone."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from amgen import compile_tree, write
from amgen.errors import WriteError
from amgen.write import apply, compare, save

if TYPE_CHECKING:
    from pathlib import Path

LAMP = b"machine: Lamp\nstates:\n  Lit: {doc: d}\n"
DOOR = b"machine: Door\nstates:\n  Open: {doc: d}\n"
FILES = dict(compile_tree({"lamp.yaml": LAMP, "door.yaml": DOOR}).files)
LAMP_ONLY = dict(compile_tree({"lamp.yaml": LAMP}).files)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    apply(FILES, folder)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def kinds(files: dict[str, str], folder: Path) -> dict[str, str]:
    return {f.name: f.kind for f in compare(files, folder)}


def test_the_folder_is_made_and_filled(output: Path) -> None:
    assert names(output) == ["__init__.py", "door.py", "lamp.py"]
    assert {n: (output / n).read_text("utf-8") for n in FILES} == FILES
    assert kinds(FILES, output) == {}


def test_unchanged_files_are_not_touched(output: Path) -> None:
    before = {n: (output / n).stat() for n in FILES}
    done = apply(FILES, output)
    assert (done.written, done.removed, done.unchanged) == ((), (), tuple(FILES))
    for name, stat in before.items():
        now = (output / name).stat()
        assert (now.st_ino, now.st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)


def test_line_ends_of_another_system_are_no_change(output: Path) -> None:
    path = output / "lamp.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert kinds(FILES, output) == {}


def test_missing_and_stale(output: Path) -> None:
    (output / "door.py").unlink()
    changed = dict(compile_tree({"lamp.yaml": LAMP + b"  Dark: {doc: d}\n", "door.yaml": DOOR}).files)
    assert kinds(changed, output) == {"door.py": "missing", "lamp.py": "stale"}
    finding = next(f for f in compare(changed, output) if f.name == "lamp.py")
    assert '+    Dark: Final = "Dark"' in finding.diff
    assert apply(changed, output).written == ("door.py", "lamp.py")
    assert kinds(changed, output) == {}


def test_orphans_are_found_and_removed(output: Path) -> None:
    assert kinds(LAMP_ONLY, output) == {"__init__.py": "stale", "door.py": "orphaned"}
    assert apply(LAMP_ONLY, output).removed == ("door.py",)
    assert names(output) == ["__init__.py", "lamp.py"]


def test_without_prune_orphans_stay(output: Path) -> None:
    assert compare({"lamp.py": FILES["lamp.py"]}, output, prune=False) == []
    assert apply({"lamp.py": FILES["lamp.py"]}, output, prune=False).removed == ()
    assert names(output) == ["__init__.py", "door.py", "lamp.py"]


def test_hand_edits_are_found_and_kept(output: Path) -> None:
    edited = FILES["lamp.py"] + "# mine\n"
    (output / "lamp.py").write_text(edited, "utf-8")
    assert kinds(FILES, output) == {"lamp.py": "edited"}
    with pytest.raises(WriteError, match=r"AM801: .*lamp.py was edited by hand"):
        apply(FILES, output)
    assert (output / "lamp.py").read_text("utf-8") == edited
    assert apply(FILES, output, force=True).written == ("lamp.py",)
    assert kinds(FILES, output) == {}


def test_an_edited_orphan_is_not_removed(output: Path) -> None:
    (output / "door.py").write_text(FILES["door.py"] + "# mine\n", "utf-8")
    with pytest.raises(WriteError, match=r"door.py was edited"):
        apply(LAMP_ONLY, output)
    assert "__init__.py" in names(output)
    assert kinds(FILES, output) == {"door.py": "edited"}  # nothing else was written either
    assert apply(LAMP_ONLY, output, force=True).removed == ("door.py",)


def test_files_of_others_are_never_overwritten_nor_removed(output: Path) -> None:  # Y61
    (output / "lamp.py").write_text("x = 1\n", "utf-8")
    (output / "own.py").write_text("y = 1\n", "utf-8")
    (output / "latin.py").write_bytes(b"# \xe9\n")
    assert kinds(FILES, output) == {"lamp.py": "foreign"}
    with pytest.raises(WriteError, match=r"AM801: .*lamp.py was not generated"):
        apply(FILES, output)
    assert (output / "lamp.py").read_text("utf-8") == "x = 1\n"
    apply(FILES, output, force=True)
    assert (output / "own.py").read_text("utf-8") == "y = 1\n"
    assert (output / "latin.py").read_bytes() == b"# \xe9\n"


def test_an_empty_file_is_nothing_to_lose(output: Path) -> None:
    (output / "lamp.py").write_text("", "utf-8")
    assert kinds(FILES, output) == {"lamp.py": "stale"}
    assert apply(FILES, output).written == ("lamp.py",)


@pytest.mark.parametrize("name", ["../x.py", "/x.py", "a/b.py", "X.py", "x.txt", ".py", "x.py\n", "a.b.py"])
def test_names_that_are_not_written(name: str, tmp_path: Path) -> None:  # Y61
    with pytest.raises(WriteError, match="AM803"):
        apply({name: ""}, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_symbolic_links_are_not_followed(output: Path, tmp_path: Path) -> None:  # Y62
    target = tmp_path / "target.py"
    target.write_text("x = 1\n", "utf-8")
    (output / "lamp.py").unlink()
    (output / "lamp.py").symlink_to(target)
    with pytest.raises(WriteError, match="AM802"):
        apply(FILES, output, force=True)
    assert target.read_text("utf-8") == "x = 1\n"
    link = tmp_path / "link"
    link.symlink_to(output, target_is_directory=True)
    with pytest.raises(WriteError, match="AM802"):
        apply(FILES, link)


def test_a_failed_write_leaves_the_old_file_whole(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # Y62
    changed = dict(compile_tree({"lamp.yaml": LAMP + b"  Dark: {doc: d}\n", "door.yaml": DOOR}).files)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(WriteError, match=r"AM803: .*No space left"):
        apply(changed, output)
    assert (output / "lamp.py").read_text("utf-8") == FILES["lamp.py"]
    assert names(output) == ["__init__.py", "door.py", "lamp.py"]


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("", "utf-8")
    with pytest.raises(WriteError, match="Not a directory"):
        apply(FILES, tmp_path / "out")


def test_one_file_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.json", "old\n")
    save(tmp_path / "a.json", "new\n")
    assert (tmp_path / "a.json").read_bytes() == b"new\n"
    (tmp_path / "link").symlink_to("a.json")
    with pytest.raises(WriteError, match="AM802"):
        save(tmp_path / "link", "x")
    with pytest.raises(WriteError, match="AM803"):
        save(tmp_path / "nowhere" / "a.json", "x")
    assert names(tmp_path) == ["a.json", "link"]


def test_a_folder_that_cannot_be_written_is_an_error(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # Y62
    """Root may write anywhere, so the system's refusal is acted here."""

    def refuse(path: object, *_: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.open", refuse)
    (output / "lamp.py").unlink()
    with pytest.raises(WriteError, match=r"AM803: .*lamp.py.* cannot be written: Permission denied"):
        apply(FILES, output)
    assert names(output) == ["__init__.py", "door.py"]


KILLED = """
import os, pathlib, signal, sys
from amgen.write import apply
pathlib.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
apply({"lamp.py": "new text"}, pathlib.Path(sys.argv[1]), force=True, prune=False)
"""


def test_a_writer_that_is_killed_leaves_the_old_file_whole(output: Path) -> None:  # Y62
    done = subprocess.run([sys.executable, "-c", KILLED, output], timeout=50, check=False)
    assert done.returncode == -9
    assert {n: (output / n).read_text("utf-8") for n in FILES} == FILES
    assert kinds(FILES, output) == {}  # what it left behind is no module
    left = [n for n in names(output) if n not in FILES]
    assert len(left) == 1
    assert left[0].startswith(".lamp.py.")


def test_a_package_is_marked_as_typed_once(tmp_path: Path) -> None:
    output = tmp_path / "made"
    output.mkdir()
    [finding] = write.unmarked(output)
    assert (finding.kind, finding.name) == ("missing", "py.typed")
    write.mark(output)
    assert (output / "py.typed").read_bytes() == b""
    assert write.unmarked(output) == []
    (output / "py.typed").write_text("partial\n", "utf-8")
    write.mark(output)
    assert (output / "py.typed").read_text("utf-8") == "partial\n"  # it is not ours
