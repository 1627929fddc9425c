"""``am-gen watch``, with real files, a real watcher and a real Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import Result
from watchfiles import Change

from amgen.cli.watch import follow
from amgen.config import Config

Run = Callable[..., Result]


@contextmanager
def watching(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The command, running in *folder*; what it prints, errors too, is read line by line."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "amgen", "watch", *words],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def save(path: Path, text: str) -> None:
    """Replace a file at once, so that nobody sees half of it."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text, "utf-8")
    temporary.replace(path)


def until(process: subprocess.Popen[str], end: str) -> list[str]:
    """Lines up to the first that begins with *end*."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if line.startswith(end):
            return lines
    raise AssertionError(f"it ended before {end!r}: {lines}")


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_changes_are_compiled_until_it_is_stopped(project: Path, sign: signal.Signals) -> None:
    schema = project / "schemas" / "lamp.yaml"
    good = schema.read_text("utf-8")
    with watching(project) as process:
        assert until(process, "watching") == [
            "wrote made/__init__.py",
            "wrote made/lamp.py",
            "2 written, 0 removed, 0 unchanged",
            "watching schemas; Ctrl-C ends it",
        ]
        save(schema, good.replace("It is lit.", "It shines."))
        assert until(process, "1 written") == [
            "changed: schemas/lamp.yaml",
            "wrote made/lamp.py",
            "1 written, 0 removed, 1 unchanged",
        ]
        assert "It shines." in (project / "made" / "lamp.py").read_text("utf-8")
        save(schema, good.replace("[Start]", "[Strat]"))
        lines = until(process, "1 error, 0 warnings")
        assert lines[0] == "changed: schemas/lamp.yaml"
        assert "error[AM301]: Lit: require names unknown state 'Strat'; did you mean 'Start'?" in lines[1]
        assert "It shines." in (project / "made" / "lamp.py").read_text("utf-8")
        save(schema, good)
        until(process, "1 written")
        save(project / "schemas" / "door.yaml", good.replace("Lamp", "Door"))
        assert "wrote made/door.py" in until(process, "2 written")
        (project / "schemas" / "door.yaml").unlink()
        assert "removed made/door.py" in until(process, "1 written")
        process.send_signal(sign)
        assert until(process, "stopped") == ["stopped"]
        assert process.wait(30) == 0


def test_one_file_is_compiled_when_its_parents_change(project: Path) -> None:
    (project / "schemas" / "torch.yaml").write_text(
        "machine: Torch\nextends: [lamp]\nstates:\n  Flat: {doc: Empty.}\n", "utf-8"
    )
    with watching(project, "schemas/torch.yaml", "--debounce", "50") as process:
        assert until(process, "watching")[0] == "wrote made/torch.py"
        path = project / "schemas" / "lamp.yaml"
        save(path, path.read_text("utf-8").replace("It is lit.", "It shines."))
        assert "wrote made/torch.py" in until(process, "1 written")


def test_a_refusal_does_not_end_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "made").mkdir()
    (project / "made" / "lamp.py").write_text("mine = 1\n", "utf-8")
    config = Config.load(project)
    path = str((project / "schemas" / "lamp.yaml").resolve())
    follow(config, [set(), set(), {(Change.modified, path)}])
    out, err = capsys.readouterr()
    assert out == "watching schemas; Ctrl-C ends it\nchanged: schemas/lamp.yaml\n"
    assert err.count("AM801") == 2


def test_without_its_extra_it_says_what_to_install(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    done = run("watch")
    assert done.exit_code == 1
    assert done.stderr == (
        "am-gen: am-gen watch needs watchfiles, which is not installed: pip install 'asyncmachine[watch]'\n"
    )
