from __future__ import annotations

import pytest

from asyncmachine.cli.bar import Bar


def test_a_bar_moves_and_lines_stand_above_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with Bar("square", 40) as bar:
        bar.show(10, "2 failed")
        bar.line("[not markup] as it is", "red")
        bar.show(40, "")
    shown = capsys.readouterr().err
    assert "[not markup] as it is" in shown
    assert "40/40" in shown
