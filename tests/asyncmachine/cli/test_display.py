from __future__ import annotations

import io
import sys

import pytest

from asyncmachine.cli import display as module
from asyncmachine.cli.bar import Bar
from asyncmachine.cli.display import EVERY, Lines, display


def test_lines_tell_of_progress_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    out = io.StringIO()
    with Lines("square", 2_000, out) as lines:
        lines.show(5, "")
        lines.line("something", "red")
        now += EVERY
        lines.show(1_500, "2 failed")
        lines.show(1_600, "")
        now += EVERY
        lines.show(1_700, "")
    assert out.getvalue() == "something\nsquare: 1,500 of 2,000, 2 failed\nsquare: 1,700 of 2,000\n"


@pytest.mark.parametrize(("terminal", "kind"), [(True, Bar), (False, Lines)])
def test_a_bar_is_for_terminals(terminal: bool, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    assert type(display("square", 1)) is kind
