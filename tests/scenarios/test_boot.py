"""Workers that never get ready: the pool says why, and leaves nothing."""

from __future__ import annotations

import sys
import time
from typing import Any

import anyio
import pytest

from asyncmachine.errors import LaunchError, PoolBroken
from asyncmachine.node.config import PoolConfig, WorkerSpec
from asyncmachine.node.launchers.process import ProcessLauncher
from asyncmachine.node.supervisor import Supervisor

pytestmark = pytest.mark.anyio


def supervisor(*argv: str, **config: Any) -> Supervisor:
    settings = {"min": 1, "max": 1, "warm": 0, "backoff_base": 0.01, "boot_timeout": 0.2, "grace": 0.5}
    spec = WorkerSpec(kind="test", argv=argv)
    return Supervisor(ProcessLauncher(), spec, config=PoolConfig(**{**settings, **config}))


async def test_a_command_that_does_nothing(lab: Any) -> None:
    idle = [sys.executable, "-c", "import time; print('here I am', flush=True); time.sleep(600)"]
    with anyio.fail_after(15):
        with pytest.raises(PoolBroken, match=r"3 workers in a row failed to start(.|\n)*not ready 0.2 s"):
            async with supervisor(*idle):
                pytest.fail("it cannot be ready")
    assert lab.processes() == []


async def test_a_command_that_is_not_there(lab: Any) -> None:
    with anyio.fail_after(10):
        with pytest.raises(LaunchError, match="cannot start '/no/such/command': No such file"):
            async with supervisor("/no/such/command"):
                pytest.fail("it cannot be ready")


async def test_a_command_that_fails_shows_its_last_words(lab: Any) -> None:
    failing = [sys.executable, "-c", "import no_such_module"]
    with anyio.fail_after(15):
        with pytest.raises(PoolBroken, match="ModuleNotFoundError: No module named 'no_such_module'"):
            async with supervisor(*failing, boot_timeout=10.0):
                pytest.fail("it cannot be ready")


async def test_a_port_in_use(lab: Any) -> None:
    async with lab.pool() as pool:
        port = int(pool.address.rpartition(":")[2])
        began = time.monotonic()
        command = lab.command("supervisor", "jobs:double", "--port", str(port))
        assert await command.exit() == 1
        assert time.monotonic() - began < 10
    (line,) = command.err.splitlines()
    assert line.startswith("am-node supervisor: ")
    assert "in use" in line
    assert str(port) in line


async def test_a_supervisor_that_is_cancelled_while_it_starts(lab: Any) -> None:
    idle = [sys.executable, "-c", "import time; time.sleep(600)"]
    pool = supervisor(*idle, boot_timeout=60.0)
    with anyio.fail_after(15), anyio.move_on_after(0.3) as limit:
        async with pool:
            pytest.fail("it cannot be ready")
    assert limit.cancelled_caught
    assert pool.started == 1
    assert lab.processes() == []


async def test_a_pool_that_breaks_later_denies_and_recovers(lab: Any) -> None:
    """Its function cannot be imported any more; when it can again, the probe closes the breaker."""
    with anyio.fail_after(40):
        async with lab.pool(probe_every=0.3, boot_failures=2) as pool:
            source = (lab.folder / "jobs.py").read_text()
            (lab.folder / "jobs.py").write_text("raise OSError('the disk is gone')\n")
            (member,) = pool.members.values()
            member.kill()
            await pool.machine.when("ErrPool")
            assert "the disk is gone" in pool.view.restarts.broken
            (lab.folder / "jobs.py").write_text(source)
            await pool.machine.when_not("ErrPool", "Exception")
            await pool.machine.when("PoolReady", "PoolNormalized")
            async with lab.client(pool) as client:
                assert await client.call(4) == 8
