from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from asyncmachine.rpc.audit import LONGEST, RATE, Audit


def rows(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(r.getMessage()) for r in caplog.records if r.name == "asyncmachine.audit"]


def test_nothing_that_a_peer_sends_can_break_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asyncmachine.audit")
    hostile = 'x\n{"event": "opened"}\r\x1b[31m\0\u202e\u2028"}' + "y" * 10_000
    Audit("srv", 0.0).note("refused", 0.0, client=hostile, uid=None, code=3)
    (record,) = caplog.records
    text = record.getMessage()
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 8192
    (row,) = rows(caplog)
    assert row["client"] == hostile[:LONGEST]
    assert (row["event"], row["server"], row["code"]) == ("refused", "srv", 3)
    assert "uid" not in row


def test_a_flood_of_events_becomes_a_number(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asyncmachine.audit")
    audit = Audit("srv", 0.0)
    for n in range(RATE + 500):
        audit.note("refused", 0.0, n=n)
    assert len(caplog.records) == RATE
    audit.note("opened", 1.0)
    *_, note, last = rows(caplog)
    assert (note["event"], note["events"]) == ("suppressed", 500)
    assert last["event"] == "opened"


def test_it_costs_nothing_where_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "asyncmachine.audit")
    Audit("srv", 0.0).note("opened", 0.0, thing=object())
    assert caplog.records == []
