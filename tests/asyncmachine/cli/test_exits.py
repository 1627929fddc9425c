"""How the ends of workers are shown."""

from __future__ import annotations

import json

import pytest

from asyncmachine.cli.exits import show_exits
from asyncmachine.node.exits import ExitReason, ExitReport

ONE = ExitReport(
    worker="w1", kind="k", reason=ExitReason.OOM, signal=9, detail="ended by SIGKILL", output=b"last words"
)
TWO = ExitReport(
    worker="w2", kind="k", reason=ExitReason.RECYCLED, code=0, max_rss=3 << 20, clock={"Idle": 5}
)


def test_one_is_shown_with_its_output(capsys: pytest.CaptureFixture[str]) -> None:
    show_exits([ONE], as_json=False)
    out = capsys.readouterr().out
    assert "oom" in out
    assert out.endswith("ended by SIGKILL\nlast words\n")


def test_many_are_a_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    show_exits([ONE, TWO], as_json=False)
    out = capsys.readouterr().out
    assert "recycled" in out
    assert "3 MiB" in out
    assert "last words" not in out


def test_json_is_one_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_exits([ONE, TWO], as_json=True)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["worker"] for row in rows] == ["w1", "w2"]
    assert rows[0]["output"] == "last words"
