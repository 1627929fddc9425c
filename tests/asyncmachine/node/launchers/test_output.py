"""Ring, rotating file and log lines."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmachine.node.config import LogFiles
from asyncmachine.node.launchers import output as output_module
from asyncmachine.node.launchers.output import LineLog, Ring, RotatingFile


@given(st.lists(st.binary(max_size=40), max_size=300), st.integers(1, 64), st.integers(-1, 100))
def test_ring_keeps_the_end(chunks: list[bytes], limit: int, count: int) -> None:
    ring = Ring(limit)
    for chunk in chunks:
        ring.write(chunk)
    everything = b"".join(chunks)
    kept = min(count, limit)
    assert ring.tail(count) == (everything[-kept:] if kept > 0 else b"")


def test_ring_of_tiny_writes_stays_small() -> None:
    ring = Ring(1000)
    for _ in range(5000):
        ring.write(b"x")
    assert len(ring._chunks) <= 257
    assert ring.tail(2000) == b"x" * 1000


def files(folder: Path, **fields: int) -> LogFiles:
    return LogFiles(folder=str(folder / "logs"), **fields)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((folder / "logs").iterdir())}


def test_file_rotates_by_size_and_keeps_so_many(tmp_path: Path) -> None:
    file = RotatingFile("w", files(tmp_path, max_bytes=1024, keep=2))
    for letter in b"abcde":
        file.write(bytes([letter]) * 700)
    file.close()
    file.close()
    assert {n: c[:1] for n, c in contents(tmp_path).items()} == {
        "w.log": b"e",
        "w.log.1": b"d",
        "w.log.2": b"c",
    }
    assert (tmp_path / "logs").stat().st_mode & 0o777 == 0o700


def test_file_without_predecessors(tmp_path: Path) -> None:
    file = RotatingFile("w", files(tmp_path, max_bytes=1024, keep=0))
    file.write(b"a" * 1000)
    file.write(b"b" * 5000)
    file.close()
    assert contents(tmp_path) == {"w.log": b"b" * 1024}, "a chunk larger than a file keeps its end"


def test_file_rotates_on_demand_and_continues_an_old_one(tmp_path: Path) -> None:
    first = RotatingFile("w", files(tmp_path))
    first.write(b"one ")
    first.close()
    second = RotatingFile("w", files(tmp_path))
    second.write(b"two")
    second.rotate()
    second.write(b"three")
    second.close()
    second.rotate()
    second.write(b"ignored, it is closed")
    assert contents(tmp_path) == {"w.log": b"three", "w.log.1": b"one two"}


def test_full_disk_ends_the_writing_with_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = RotatingFile("w", files(tmp_path))

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(output_module.os, "write", full)
    file.write(b"x")
    file.write(b"x")
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "No space left" in caplog.text


def test_folder_that_cannot_be_made_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "logs").write_text("a file")
    RotatingFile("w", files(tmp_path)).write(b"x")
    assert "no longer written" in caplog.text


def test_a_link_in_place_of_the_file_is_not_followed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "w.log").symlink_to(target)
    RotatingFile("w", files(tmp_path)).write(b"x")
    assert target.read_text() == "precious"
    assert "no longer written" in caplog.text


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records]


def test_lines_are_put_together_from_any_pieces(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log = LineLog("w")
    for piece in (b"o", b"ne\ntw", b"o\r\n\nlast \xff"):
        log.write(piece, 0.0)
    log.close()
    log.close()
    assert logged(caplog) == ["w: one", "w: two", "w: ", r"w: last \xff"]


def test_control_characters_do_not_reach_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    LineLog("w").write(b"a\tb\x1b[2J\x00\x7f\n", 0.0)
    assert logged(caplog) == ["w: a\tb\\x1b[2J\\x00\\x7f"]


def test_too_many_lines_are_counted_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log = LineLog("w", rate=10)
    log.write(b"x\n" * 30, 100.0)
    log.write(b"y\n" * 30, 100.0)
    assert len(caplog.records) == 10
    log.write(b"z\n", 101.0)
    assert logged(caplog)[10:] == ["w: 50 lines of output not logged", "w: z"]


def test_a_line_without_end_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log = LineLog("w")
    for _ in range(100):
        log.write(b"x" * 1000, 0.0)
    log.close()
    assert [len(m) for m in logged(caplog)] == [8192 + 3]
