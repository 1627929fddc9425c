"""A client of workers with a schema of their own.

``NodeClient`` speaks to built-in workers only. What it does takes two sessions of aRPC: one with the
supervisor, which gives a lease, and one with the worker that was leased.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from thumbstates.thumbnailer import THUMBNAILER_SCHEMA, Thumb, ThumbnailerMachine, thumbnailer_machine
from worker import THUMB

from amstates.supervisor import SUPERVISOR_SCHEMA
from amstates.supervisor import SupervisorStates as super_ss
from asyncmachine.errors import ArgsError, NoWorker
from asyncmachine.node.args import GRANTED, Answer, decode_value
from asyncmachine.rpc.client import Client, tcp
from asyncmachine.schema import decode_record

__all__ = ["ThumbClient", "leased"]

KIND = "thumbs"
_decode_thumb = decode_record(Thumb)


class ThumbClient:
    """One leased worker: ``machine`` is its typed mirror, ``thumbs`` gives answers as they come."""

    def __init__(self, machine: ThumbnailerMachine, thumbs: Any) -> None:
        self.machine = machine
        self.thumbs = thumbs


@asynccontextmanager
async def leased(address: str, client_id: str) -> AsyncIterator[ThumbClient]:
    """Hold a worker of the pool at *address* (``HOST:PORT``) for the length of a block.

    Raises:
        NoWorker: the supervisor gives none.
    """
    host, _, port = address.rpartition(":")
    send_answer, answers = anyio.create_memory_object_stream[Answer](8)
    send_thumb, thumbs = anyio.create_memory_object_stream[Thumb](1024)

    def on_answer(payload: Any) -> bool:
        if payload.name == super_ss.ProvideWorker:
            send_answer.send_nowait(Answer.decode(payload.data))
        return True

    def on_thumb(payload: Any) -> bool:
        if payload.name != THUMB:
            return False
        try:
            send_thumb.send_nowait(_decode_thumb(decode_value(payload.data), THUMB))
        except ArgsError:
            return False
        return True

    supervisor = Client(
        tcp(host, int(port)), SUPERVISOR_SCHEMA, client_id=client_id, kind=KIND, on_payload=on_answer
    )
    with send_answer, answers, send_thumb, thumbs:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(supervisor.run)
            desk = await supervisor.ready()
            request = {"client": client_id, "kind": KIND, "digest": THUMBNAILER_SCHEMA.digest}
            await desk.add(super_ss.ProvideWorker, request=1, **request)
            answer = await answers.receive()
            while answer.status == "queued":
                answer = await answers.receive()
            if answer.status != GRANTED:
                raise NoWorker(answer.reason, answer.retry_after)
            worker = Client(
                tcp(answer.host, answer.port),
                THUMBNAILER_SCHEMA,
                client_id=client_id,
                ticket=answer.ticket,
                kind=KIND,
                on_payload=on_thumb,
                reconnect=False,
            )
            tasks.start_soon(worker.run)
            try:
                yield ThumbClient(thumbnailer_machine(await worker.ready()), thumbs)
            finally:
                worker.stop()  # which gives the worker back
                supervisor.stop()
