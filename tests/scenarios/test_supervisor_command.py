"""``am-node supervisor`` and ``am-node status``."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

pytestmark = pytest.mark.anyio


async def test_a_supervisor_from_start_to_sigterm(lab: Any) -> None:
    server, address = await lab.supervisor("double", "--min", "2", "--warm", "0", "--max", "2")
    workers = [w.pid for w in server.workers()]
    assert len(workers) == 2
    status = lab.command("status", address)
    assert await status.exit() == 0
    assert "kind      jobs:double" in status.out
    assert "PoolReady" in status.out
    assert "workers   2; 2 started, 0 lost" in status.out
    assert all(str(pid) in status.out for pid in workers)
    server.signal(signal.SIGTERM)
    assert await server.exit() == 0
    await lab.gone(*workers)
    assert server.err == ""


async def test_how_workers_ended_can_be_asked_for(lab: Any) -> None:
    server, address = await lab.supervisor("double", "--min", "1", "--warm", "0", "--max", "2")
    (worker,) = server.workers()
    worker.kill()
    await lab.gone(worker.pid)
    await lab.until(lambda: [w for w in server.workers() if w.pid != worker.pid])
    shown = lab.command("status", address, "--exits")
    assert await shown.exit() == 0
    assert "signalled" in shown.out
    assert f"(pid {worker.pid}) ended by SIGKILL" in shown.out
    asked = lab.command("status", address, "--exits", "--worker", "w1", "--json")
    assert await asked.exit() == 0
    report = json.loads(asked.out)
    assert (report["worker"], report["reason"], report["signal"]) == ("w1", "signalled", 9)
    assert report["clock"]["Ready"] % 2 == 1
    server.signal(signal.SIGTERM)
    assert await server.exit() == 0
