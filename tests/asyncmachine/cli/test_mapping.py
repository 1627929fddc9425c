"""A whole run, with processes of its own; as a command: tests/scenarios/test_map_command.py."""

from __future__ import annotations

import io
import json
import logging

import pytest

from asyncmachine.cli.mapping import Job, execute
from asyncmachine.cli.start import LAUNCHERS, begin


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_results_come_as_json_lines(launcher: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    handlers = list(logging.getLogger("asyncmachine").handlers)
    job = Job(
        target="math:sqrt",
        inputs=[4, -1, 9],
        workers=2,
        out=out,
        supervisor=None,
        launcher=launcher,
        server=begin(launcher),
        idempotent=False,
        deadline=None,
    )
    assert execute(job) == 1
    assert logging.getLogger("asyncmachine").handlers == handlers
    rows = sorted((json.loads(line) for line in out.getvalue().splitlines()), key=lambda row: row["index"])
    assert [row.get("value") for row in rows] == [2.0, None, 3.0]
    assert rows[1]["error"]["kind"] == "ValueError"
    assert "2 done, 1 failed; workers: 2 started, 0 lost" in capsys.readouterr().err
