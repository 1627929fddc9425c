"""A small process that has imported what workers need, and makes workers by forking itself.

Runs as ``python -m asyncmachine.node.launchers.prefork``, in one thread and without an event loop, so that a
fork of it is a clean start. It is driven over one inherited socket: a request is a JSON object with a length
before it, and each has one answer. The end of that socket is its end.

Only the standard library is imported here: whoever starts a fork server wants to do so early.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["BOOT", "LIFE", "ForkServer", "launch", "main", "name_process", "pack", "split"]

BOOT: Final = "ASYNCMACHINE_BOOT_FD"
"""Variable with the number of the descriptor of the boot channel; see ``child``."""
LIFE: Final = "ASYNCMACHINE_LIFE_FD"
"""The same for the life line."""

_LENGTH: Final = struct.Struct("!I")
_DESCRIPTORS: Final = 3  # boot, life, output
_CHUNK: Final = 64 * 1024


# -- the side of the launcher ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ForkServer:
    """A fork server that was started, and our end of its socket."""

    process: subprocess.Popen[bytes]
    control: socket.socket


def launch(preload: Sequence[str]) -> ForkServer:
    """Start a fork server, which prepares itself while we go on.

    Args:
        preload: modules to import; ``module:function`` to call, too. They must start no thread.

    Raises:
        OSError: no more processes or descriptors.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(  # noqa: S603 - our own module, in our own interpreter
                [sys.executable, "-m", __name__, str(theirs.fileno()), *preload],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # a Ctrl-C at the terminal is not for it
            )
        except OSError:
            ours.close()
            raise
    return ForkServer(process, ours)


def pack(message: object) -> bytes:
    """One message, as it is sent."""
    data = json.dumps(message).encode()
    return _LENGTH.pack(len(data)) + data


def split(data: bytes) -> Any | None:
    """The one message that *data* holds, or None while it is not complete."""
    if len(data) < _LENGTH.size or len(data) < _LENGTH.size + _LENGTH.unpack_from(data)[0]:
        return None
    return json.loads(data[_LENGTH.size :])


def name_process(name: str) -> None:
    """Let tools that list processes show *name*, at most 15 characters; where that can be done."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name, "utf-8")


# -- the process -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Job:
    """What a forked child is to run: the arguments of an interpreter, without its name."""

    argv: tuple[str, ...]


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until the launcher is gone; a forked child comes out of it as the worker it is to be."""
    number, *preload = sys.argv[1:] if argv is None else argv
    gc.disable()  # what is imported stays, so there is nothing to collect
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    name_process("am-forkserver")
    with socket.socket(fileno=int(number)) as control:
        control.set_inheritable(False)
        for name in preload:
            _prepare(name)
        gc.freeze()  # the collector of a child leaves these pages alone, so they stay shared
        job = _serve(control)
    if job is not None:
        _run(job.argv)


def _prepare(name: str) -> None:
    module, _, function = name.partition(":")
    with contextlib.suppress(ImportError):  # the worker that needs it says so, where it is seen
        loaded = importlib.import_module(module)
        if function:
            getattr(loaded, function)()


def _serve(control: socket.socket) -> _Job | None:
    """Answer requests. Returns in each child with its job, and here with None at the end."""
    while True:
        data, descriptors = b"", list[int]()
        while (message := split(data)) is None:
            chunk, more, _, _ = socket.recv_fds(control, _CHUNK, _DESCRIPTORS)
            if not chunk:
                return None
            data += chunk
            descriptors += more
        if "reap" in message:
            answer = _reap(message["reap"])
        else:
            pid_or_error = _fork(message, descriptors)
            if pid_or_error is None:
                return _Job(tuple(message["argv"]))
            answer = pid_or_error
        control.sendall(pack(answer))


def _reap(pid: int) -> dict[str, Any]:
    try:
        found, status, usage = os.wait4(pid, os.WNOHANG)
    except OSError as error:
        return {"error": str(error)}
    if not found:
        return {"error": f"pid {pid} is still there"}
    return {"status": status, "usage": [usage.ru_utime, usage.ru_stime, usage.ru_maxrss]}


def _fork(message: dict[str, Any], descriptors: list[int]) -> dict[str, Any] | None:
    """Fork. None in the child, which has become what the message asks for; else the answer."""
    ours = list(descriptors)
    try:
        if len(descriptors) != _DESCRIPTORS:
            return {"errno": errno.EMFILE, "error": "the fork server is out of descriptors"}
        folder = os.open(message["cwd"], os.O_RDONLY | os.O_DIRECTORY)
        ours.append(folder)
        pid = os.fork()
        if pid == 0:
            boot, life, output = descriptors
            _become(message["env"], boot, life, output, folder)
            ours = [output, folder]
            return None
    except OSError as error:
        return {"errno": error.errno, "error": error.strerror}
    finally:
        for descriptor in ours:
            os.close(descriptor)
    return {"pid": pid}


def _become(env: dict[str, str], boot: int, life: int, output: int, folder: int) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.fchdir(folder)
    os.environ.clear()
    os.environ.update({**env, BOOT: str(boot), LIFE: str(life)})


def _run(argv: tuple[str, ...]) -> None:
    """Run as ``python *argv`` would: ``-m module args``, or ``script args``."""
    gc.enable()
    if argv[0] == "-m":
        name, args = argv[1], argv[2:]
        _first_path(str(Path.cwd()))
        sys.argv = [name, *args]
        sys.modules.pop(name, None)  # it was preloaded; what it imports stays
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    else:
        _first_path(str(Path(argv[0]).resolve().parent))
        sys.argv = list(argv)
        runpy.run_path(argv[0], run_name="__main__")


def _first_path(folder: str) -> None:
    """What ``python`` puts first in the path depends on what it runs."""
    if not sys.flags.safe_path:
        sys.path[0] = folder


if __name__ == "__main__":
    main()
