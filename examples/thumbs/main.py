"""Make thumbnails of pictures with two worker processes, which run a machine of our own.

Run ``python main.py`` to draw some pictures and make thumbnails of them, or ``python main.py FOLDER`` for
the ``.ppm`` files of a folder. It needs no network and no service.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import anyio
from client import KIND, leased
from pictures import stripes
from thumbstates.thumbnailer import THUMBNAILER_SCHEMA, Filter, Size, Thumb
from thumbstates.thumbnailer import ThumbnailerStates as ss

from asyncmachine import PoolConfig, ProcessLauncher, Supervisor, WorkerSpec

HERE = Path(__file__).parent
WORKERS = 2
BOUNDS = Size(width=64, height=64)


async def one_client(address: str, number: int, pictures: Sequence[Path]) -> list[Thumb]:
    """Have these pictures made small by one worker."""
    found: list[Thumb] = []
    async with leased(address, f"client-{number}") as client:
        for id_, picture in enumerate(pictures):
            how = Filter.NEAREST if id_ % 2 else Filter.BOX
            await client.machine.add(
                ss.ThumbRequested, id=id_, picture=str(picture), bounds=BOUNDS, filter=how
            )
        while len(found) < len(pictures):
            thumb = await client.thumbs.receive()
            found.append(thumb)
            size = f"{thumb.size.width} x {thumb.size.height}" if thumb.size else thumb.error
            print(f"worker {number}: {pictures[thumb.id].name:<12} {size}")
        await client.machine.when_not(ss.Scaling)
    return found


async def thumbnails(pictures: Sequence[Path]) -> list[Thumb]:
    """Make thumbnails of these pictures, beside them."""
    spec = WorkerSpec(kind=KIND, argv=(sys.executable, str(HERE / "worker.py")))
    config = PoolConfig(min=WORKERS, max=WORKERS, warm=0)
    parts: dict[int, list[Thumb]] = {}
    async with Supervisor(ProcessLauncher(), spec, config=config, schema=THUMBNAILER_SCHEMA) as pool:

        async def work(number: int) -> None:
            parts[number] = await one_client(pool.address, number, pictures[number::WORKERS])

        async with anyio.create_task_group() as tasks:
            for number in range(WORKERS):
                tasks.start_soon(work, number)
    return [thumb for number in sorted(parts) for thumb in parts[number]]


def draw(folder: Path) -> None:
    """Something to make thumbnails of, and one file that is broken."""
    for number in range(6):
        stripes(folder / f"stripes{number}.ppm", 160 + 40 * number, 120, 4 + number)
    (folder / "broken.ppm").write_bytes(b"P6 of a kind")


def main(arguments: Sequence[str]) -> int:
    """Run; 0 when every picture has a thumbnail, or is one that cannot have one."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(arguments[0]) if arguments else Path(made)
        if not arguments:
            draw(folder)
        found = anyio.run(thumbnails, sorted(folder.glob("*.ppm")))
        done = [thumb for thumb in found if thumb.path and Path(thumb.path).is_file()]
    print(f"{len(done)} of {len(found)} pictures have a thumbnail")
    return 0 if found and all(thumb.path or thumb.error for thumb in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
