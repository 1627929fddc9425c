"""Whether the kernel has killed something of ours because memory had run out."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["OomWatch"]

_V2: Final = Path("/sys/fs/cgroup")
_V1: Final = Path("/sys/fs/cgroup/memory")


class OomWatch:
    """Counts the kills of the OOM killer in the control group of this process, where that can be read.

    Workers live in the group of their supervisor, so a kill counted here next to a worker that ended by
    SIGKILL is a kill of that worker, most likely; each is told of once.

    Args:
        groups: what ``/proc/self/cgroup`` says; v1, v2: where the file systems are.
    """

    def __init__(self, groups: str | None = None, *, v1: Path = _V1, v2: Path = _V2) -> None:
        self._file = _file(_groups() if groups is None else groups, v1, v2)
        self._told = self._count() or 0

    def killed(self) -> bool | None:
        """Whether there was a kill that was not told of yet; None: it cannot be known."""
        count = self._count()
        if count is None:
            return None
        if count <= self._told:
            return False
        self._told += 1
        return True

    def _count(self) -> int | None:
        if self._file is None:
            return None
        try:
            rows = dict(line.split() for line in self._file.read_text("ascii").splitlines())
            return int(rows["oom_kill"])
        except (OSError, ValueError, KeyError):
            return None


def _groups() -> str:
    try:
        return Path("/proc/self/cgroup").read_text("utf-8")
    except OSError:
        return ""


def _file(groups: str, v1: Path, v2: Path) -> Path | None:
    """The first file that exists: in a container the path of the group may be another one inside."""
    found: list[Path] = []
    for line in groups.splitlines():
        _, _, rest = line.partition(":")
        kinds, _, path = rest.partition(":")
        here = path.strip("/")
        if kinds == "":
            found += [v2 / here / "memory.events", v2 / "memory.events"]
        elif "memory" in kinds.split(","):
            found += [v1 / here / "memory.oom_control", v1 / "memory.oom_control"]
    return next((file for file in found if file.is_file()), None)
