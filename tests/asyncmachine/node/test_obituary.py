"""What is said of a worker that has ended."""

from __future__ import annotations

from typing import Any

import pytest

from asyncmachine.errors import LaunchError
from asyncmachine.node.config import PoolConfig, WorkerSpec
from asyncmachine.node.exits import ExitReason
from asyncmachine.node.launchers.base import Exit, Reason
from asyncmachine.node.member import PoolMember
from asyncmachine.node.obituary import obituary, report_on
from asyncmachine.node.pool import WorkerRecord
from asyncmachine.schema import Schema

RECORD = WorkerRecord(id="w1", phase="booting", since=0, launched=0, seen=0)


@pytest.fixture
def member() -> PoolMember:
    launcher: Any = None
    spec = WorkerSpec(kind="test", argv=("worker",), worker="w1")
    return PoolMember(spec, launcher, Schema("Any", {}), PoolConfig(), lambda _: None)


@pytest.mark.parametrize(
    ("oom", "text"),
    [(True, "; memory had run out"), (False, ""), (None, "; whether memory had run out cannot be seen here")],
)
def test_it_says_what_is_known_of_a_sigkill(member: PoolMember, oom: bool | None, text: str) -> None:
    end = Exit(reason=Reason.SIGNALLED, signal=9, detail="ended by SIGKILL", oom=oom)
    assert obituary(member, end, None) == f"worker w1 (pid 0) ended by SIGKILL{text}"


def test_a_kill_of_ours_has_its_reason(member: PoolMember) -> None:
    member.fault, member.orders.killed = "silent for 6 s", ExitReason.HEARTBEAT_LOST
    end = Exit(reason=Reason.SIGNALLED, signal=9, detail="ended by SIGKILL")
    assert obituary(member, end, None) == "worker w1 (pid 0) ended by SIGKILL; silent for 6 s"


def test_one_that_never_reported_is_quoted(member: PoolMember) -> None:
    end = Exit(reason=Reason.EXITED, code=1, detail="exited with code 1", output=b"ImportError: no\n")
    assert obituary(member, end, None).endswith("exited with code 1; its last output:\nImportError: no")


@pytest.mark.anyio
async def test_what_could_not_be_launched_has_a_report_too(member: PoolMember) -> None:
    text = obituary(member, None, LaunchError("no such command"))
    assert text == "worker w1 could not be launched: no such command"
    report = report_on(member, RECORD, None, None, text)
    assert (report.reason, report.detail, report.code, report.signal) == ("launch_failed", text, None, None)
    assert (report.clock, report.client, report.phase, report.age > 0) == ({}, "", "booting", True)
