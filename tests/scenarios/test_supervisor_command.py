"""``am-node supervisor`` and ``am-node status``."""

from __future__ import annotations

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
