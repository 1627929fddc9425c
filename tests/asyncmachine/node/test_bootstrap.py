from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

import anyio
import pytest

from asyncmachine.errors import NodeError
from asyncmachine.node.bootstrap import WorkerAddress, receive_address, report_address

pytestmark = pytest.mark.anyio

ADDRESS = WorkerAddress(
    worker="w1", kind="k", digest="d", pid=7, private="/run/w1.sock", host="127.0.0.1", port=4000
)


def pair() -> tuple[socket.socket, socket.socket]:
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    return ends


async def exchange(address: WorkerAddress) -> WorkerAddress:
    here, there = pair()
    found: list[Any] = []

    async def receive() -> None:
        try:
            found.append(await receive_address(here))
        except NodeError as error:
            found.append(error)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(receive)
            await report_address(there, address)
    if isinstance(found[0], NodeError):
        raise found[0]
    return found[0]  # type: ignore[no-any-return]


async def test_an_address_arrives() -> None:
    assert await exchange(ADDRESS) == ADDRESS


async def test_nonsense_is_named() -> None:
    with pytest.raises(NodeError, match=r"reported '127\.0\.0\.1:0' as its public address"):
        await exchange(replace(ADDRESS, port=0))


async def test_a_worker_that_leaves_without_a_word() -> None:
    here, there = pair()
    there.close()
    with anyio.fail_after(5), pytest.raises(NodeError, match="before it reported its address"):
        await receive_address(here)


async def test_a_supervisor_that_is_gone() -> None:
    here, there = pair()
    here.close()
    with anyio.fail_after(5), pytest.raises(NodeError, match="cannot report to the supervisor"):
        await report_address(there, ADDRESS)
