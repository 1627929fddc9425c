"""``generated/`` is exactly what ``schemas/`` compile to."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "amgen", "check"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_generated_modules_are_fresh() -> None:
    done = check(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_edited_module_is_found(tmp_path: Path) -> None:
    for name in ("schemas", "generated"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    target = tmp_path / "generated" / "amstates" / "basic.py"
    target.write_text(target.read_text("utf-8").replace("Exception", "Exceptional", 1), "utf-8")
    done = check(tmp_path)
    assert done.returncode == 1
    assert "basic.py" in done.stdout + done.stderr
