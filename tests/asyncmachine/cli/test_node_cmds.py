"""Without processes; with them: tests/scenarios/test_supervisor_command.py."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from asyncmachine.cli.main import main
from asyncmachine.cli.node_cmds import _show
from asyncmachine.node.args import PoolStatus, WorkerStatus


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["supervisor", "math:sqr"], "did you mean 'sqrt'"),
        (["supervisor", "math:sqrt", "--min", "5", "--max", "2"], "PoolConfig.min is 5, more than max 2"),
        (["supervisor", "math:sqrt", "--port", "70000"], "70000 is not in the range"),
        (["status", "nowhere"], "'nowhere' is not HOST:PORT"),
    ],
)
def test_errors_of_usage(args: list[str], says: str) -> None:
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 2
    assert says in result.output


def test_a_supervisor_listens_on_loopback_only() -> None:
    result = CliRunner().invoke(main, ["supervisor", "math:sqrt", "--host", "192.0.2.1"])
    assert result.exit_code == 1
    assert result.output.startswith("am-node supervisor: host is '192.0.2.1'")
    assert "loopback" in result.output


def test_status_shows_everything(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    worker = WorkerStatus(
        worker="w7", phase="leased", pid=4321, age=61, jobs=1234, client="c", states=("Ready",)
    )
    status = PoolStatus(
        request=1,
        kind="m:f",
        states=("Start",),
        clients=("c",),
        started=9,
        lost=2,
        waiting=3,
        workers=(worker,),
    )
    _show(status)
    text = capsys.readouterr().out
    for part in (
        "m:f",
        "1, 3 requests waiting",
        "1; 9 started, 2 lost",
        "w7",
        "leased",
        "4321",
        "1,234",
        "Ready",
    ):
        assert part in text
