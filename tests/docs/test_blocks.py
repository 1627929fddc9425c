"""Every block of code in the documentation runs, and what it is said to print is what it prints.

A page is played in a folder of its own, in the order of its blocks:

* a block with ``title="jobs.py"`` is written to that file;
* ``console`` runs each line that begins with ``$ `` by ``/bin/sh`` and compares its output, if one is
  shown, where ``...`` stands for anything; ``exit=1`` says how the last command of the block ends, and
  ``background`` that it goes on until the end of the page, which ends it with SIGTERM;
* ``yaml`` with a title is compiled, and has no errors unless it says ``wrong``;
* ``python`` blocks without a title are one program, which runs when all else has; a line
  ``print(...)  # text`` prints that text, where ``...`` stands for anything;
* ``sh`` holds nothing but ``make`` and targets that exist.

The port 7070 stands for a free one.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from amgen.config import builtin_folder
from amgen.pipeline import compile_tree
from amgen.source import read_tree

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").rglob("*.md"))]
LANGUAGES = {"", "console", "ini", "mermaid", "python", "sh", "text", "toml", "yaml"}
SECONDS = 50
PORT = "7070"

_FENCE = re.compile(
    r"^(?P<ticks>`{3,})(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=ticks)[ ]*$", re.MULTILINE | re.DOTALL
)
_PRINTS = re.compile(r"^\s*print\(.*\)  # (?P<text>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block; ``line`` is that of its first line, from 1."""

    language: str
    words: tuple[str, ...]
    title: str
    text: str
    line: int


@dataclass(frozen=True)
class Command:
    """One ``$ `` line, and the lines shown under it."""

    text: str
    shown: tuple[str, ...]


def blocks(page: str) -> Iterator[Block]:
    for match in _FENCE.finditer(page):
        info = match["info"].strip()
        title = re.search(r'title="([^"]+)"', info)
        words = re.sub(r'title="[^"]+"', "", info).split() or [""]
        line = page.count("\n", 0, match.start("body")) + 1
        yield Block(words[0], tuple(words[1:]), title[1] if title else "", match["body"], line)


def commands(text: str) -> Iterator[Command]:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        first, *shown = part.rstrip("\n").split("\n")
        yield Command(first, tuple(shown))


def fits(shown: tuple[str, ...], printed: str) -> bool:
    """Whether *printed* is what is shown; ``...`` alone in a line stands for any lines, else for any text."""

    def pattern(row: str) -> str:
        if row.strip() == "...":
            return r"(?:[^\n]*\n)*"
        return re.escape(row.rstrip()).replace(r"\.\.\.", ".*") + r"[ ]*\n"

    text = printed if printed.endswith("\n") else printed + "\n"
    return re.fullmatch("".join(map(pattern, shown)), text) is not None


def in_order(wanted: list[str], printed: str) -> list[str]:
    """Those of *wanted* that are no line of *printed*, each looked for behind the one before."""
    lines = iter(printed.splitlines())
    return [text for text in wanted if not any(fits((text,), line) for line in lines)]


