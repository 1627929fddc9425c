"""``am-gen diff``."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Run = Callable[..., Result]

BREAKS = (
    "  old and new peers refuse each other when they connect, and do not try again: start the new ones "
    "beside the old, on other addresses, let clients move, then stop the old\n"
)


@pytest.fixture
def versions(project: Path) -> Path:
    """The project with its schemas copied to ``old`` and the lamp changed."""
    shutil.copytree(project / "schemas", project / "old")
    path = project / "schemas" / "lamp.yaml"
    path.write_text(path.read_text("utf-8").replace("require: [Start]", "require: [Ready]"), "utf-8")
    return project


@pytest.mark.parametrize("paths", [("old", "schemas"), ("old/lamp.yaml", "schemas/lamp.yaml")])
def test_two_versions(versions: Path, run: Run, paths: tuple[str, str]) -> None:
    done = run("diff", *paths)
    assert (done.exit_code, done.stderr) == (1, "")
    first, second, digest, advice = done.stdout.splitlines(keepends=True)
    assert (first, second) == (
        "Lamp:\n",
        f"  breaks  {'Lit: require +Ready -Start':<50}  schemas/lamp.yaml:5:3\n",
    )
    assert digest.startswith("  digest  ")
    assert advice == BREAKS


def test_no_differences(project: Path, run: Run) -> None:
    done = run("diff", "schemas", "schemas/lamp.yaml")
    assert (done.exit_code, done.stdout) == (0, "no differences\n")


def test_what_is_safe_exits_with_0(versions: Path, run: Run) -> None:
    text = (versions / "old" / "lamp.yaml").read_text("utf-8")
    (versions / "schemas" / "lamp.yaml").write_text(
        text.replace("doc: It is lit.", "doc: d, timeout: 3"), "utf-8"
    )
    (versions / "schemas" / "door.yaml").write_text(text.replace("Lamp", "Door"), "utf-8")
    done = run("diff", "old", "schemas")
    assert done.exit_code == 0
    together = "old and new peers work together, in any order"
    assert [re.sub(r" {2,}", "  ", line.strip()) for line in done.stdout.splitlines()] == [
        *("Door:", "safe  machine added  schemas/door.yaml:1:10", together),
        *("Lamp:", "safe  Lit: timeout none -> 3  schemas/lamp.yaml:5:3", together),
    ]
    gone = run("diff", "schemas", "old").stdout
    assert f"  breaks  {'machine removed':<50}  schemas/door.yaml:1:10\n" in gone


def test_json(versions: Path, run: Run) -> None:
    done = run("diff", "old", "schemas", "--format", "json")
    assert done.exit_code == 1
    (machine,) = json.loads(done.stdout)["machines"]
    assert (machine["machine"], machine["effect"]) == ("Lamp", "breaks")
    assert machine["old_digest"] != machine["new_digest"]
    assert machine["changes"] == [
        {
            "subject": "Lit",
            "text": "require +Ready -Start",
            "effect": "breaks",
            "path": "schemas/lamp.yaml",
            "line": 5,
            "column": 3,
        }
    ]


def test_wrong_usage_and_broken_schemas(versions: Path, run: Run) -> None:
    for words in ((), ("old",), ("old", "old", "old"), ("old", "old", "--git", "HEAD"), ("--git", "-x")):
        assert run("diff", *words).exit_code == 3, words
    (versions / "notes.txt").write_text("x", "utf-8")
    assert run("diff", "notes.txt", "schemas").exit_code == 3
    (versions / "old" / "lamp.yaml").write_text("machine: Lamp\nstates: {A: {require: [B]}}\n", "utf-8")
    done = run("diff", "old", "schemas")
    assert (done.exit_code, "error[AM301]" in done.stderr) == (2, True)
    (versions / "old" / "x.yml").write_text("", "utf-8")
    done = run("diff", "old", "schemas")
    assert (done.exit_code, "error[AM010]" in done.stderr) == (2, True)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_revision(versions: Path, run: Run) -> None:
    def git(*words: str) -> None:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, *words], cwd=versions, check=True, capture_output=True)  # noqa: S607

    done = run("diff", "--git", "HEAD")
    assert (done.exit_code, "git archive of HEAD in schemas failed" in done.stderr) == (1, True)
    new = (versions / "schemas" / "lamp.yaml").read_text("utf-8")
    git("init", "-q")
    (versions / "README").write_text("x", "utf-8")
    git("add", "README")
    git("commit", "-qm", "zero")
    shutil.copy(versions / "old" / "lamp.yaml", versions / "schemas" / "lamp.yaml")
    git("add", "schemas")
    git("commit", "-qm", "one")
    assert run("diff", "--git", "HEAD").stdout == "no differences\n"
    (versions / "schemas" / "lamp.yaml").write_text(new, "utf-8")
    for words in (("--git", "HEAD"), ("schemas", "--git", "HEAD"), ("schemas/lamp.yaml", "--git", "HEAD")):
        done = run("diff", *words)
        assert (done.exit_code, "breaks  Lit: require +Ready -Start" in done.stdout) == (1, True), done.output
    (versions / "schemas" / "door.yaml").write_text(new.replace("Lamp", "Door"), "utf-8")
    assert "machine added" in run("diff", "schemas/door.yaml", "--git", "HEAD").stdout
    assert "machine added" in run("diff", "--git", "HEAD~1").stdout  # there was no such folder
    assert run("diff", "--git", "no-such-branch").exit_code == 1
