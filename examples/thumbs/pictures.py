"""Pictures: read a PPM file, scale it down, write a PNG file. The standard library is enough for that."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Picture", "fitting", "read_ppm", "scale", "stripes", "write_png"]


@dataclass(frozen=True, slots=True)
class Picture:
    """``pixels`` holds red, green and blue of each pixel, row by row, a byte each."""

    width: int
    height: int
    pixels: bytes


def read_ppm(path: Path) -> Picture:
    """Read a binary PPM file (P6, 8 bits).

    Raises:
        ValueError: it is something else.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    words = data.split(maxsplit=4)
    if len(words) < 5 or words[0] != b"P6" or words[3] != b"255":
        raise ValueError(f"{path} is not a PPM file of the kind P6 with 8 bits")
    width, height = int(words[1]), int(words[2])
    start = len(data) - width * height * 3
    if width < 1 or height < 1 or start < 0:
        raise ValueError(f"{path} does not hold {width} x {height} pixels")
    return Picture(width, height, data[start:])


def fitting(picture: Picture, width: int, height: int) -> tuple[int, int]:
    """The largest size of the picture's shape within *width* x *height*, and no larger than itself."""
    ratio = min(1.0, width / picture.width, height / picture.height)
    return max(1, round(picture.width * ratio)), max(1, round(picture.height * ratio))


def scale(picture: Picture, width: int, height: int, *, smooth: bool) -> Picture:
    """The picture with another size; each pixel is the mean of those it stands for, or one of them."""
    pixels = bytearray()
    for y in range(height):
        rows = range(y * picture.height // height, max(1, (y + 1) * picture.height // height))
        for x in range(width):
            columns = range(x * picture.width // width, max(1, (x + 1) * picture.width // width))
            if not smooth:
                rows, columns = rows[:1], columns[:1]
            places = [(row * picture.width + column) * 3 for row in rows for column in columns]
            pixels += bytes(sum(picture.pixels[p + c] for p in places) // len(places) for c in range(3))
    return Picture(width, height, bytes(pixels))


def write_png(path: Path, picture: Picture) -> None:
    """Write the picture as PNG (8 bits, red green blue)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    line = picture.width * 3
    rows = b"".join(b"\0" + picture.pixels[y * line : (y + 1) * line] for y in range(picture.height))
    head = struct.pack(">IIBBBBB", picture.width, picture.height, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def stripes(path: Path, width: int, height: int, step: int) -> None:
    """Draw a picture to make a thumbnail of: slanted stripes over a shade."""
    pixels = bytearray()
    for y in range(height):
        for x in range(width):
            stripe = 255 if (x + y) // step % 2 else 0
            pixels += bytes((stripe, x * 255 // width, y * 255 // height))
    path.write_bytes(f"P6\n{width} {height}\n255\n".encode() + pixels)
