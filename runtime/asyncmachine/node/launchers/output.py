"""What becomes of the output of a worker: a ring in memory, a rotating file, lines in the log."""

from __future__ import annotations

import logging
import os
from collections import deque
from pathlib import Path

from asyncmachine.node.config import LogFiles

__all__ = ["LineLog", "Ring", "RotatingFile"]

log = logging.getLogger("asyncmachine.node.output")


class Ring:
    """The last *limit* bytes written to it."""

    def __init__(self, limit: int = 64 * 1024) -> None:
        self.limit = limit
        self._chunks: deque[bytes] = deque()
        self._size = 0

    def write(self, data: bytes) -> None:
        """Append, and forget what no longer fits."""
        self._chunks.append(data[-self.limit :])
        self._size += len(self._chunks[-1])
        while self._size - len(self._chunks[0]) >= self.limit:
            self._size -= len(self._chunks.popleft())
        if len(self._chunks) > 256:  # many small writes: keep the list short
            whole = b"".join(self._chunks)[-self.limit :]
            self._chunks = deque([whole])
            self._size = len(whole)

    def tail(self, count: int) -> bytes:
        """The last *count* bytes, or fewer if there are fewer."""
        return b"".join(self._chunks)[-min(count, self.limit) :] if count > 0 else b""


class RotatingFile:
    """``<folder>/<name>.log`` of bounded size, with a bounded number of predecessors ``.1``, ``.2``...

    A failure of the disk ends the writing, once and with a warning: a worker does not suffer from it.
    """

    def __init__(self, name: str, files: LogFiles) -> None:
        self.path = Path(files.folder) / f"{name}.log"
        self.files = files
        self._file: int | None = None
        self._size = 0
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._open()
        except OSError as error:
            self._give_up(error)

    def write(self, data: bytes) -> None:
        """Append; rotates first when the file would grow over its size."""
        if self._file is None:
            return
        try:
            if self._size and self._size + len(data) > self.files.max_bytes:
                self.rotate()
            view = memoryview(data)[-self.files.max_bytes :]
            while view and self._file is not None:
                written = os.write(self._file, view)
                self._size += written
                view = view[written:]
        except OSError as error:
            self._give_up(error)

    def rotate(self) -> None:
        """Move the file to ``.1`` and begin a new one."""
        if self._file is None:
            return
        try:
            self.close()
            for number in range(self.files.keep, 0, -1):
                older = self._numbered(number - 1)
                if older.exists():
                    older.replace(self._numbered(number))
            if self.files.keep == 0:
                self.path.unlink(missing_ok=True)
            self._open()
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Close the file. Harmless if it is closed."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(self.path, flags, 0o600)
        self._size = os.fstat(self._file).st_size

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path

    def _give_up(self, error: OSError) -> None:
        log.warning("%s: no longer written: %s", self.path, error)
        self.close()


class LineLog:
    """Sends whole lines to the logger ``asyncmachine.node.output``, tagged, and not too many.

    Args:
        tag: id of the worker, put before each line.
        rate: lines per second, and as many at once; the others are counted, and the count is logged.
    """

    def __init__(self, tag: str, rate: float = 100.0) -> None:
        self.tag = tag
        self.rate = rate
        self._tokens = rate
        self._last = 0.0
        self._rest = b""
        self._dropped = 0

    def write(self, data: bytes, now: float) -> None:
        """Log the lines that *data* completes; *now* is a monotonic time in seconds."""
        self._tokens = min(self.rate, self._tokens + (now - self._last) * self.rate)
        self._last = now
        if self._tokens < 1:
            self._dropped += data.count(b"\n")
            self._rest = b""
            return
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-8192:]
        allowed = int(self._tokens)
        self._report_dropped()
        for line in lines[:allowed]:
            self._emit(line)
        self._dropped += len(lines) - len(lines[:allowed])
        self._tokens -= len(lines[:allowed])

    def close(self) -> None:
        """Log the last line, though it was not ended, and what was dropped."""
        if self._rest:
            self._emit(self._rest)
            self._rest = b""
        self._report_dropped()

    def _emit(self, line: bytes) -> None:
        text = line[:8192].decode("utf-8", "backslashreplace").rstrip("\r")
        log.info("%s: %s", self.tag, text.translate(_PRINTABLE))

    def _report_dropped(self) -> None:
        if self._dropped:
            log.warning("%s: %d lines of output not logged", self.tag, self._dropped)
            self._dropped = 0


# Control characters of a worker must not reach the terminal of whoever reads the log.
_PRINTABLE = {code: f"\\x{code:02x}" for code in [*range(9), *range(10, 32), 127]}