class Stage:
    """Plays one page in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[str]] = []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = str(probe.getsockname()[1])
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        self.env = {**os.environ, "PATH": path, "NO_COLOR": "1", "COLUMNS": "200"}
        self.env["XDG_CACHE_HOME"] = str(folder / ".cache")

    def play(self, page: str) -> None:
        program: list[Block] = []
        for block in blocks(page):
            if block.title:
                self.write(block)
            elif block.language == "console":
                self.console(block)
            elif block.language == "python":
                program.append(block)
            elif block.language == "sh":
                check_make(block)
        if program:
            self.python(program)

    def write(self, block: Block) -> None:
        path = self.folder / block.title
        assert path.resolve().is_relative_to(self.folder.resolve()), f"{block.title} leaves the folder"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text.replace(PORT, self.port), "utf-8")
        if block.language == "yaml" and "wrong" not in block.words:
            outcome = compile_tree(read_tree(path.parent), read_tree(builtin_folder()))
            assert not outcome.failed, f"line {block.line}: {outcome.diagnostics}"

    def console(self, block: Block) -> None:
        every = list(commands(block.text))
        assert every, f"line {block.line}: no command; they begin with '$ '"
        codes = [int(w.removeprefix("exit=")) for w in block.words if w.startswith("exit=")]
        if "background" in block.words:
            (command,) = every
            self.start(command, block.line)
            return
        for command in every:
            wanted = codes[0] if codes and command is every[-1] else 0
            done = self.shell(command.text)
            assert done.returncode == wanted, f"line {block.line}: {command.text}\n{done.stdout}"
            shown = tuple(row.replace(PORT, self.port) for row in command.shown)
            if shown:
                assert fits(shown, done.stdout), f"line {block.line}: {command.text}\n{done.stdout}"

    def shell(self, text: str) -> subprocess.CompletedProcess[str]:
        process = self.launch(text)
        try:
            printed, _ = process.communicate(timeout=SECONDS)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # the shell, and what it runs
            process.communicate()
            raise
        return subprocess.CompletedProcess(text, process.returncode, printed)

    def launch(self, text: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["/bin/sh", "-c", text.replace(PORT, self.port)],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def start(self, command: Command, line: int) -> None:
        """Start a program and wait for the lines that it is shown to print."""
        process = self.launch(f"exec {command.text}")
        self.running.append(process)
        assert process.stdout is not None
        printed = "".join(process.stdout.readline() for _ in command.shown)
        shown = tuple(row.replace(PORT, self.port) for row in command.shown)
        assert fits(shown, printed), f"line {line}: {command.text}\n{printed}"

    def python(self, program: list[Block]) -> None:
        """All blocks as one file, each at the line where the page has it."""
        rows: list[str] = []
        for block in program:
            rows += [""] * (block.line - 1 - len(rows))
            rows += block.text.replace(PORT, self.port).splitlines()
        script = self.folder / "page.py"
        script.write_text("\n".join(rows) + "\n", "utf-8")
        done = self.shell(f"'{sys.executable}' -W error page.py")
        assert done.returncode == 0, done.stdout
        wanted = [m["text"] for block in program for m in _PRINTS.finditer(block.text)]
        assert in_order([w.replace(PORT, self.port) for w in wanted], done.stdout) == [], done.stdout

    def end(self) -> None:
        for process in self.running:
            process.send_signal(signal.SIGTERM)
            printed, _ = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, printed

    def close(self) -> None:
        for process in self.running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def check_make(block: Block) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for row in block.text.splitlines():
        command, *given = row.partition("#")[0].split() or ["make"]
        assert command == "make", f"line {block.line}: {row!r} would not be run; make it a console block"
        assert set(given) <= targets, f"line {block.line}: no such target in the Makefile: {row!r}"


@pytest.mark.parametrize("name", PAGES)
def test_page_runs(name: str, tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    try:
        stage.play((ROOT / name).read_text("utf-8"))
        stage.end()
    finally:
        stage.close()


@pytest.mark.parametrize("name", PAGES)
def test_languages_are_known(name: str) -> None:
    """A block in an unknown language would not be checked by anything."""
    page = (ROOT / name).read_text("utf-8")
    assert [b.line for b in blocks(page) if b.language not in LANGUAGES] == []
    assert len(re.findall(r"^```", page, re.MULTILINE)) == 2 * len(list(blocks(page))), "an unclosed fence"


PLAYED = """
```python title="ours.py"
NAME = "ours"
```

```console
$ echo one two
one ...
$ false || echo failed
failed
```

```python
from ours import NAME
```

Text.

```python
print(NAME.upper())  # OURS
```
"""


def test_a_page_plays(tmp_path: Path) -> None:
    Stage(tmp_path).play(PLAYED)
    assert (tmp_path / "ours.py").read_text("utf-8") == 'NAME = "ours"\n'


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("# OURS", "# THEIRS"),
        ("one ...", "two ..."),
        ("$ echo one two", "$ exit 3"),
        ('NAME = "ours"', 'raise ValueError("no")'),
        ("import NAME", "import NAMES"),
        ("```console", "```console exit=1"),
        ('title="ours.py"', 'title="../ours.py"'),
    ],
)
def test_a_wrong_page_does_not_play(right: str, wrong: str, tmp_path: Path) -> None:
    assert right in PLAYED
    with pytest.raises(AssertionError):
        Stage(tmp_path).play(PLAYED.replace(right, wrong))


def test_a_background_command_must_end_well(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.play("```console background\n$ sh -c 'echo up; read never < /dev/zero'\nup\n```\n")
    with pytest.raises(AssertionError):
        stage.end()  # the shell dies of SIGTERM, it does not end with 0
    stage.close()


def test_a_schema_on_a_page_must_compile(tmp_path: Path) -> None:
    states = "states:\n  On: {doc: Lit., require: [Off]}\n"
    page = f'```yaml title="lamp.yaml"\nmachine: Lamp\ndoc: A lamp.\n{states}```\n'
    with pytest.raises(AssertionError, match="Off"):
        Stage(tmp_path).play(page)


def test_make_targets_are_checked() -> None:
    check_make(Block("sh", (), "", "make demo  # the census\nmake test\n", 1))
    for text in ("make coffee\n", "rm -rf build\n"):
        with pytest.raises(AssertionError):
            check_make(Block("sh", (), "", text, 1))
