"""The program of a worker: a machine with a schema of its own, which extends the built-in Worker."""

from __future__ import annotations

import argparse
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread
from pictures import fitting, read_ppm, scale, write_png
from thumbstates.thumbnailer import (
    THUMBNAILER_SCHEMA,
    Filter,
    Size,
    Thumb,
    ThumbnailerHandlers,
    ThumbReadyArgs,
    ThumbRequestedArgs,
)
from thumbstates.thumbnailer import ThumbnailerStates as ss

from asyncmachine.errors import RpcError
from asyncmachine.node.args import encode_value
from asyncmachine.node.launchers.child import inherit
from asyncmachine.node.worker import Worker, WorkerSettings
from asyncmachine.schema import Event, to_wire

__all__ = ["THUMB", "Thumbnailer"]

THUMB = "thumb"
"""Name of the payloads that carry a Thumb."""


def make(job: ThumbRequestedArgs) -> Thumb:
    """Make one thumbnail, beside its picture. Runs in a thread."""
    source = Path(job.picture)
    picture = read_ppm(source)
    width, height = fitting(picture, job.bounds.width, job.bounds.height)
    small = scale(picture, width, height, smooth=job.filter is Filter.BOX)
    target = source.with_suffix(".thumb.png")
    write_png(target, small)
    size = Size(width=width, height=height)
    return Thumb(id=job.id, path=str(target), size=size, made=datetime.now(UTC))


class Thumbnailer(Worker, ThumbnailerHandlers):
    """Requests queue up while one picture is being scaled; each answer leaves before the next begins."""

    def __init__(self, settings: WorkerSettings) -> None:
        super().__init__(settings, THUMBNAILER_SCHEMA)
        self._jobs: deque[ThumbRequestedArgs] = deque()

    def thumb_requested_state(self, event: Event[ThumbRequestedArgs]) -> None:
        """Put it in line, and begin with it if nothing else is going on."""
        self._jobs.append(event.data)
        event.machine.add(ss.Scaling)

    async def scaling_state(self, event: Event[Any]) -> None:
        """Work until the line is empty."""
        while self._jobs:
            job = self._jobs.popleft()
            try:
                thumb = await to_thread.run_sync(make, job)
            except (OSError, ValueError) as error:
                event.machine.add_error(error, ss.ErrThumb)
                thumb = Thumb(id=job.id, error=str(error), made=datetime.now(UTC))
            event.machine.add(ss.ThumbReady, thumb=thumb)
        event.machine.remove([ss.Scaling, ss.Working, ss.ThumbRequested])

    def thumb_ready_state(self, event: Event[ThumbReadyArgs]) -> None:
        """Tell the client, if it is still there."""
        event.machine.remove(ss.ThumbReady)
        if self.client is not None:
            with suppress(RpcError):
                self.client.send_payload_nowait(THUMB, encode_value(to_wire(event.data.thumb)))

    def err_thumb_state(self, event: Event[Any]) -> None:
        """The client is told of it in the answer, so it is over."""
        event.machine.remove([ss.ErrThumb, ss.Exception])

    def exception_state(self, event: Event[Any]) -> None:
        """See :meth:`err_thumb_state`."""

    def client_connected_end(self, event: Event[Any]) -> None:
        """Nobody wants the rest."""
        self._jobs.clear()
        super().client_connected_end(event)


async def main(options: argparse.Namespace) -> None:
    """Live until the supervisor wants the worker to end, or is gone."""
    inherited = inherit()
    if inherited is None:
        raise SystemExit("worker.py is started by a supervisor; run main.py")
    times = {"drain": options.drain, "heartbeat": options.heartbeat}
    worker = Thumbnailer(
        WorkerSettings(worker=options.id, kind=options.kind, run_dir=options.run_dir, **times)
    )

    async def orphan() -> None:
        await inherited.orphaned()
        worker.orphaned()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(orphan)
        await worker.run(inherited.boot)
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--id", "--kind", "--run-dir"):
        parser.add_argument(name, required=True)
    for name in ("--drain", "--heartbeat"):
        parser.add_argument(name, type=float, required=True)
    anyio.run(main, parser.parse_known_args()[0])
