from __future__ import annotations

import subprocess
import sys

import pytest

from asyncmachine.cli import start


@pytest.mark.parametrize(("system", "name"), [("linux", "forkserver"), ("darwin", "process")])
def test_the_launcher_suits_the_system(system: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert start.default_launcher() == name


def test_only_a_fork_server_can_begin_early() -> None:
    assert start.begin("process") is None
    server = start.begin("forkserver")
    assert server is not None
    server.control.close()
    assert server.process.wait(20) == 0


def test_the_early_begin_comes_before_what_is_slow() -> None:
    code = (
        "import sys, asyncmachine.cli.map_cmd\nprint(sorted({'anyio', 'rich', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
