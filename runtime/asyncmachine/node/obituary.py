"""What a supervisor says of a worker that has ended: a sentence for people, a report for programs."""

from __future__ import annotations

import anyio

from amstates.worker import WorkerStates as ss
from asyncmachine.errors import LaunchError
from asyncmachine.node.exits import ExitReport, reason_of
from asyncmachine.node.launchers.base import Exit
from asyncmachine.node.leases import Lease
from asyncmachine.node.member import PoolMember
from asyncmachine.node.pool import WorkerRecord

__all__ = ["obituary", "report_on"]

_SIGKILL = 9
_OOM = {True: "; memory had run out", False: "", None: "; whether memory had run out cannot be seen here"}


def obituary(member: PoolMember, result: Exit | None, error: LaunchError | None) -> str:
    """One line, and the last output of one that never was ready."""
    if result is None:
        return f"worker {member.id} could not be launched: {error}"
    text = f"worker {member.id} (pid {member.pid}) {result.detail}"
    if result.signal == _SIGKILL and member.orders.killed is None:
        text += _OOM[result.oom]
    if member.fault:
        text += f"; {member.fault}"
    if member.address is None:
        output = result.output[-4096:].decode(errors="replace").strip()
        text += f"; its last output:\n{output}" if output else ""
    return text


def report_on(
    member: PoolMember, record: WorkerRecord, lease: Lease | None, end: Exit | None, text: str
) -> ExitReport:
    """The report on a worker.

    Args:
        record: the last one; lease: the one that was on it; end: None: there was no process.
        text: its obituary.
    """
    booted = member.last is not None and member.last.tick(ss.Ready) > 0
    clock = member.clock()
    return ExitReport(
        worker=member.id,
        kind=member.spec.kind,
        reason=reason_of(end, member.orders, record.phase, booted=booted),
        detail=text,
        code=end.code if end is not None else None,
        signal=end.signal if end is not None else None,
        pid=member.pid,
        phase="busy" if record.phase == "leased" and clock.get(ss.Working, 0) & 1 else record.phase,
        age=anyio.current_time() - record.launched,
        user=end.user if end is not None else 0.0,
        system=end.system if end is not None else 0.0,
        max_rss=end.max_rss if end is not None else 0,
        jobs=member.jobs(),
        client=lease.client if lease is not None else "",
        lease=lease.id if lease is not None else 0,
        request=lease.request.number if lease is not None else 0,
        clock=clock,
        output=end.output if end is not None else b"",
    )
