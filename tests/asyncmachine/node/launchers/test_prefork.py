"""Messages between a launcher and its fork server. The processes: test_handle.py, test_forkserver.py."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest

from asyncmachine.node.launchers import prefork


@pytest.mark.parametrize("message", [{}, {"argv": ["-m", "x"], "env": {"Ä": "\x00\n"}}, {"pid": 1}])
def test_a_message_is_complete_or_not_there(message: dict[str, object]) -> None:
    data = prefork.pack(message)
    assert prefork.split(data) == message
    assert all(prefork.split(data[:n]) is None for n in range(len(data)))


def test_a_process_can_be_named() -> None:
    code = "from asyncmachine.node.launchers.prefork import name_process\n"
    code += "name_process('am-w17')\nprint(open('/proc/self/comm').read(), end='')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "am-w17\n"


def ask(server: prefork.ForkServer, message: object, descriptors: tuple[int, ...] = ()) -> object:
    server.control.settimeout(20)
    socket.send_fds(server.control, [prefork.pack(message)], descriptors)
    data = b""
    while prefork.split(data) is None:
        chunk = server.control.recv(65536)
        assert chunk, "the fork server is gone"
        data += chunk
    return prefork.split(data)


def test_faults_are_answered_and_the_server_goes_on() -> None:
    server = prefork.launch(())
    try:
        assert ask(server, {"reap": 1}) == {"error": "[Errno 10] No child processes"}
        short = {"argv": ["-m", "this"], "cwd": "/", "env": {}}
        assert ask(server, short) == {"errno": 24, "error": "the fork server is out of descriptors"}
        assert ask(server, {"reap": 1}) == {"error": "[Errno 10] No child processes"}
    finally:
        server.control.close()
    assert server.process.wait(20) == 0, "the end of its socket is its end"


def test_an_interrupt_at_the_terminal_is_not_for_it() -> None:
    server = prefork.launch(())
    try:
        ask(server, {"reap": 1})  # it is past its start
        server.process.send_signal(signal.SIGINT)
        ask(server, {"reap": 1})
    finally:
        server.control.close()
    assert server.process.wait(20) == 0
