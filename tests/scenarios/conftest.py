"""Pools of real processes for tests: where they live, how they are watched, that nothing of them stays."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from asyncmachine.api import Tracer
from asyncmachine.cli.pools import function_pool
from asyncmachine.node.client import NodeClient
from asyncmachine.node.config import PoolConfig
from asyncmachine.node.supervisor import Supervisor

JOBS = '''
import asyncio, os, signal, sys, time
from pathlib import Path

import anyio


def double(x):
    return 2 * x


def positive(x):
    if x < 0:
        raise ValueError(f"{x} is negative")
    return x


def pid(_):
    return os.getpid()


def _started(name):
    path = Path(f"{name}.started")
    path.with_suffix(".new").write_text(str(os.getpid()))
    path.with_suffix(".new").rename(path)


def gate(name):
    """Says that it has begun, and ends when it is told to. Other inputs come back at once."""
    if name.startswith("gate"):
        _started(name)
        while not Path(f"{name}.go").exists():
            time.sleep(0.005)
    return name


async def async_gate(name):
    if name.startswith("gate"):
        _started(name)
        try:
            while not Path(f"{name}.go").exists():
                await anyio.sleep(0.005)
        except BaseException:
            Path(f"{name}.cancelled").touch()
            raise
    return name


def die(x):
    """"die" kills its worker, "die once" only the first one; the rest comes back at once."""
    if x == "die once" and not Path("died").exists():
        Path("died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if x == "die":
        with open("deaths", "a") as file:
            print(os.getpid(), file=file)
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def leave(x):
    if x == "leave":
        sys.exit("had enough")
    return x


def long_text(size):
    return "a" * size
'''


class Command:
    """An ``am-node`` that runs."""

    def __init__(self, folder: Path, number: int, args: tuple[str, ...], env: dict[str, str]) -> None:
        self._out, self._err = folder / f"{number}.out", folder / f"{number}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "asyncmachine.cli.main", *args],
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def workers(self) -> list[psutil.Process]:
        try:
            return [
                c for c in psutil.Process(self.pid).children(recursive=True) if c.name().startswith("am-w")
            ]
        except psutil.NoSuchProcess:
            return []

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    async def exit(self, within: float = 15.0) -> int:
        """The exit code."""
        if (code := self.process.poll()) is not None:
            return code
        fd = os.pidfd_open(self.pid)
        try:
            with anyio.fail_after(within):
                await anyio.wait_readable(fd)
        finally:
            os.close(fd)
        return self.process.wait()


class History(Tracer):
    """The states that a machine, or a mirror, went through, in order."""

    def __init__(self) -> None:
        self.entered: list[str] = []

    def transition_end(self, machine: Any, transition: Any) -> None:
        if transition.accepted:
            self.entered += transition.enters

    def has_in_order(self, *states: str) -> bool:
        rest = iter(self.entered)
        return all(state in rest for state in states)


class Lab:
    """A folder with functions, and the processes that were started for a test."""

    def __init__(self, folder: Path, temp: Path) -> None:
        self.folder = folder
        self.temp = temp
        self.left_by_a_kill = False  # a supervisor that was killed cannot remove its folder
        self._commands: list[Command] = []
        (folder / "jobs.py").write_text(JOBS)

    # -- pools and clients in this process -----------------------------------------------------

    def pool(self, function: str = "double", **config: Any) -> Supervisor:
        sizes = {"min": 1, "max": 2, "warm": 0, "drain": 2.0, "grace": 2.0, "backoff_base": 0.01}
        settings = PoolConfig(**{**sizes, **config})
        return function_pool(f"jobs:{function}", config=settings, folder=str(self.folder))

    @asynccontextmanager
    async def client(self, pool: Supervisor, name: str | None = None) -> AsyncIterator[NodeClient]:
        async with NodeClient([pool.address], kind=pool.kind, client_id=name) as client:
            yield client

    # -- am-node -------------------------------------------------------------------------------

    def command(self, *args: str) -> Command:
        env = {**os.environ, "TMPDIR": str(self.temp), "COLUMNS": "200", "NO_COLOR": "1"}
        command = Command(self.folder, len(self._commands), args, env)
        self._commands.append(command)
        return command

    async def supervisor(self, function: str = "double", *args: str) -> tuple[Command, str]:
        """A supervisor with its address, ready for clients."""
        command = self.command("supervisor", f"jobs:{function}", "--port", "0", *args)
        await self.until(lambda: "\n" in command.out or command.process.poll() is not None)
        assert command.process.poll() is None, command.err
        return command, command.out.split()[-1]

    # -- gates ---------------------------------------------------------------------------------

    def gate(self, name: str) -> str:
        return str(self.folder / name) if "/" in name else name

    async def started(self, name: str) -> int:
        """Wait until the job of this name has begun; the pid of its worker."""
        path = self.folder / f"{name}.started"
        await self.until(path.exists)
        return int(path.read_text())

    def open(self, name: str) -> None:
        (self.folder / f"{name}.go").touch()

    # -- watching ------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], Any], within: float = 15.0) -> None:
        """Wait for what no event tells of: looks every 10 ms."""
        with anyio.fail_after(within):
            while not condition():
                await anyio.sleep(0.01)

    async def gone(self, *pids: int, within: float = 10.0) -> None:
        """Wait for the end of processes, which may be anybody's children."""
        with anyio.fail_after(within):
            for pid in pids:
                try:
                    fd = os.pidfd_open(pid)
                except ProcessLookupError:
                    continue
                try:
                    await anyio.wait_readable(fd)
                finally:
                    os.close(fd)

    def processes(self) -> list[int]:
        """All workers that were started here, and live."""
        return self._named("am-w")

    def _named(self, prefix: str) -> list[int]:
        found: list[int] = []
        for process in psutil.process_iter(["name", "status", "environ"]):
            info = process.info
            ours = (info["environ"] or {}).get("TMPDIR") == str(self.temp)
            if ours and info["name"].startswith(prefix) and info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        return found

    def end(self) -> None:
        """Kill what is left, so that a failed test does not disturb the next one; then complain."""
        running = [c for c in self._commands if c.process.poll() is None]
        left = self.processes()
        for command in running:
            command.process.kill()
            command.process.wait()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        for pid in self._named("am-forkserver"):  # each leaves when its command is gone
            with suppress(psutil.NoSuchProcess):
                psutil.Process(pid).wait(10)
        assert [c.process.args for c in running] == []
        assert left == [], "workers were left behind"
        if not self.left_by_a_kill:
            assert list(self.temp.iterdir()) == [], "temporary files were left behind"


@pytest.fixture
def anyio_backend() -> str:
    """One is enough here, where processes and signals are tested; test_flow.py runs on both."""
    return "asyncio"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    # Paths of Unix sockets are short: the folder of a test is too deep for them.
    temp = Path(tempfile.mkdtemp(prefix="am-", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(temp))
    lab = Lab(tmp_path, temp)
    try:
        yield lab
        lab.end()
    finally:
        shutil.rmtree(temp, ignore_errors=True)


@pytest.fixture
def history() -> type[History]:
    return History
