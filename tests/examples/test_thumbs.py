"""The project of a user: its modules are fresh, its types fit, and it does its work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from amgen import json_schema

HERE = Path(__file__).parents[2] / "examples" / "thumbs"


def run(*command: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=HERE,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_its_modules_are_fresh() -> None:
    done = run("-m", "amgen", "check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 files are up to date\n", "")
    assert (HERE / "schemas" / "schema.json").read_text("utf-8") == json_schema.text()


def test_its_invariants_are_proved() -> None:
    done = run("-m", "amgen", "verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("Thumbnailer: 2 invariants, ")
    assert "proved for all" in done.stdout


def test_it_draws_pictures_and_makes_thumbnails() -> None:
    done = run("main.py")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "6 of 7 pictures have a thumbnail"
    assert any(line.endswith("stripes0.ppm 64 x 48") for line in lines)
    assert any(line.endswith("broken.ppm is not a PPM file of the kind P6 with 8 bits") for line in lines)


def test_thumbnails_are_the_pictures_made_small(tmp_path: Path) -> None:
    (tmp_path / "red.ppm").write_bytes(b"P6\n4 2\n255\n" + bytes((200, 0, 0, 100, 0, 0) * 4))
    done = run("main.py", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    png = (tmp_path / "red.thumb.png").read_bytes()
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(png[16:20], "big") == 4  # it is smaller than the bounds already


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    done = run("main.py", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "0 of 0 pictures have a thumbnail\n")


@pytest.mark.timeout(120)
def test_its_types_fit(tmp_path: Path) -> None:
    done = run("-m", "mypy", "--strict", "--cache-dir", str(tmp_path), "main.py", MYPYPATH=".")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
