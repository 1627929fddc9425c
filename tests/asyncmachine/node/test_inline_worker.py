"""A pool whose workers live in this process, with their real endpoints."""

from __future__ import annotations

import anyio
import pytest

from asyncmachine.errors import LaunchError, WorkerLost
from asyncmachine.node.client import NodeClient
from asyncmachine.node.config import PoolConfig, WorkerSpec
from asyncmachine.node.function_worker import FunctionWorker
from asyncmachine.node.inline_worker import EXIT_NO_TARGET, inline_functions, settings_of, worker_life
from asyncmachine.node.launchers.inline import InlineLauncher
from asyncmachine.node.supervisor import Supervisor

pytestmark = pytest.mark.anyio

CONFIG = PoolConfig(min=1, max=2, warm=0, grace=1.0, drain=2.0, backoff_base=0.001)


async def double(value: int) -> int:
    return 2 * value


def supervisor(launcher: InlineLauncher, *argv: str) -> Supervisor:
    return Supervisor(launcher, WorkerSpec(kind="test", argv=("worker", *argv)), config=CONFIG)


async def test_a_pool_works_and_ends_in_good_order() -> None:
    with anyio.fail_after(20):
        launcher = inline_functions(double)
        async with supervisor(launcher) as pool:
            async with NodeClient([pool.address], kind="test") as client:
                assert await client.call(21) == 42
            (handle,) = launcher.handles
        assert (await handle.exited()).clean
        assert pool.lost == 0


async def test_the_function_can_be_named_in_the_command() -> None:
    with anyio.fail_after(20):
        pool = supervisor(inline_functions(), "-m", "any", f"{__name__}:double")
        async with pool, NodeClient([pool.address], kind="test") as client:
            assert await client.call(4) == 8


async def test_a_killed_one_is_lost_and_replaced() -> None:
    begun = anyio.Event()

    async def wait(value: str) -> str:
        if value == "wait":
            begun.set()
            await anyio.sleep_forever()
        return value

    with anyio.fail_after(20):
        launcher = InlineLauncher(worker_life(lambda settings: FunctionWorker(settings, wait)))
        async with supervisor(launcher) as pool, NodeClient([pool.address], kind="test") as client:
            async with anyio.create_task_group() as tasks:

                async def call() -> None:
                    with pytest.raises(WorkerLost, match="SIGKILL"):
                        await client.call("wait")

                tasks.start_soon(call)
                await begun.wait()
                launcher.handles[0].kill()
            assert await client.call("again") == "again"
            assert (pool.started, pool.lost) == (2, 1)


@pytest.mark.parametrize(
    ("argv", "text"),
    [(("worker",), "no package.module:function in the command"), (("worker", "x:y"), "no module named 'x'")],
)
async def test_a_bad_target_is_an_exit_that_says_so(argv: tuple[str, ...], text: str) -> None:
    async with inline_functions() as launcher:
        end = await (await launcher.start(WorkerSpec(kind="test", argv=argv))).exited()
    assert end.code == EXIT_NO_TARGET
    assert text in end.output.decode()


async def test_a_command_without_settings_is_named() -> None:
    with pytest.raises(LaunchError, match="no '--id'"):
        settings_of(("worker",))
    async with inline_functions(double) as launcher:
        end = await (await launcher.start(WorkerSpec(kind="test", argv=("worker",)))).exited()
    assert "LaunchError" in end.detail
