"""Frames: ``u32`` length of the body, big-endian; ``u8`` flags; body. Flags are zero in this version."""

from __future__ import annotations

from typing import Final

__all__ = ["HEADER_SIZE", "BadFlags", "FrameError", "FrameReader", "TooBig", "frame"]

HEADER_SIZE: Final = 5


class FrameError(ValueError):
    """A header that cannot be right."""


class BadFlags(FrameError):
    """Flags of another version."""


class TooBig(FrameError):
    """An announced length above the limit. Nothing of the body was kept."""


def frame(body: bytes) -> bytes:
    """The frame around *body*."""
    return b"%b\x00%b" % (len(body).to_bytes(4, "big"), body)


class FrameReader:
    """Cuts a stream of bytes into bodies, however it was segmented.

    The buffer grows with the bytes received, never by an announced length. ``limit`` (bytes of a
    body) may be changed between two calls of :meth:`next_body`.
    """

    __slots__ = ("_at", "_data", "_rest", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._data: bytes = b""  # the last chunk, whole: the common case copies nothing
        self._at = 0
        self._rest = bytearray()  # a frame that began in an earlier chunk

    def feed(self, data: bytes) -> None:
        """Take a chunk."""
        if self._at < len(self._data):
            self._rest += self._data[self._at :]
            self._data, self._at = b"", 0
        if self._rest:
            self._rest += data
        else:
            self._data, self._at = data, 0

    @property
    def partial(self) -> bool:
        """Whether bytes of an unfinished frame are waiting."""
        return bool(self._rest) or self._at < len(self._data)

    def next_body(self) -> bytes | None:
        """The next complete body, or None.

        Raises:
            FrameError: the header is wrong; the stream is lost.
        """
        if self._rest:
            return self._next_of_rest()
        data, at = self._data, self._at
        start = at + HEADER_SIZE
        if len(data) - at < 4:
            return None
        end = start + self._check(data[at:start])
        if end > len(data):
            return None
        self._at = end
        return data[start:end]

    def _next_of_rest(self) -> bytes | None:
        rest = self._rest
        if len(rest) < 4:
            return None
        end = HEADER_SIZE + self._check(rest[:HEADER_SIZE])
        if len(rest) < end:
            return None
        body = bytes(rest[HEADER_SIZE:end])
        del rest[:end]
        return body

    def _check(self, header: bytes | bytearray) -> int:
        """Length of the body; judged on the first four bytes already."""
        size = int.from_bytes(header[:4], "big")
        if size > self.limit:
            raise TooBig(f"a frame of {size} bytes, the limit is {self.limit}")
        if not size:
            raise FrameError("an empty frame")
        if len(header) > 4 and header[4]:
            raise BadFlags(f"frame flags {header[4]:#04x} are not known")
        return size
