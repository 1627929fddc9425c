from __future__ import annotations

from typing import Any

import anyio
import pytest

from amstates.supervisor import SupervisorStates as ss
from asyncmachine.errors import NodeError
from asyncmachine.node.admin import Admin

pytestmark = pytest.mark.anyio


async def test_commands(launcher: Any, pool: Any) -> None:
    async with pool(launcher(), min=2) as supervisor, Admin(supervisor.address) as admin:
        await supervisor.machine.when(ss.PoolNormalized)
        status = await admin.status()
        assert (status.config["min"], status.config["max"]) == (2, 3)
        assert [row.worker for row in status.workers] == ["w1", "w2"]
        await admin.kill("w1")
        with pytest.raises(NodeError, match="refuses KillWorker: it has no worker 'w9'"):
            await admin.kill("w9")
        config = await admin.resize(least=1, warm=1)
        assert (config.min, config.max, config.warm) == (1, 3, 1)
        assert supervisor.config == config
        with pytest.raises(ValueError, match=r"PoolConfig\.min is 4"):
            await admin.resize(least=4)
        await admin.reload()
        await admin.rotate()
        assert supervisor.machine.tick(ss.Reload) == supervisor.machine.tick(ss.LogRotate) == 2
        await admin.drain()
        assert supervisor.view.draining
        while supervisor.members:
            await anyio.sleep(0.005)


async def test_nobody_is_there() -> None:
    with pytest.raises(NodeError, match=r"127\.0\.0\.1:1"):
        async with Admin("127.0.0.1:1"):
            pytest.fail("nobody is there")


async def test_a_socket_that_cannot_be_entered(launcher: Any, pool: Any) -> None:
    async with pool(launcher()) as supervisor:
        supervisor.admin_path = "/nonexistent/admin.sock"
        with pytest.raises(
            NodeError, match=r"takes commands at /nonexistent/admin\.sock on its own computer"
        ):
            async with Admin(supervisor.address):
                pytest.fail("it is not there")
