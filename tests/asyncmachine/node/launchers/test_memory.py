"""The counters of the OOM killer, in both versions of control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncmachine.node.launchers.memory import OomWatch


def v2(root: Path, count: int) -> None:
    file = root / "app" / "memory.events"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"low 0\nhigh 3\noom 1\noom_kill {count}\n")


def v1(root: Path, count: int) -> None:
    file = root / "app" / "memory.oom_control"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"oom_kill_disable 0\nunder_oom 0\noom_kill {count}\n")


@pytest.mark.parametrize(("write", "groups"), [(v2, "0::/app\n"), (v1, "9:name=x:/\n4:cpu,memory:/app\n")])
def test_each_kill_is_told_once(tmp_path: Path, write: object, groups: str) -> None:
    assert callable(write)
    write(tmp_path, 5)
    watch = OomWatch(groups, v1=tmp_path, v2=tmp_path)
    assert watch.killed() is False, "those before were nobody's of ours"
    write(tmp_path, 7)
    assert [watch.killed() for _ in range(3)] == [True, True, False]


def test_without_a_counter_nothing_is_known(tmp_path: Path) -> None:
    assert OomWatch("0::/app\n", v1=tmp_path, v2=tmp_path).killed() is None
    assert OomWatch("", v1=tmp_path, v2=tmp_path).killed() is None
    (tmp_path / "memory.events").write_text("nonsense")
    assert OomWatch("0::/gone\n", v1=tmp_path, v2=tmp_path).killed() is None


def test_the_group_of_a_container_is_at_the_root_of_its_file_system(tmp_path: Path) -> None:
    (tmp_path / "memory.events").write_text("oom_kill 0\n")
    watch = OomWatch("0::/docker/123\n", v1=tmp_path, v2=tmp_path)
    (tmp_path / "memory.events").write_text("oom_kill 1\n")
    assert watch.killed() is True
