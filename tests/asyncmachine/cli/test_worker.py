from __future__ import annotations

import pytest

from asyncmachine.cli.worker import EXIT_NOT_LAUNCHED, main


def test_by_hand_it_says_what_to_do_instead(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["math:sqrt", "--id", "w1", "--kind", "math:sqrt", "--run-dir", "/nowhere"])
    assert code == EXIT_NOT_LAUNCHED
    assert "am-node supervisor" in capsys.readouterr().err
