"""``am-gen new``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import Result

Run = Callable[..., Result]


def test_a_new_schema_compiles(project: Path, run: Run) -> None:
    done = run(
        "new", "FrontDoor", "--states", "Open:remove(Shut),Shut:auto:remove(Open),Ready", "-e", "basic"
    )
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == (
        "wrote schemas/front_door.yaml; fill in what follows each `doc:`, then run am-gen compile\n"
    )
    text = (project / "schemas" / "front_door.yaml").read_text("utf-8")
    assert "  Ready: {}\n" in text  # it has a doc already
    done = run("compile")
    assert done.exit_code == 0
    assert done.stderr.count("warning[AM311]") == 2
    assert (project / "made" / "front_door.py").is_file()


def test_it_may_extend_what_is_there(project: Path, run: Run) -> None:
    assert run("new", "Torch", "-s", "Lit,Dark:multi", "-e", "lamp").exit_code == 0
    text = (project / "schemas" / "torch.yaml").read_text("utf-8")
    assert text.endswith("extends: [lamp]\nstates:\n  Lit: {}\n  Dark:\n    multi: true\n")


def test_nothing_is_overwritten(project: Path, run: Run) -> None:
    before = (project / "schemas" / "lamp.yaml").read_text("utf-8")
    done = run("new", "Lamp", "-s", "A")
    assert (done.exit_code, done.stderr) == (
        1,
        "am-gen: schemas/lamp.yaml is there already, and is not overwritten\n",
    )
    assert (project / "schemas" / "lamp.yaml").read_text("utf-8") == before
    (project / "schemas" / "door.yaml").symlink_to(project / "elsewhere.yaml")
    assert run("new", "Door", "-s", "A").exit_code == 1
    assert not (project / "elsewhere.yaml").exists()


def test_a_folder_is_made(project: Path, run: Run) -> None:
    done = run("new", "Door", "-s", "A", "-o", "more/schemas")
    assert done.exit_code == 0
    assert (project / "more" / "schemas" / "door.yaml").is_file()
    (project / "file").write_text("x", "utf-8")
    assert run("new", "Door", "-s", "A", "-o", "file").exit_code == 3
    assert run("new", "Door", "-s", "A", "-o", "file/below").exit_code == 1


def test_mistakes_leave_no_file(project: Path, run: Run) -> None:
    for words in (
        ("door", "-s", "A"),
        ("Door", "-s", "A:mutli"),
        ("Door", "-s", "A", "-e", "a b"),
        ("Door",),
    ):
        assert run("new", *words).exit_code == 3, words
    done = run("new", "Door", "-s", "Open:require(Shtu),Shut")
    assert done.exit_code == 2
    assert "schemas/door.yaml:6:15: error[AM301]: Open: require names unknown state 'Shtu'" in done.stderr
    done = run("new", "Door", "-s", "A", "-e", "bsaic")
    assert (done.exit_code, "did you mean 'basic'?" in done.stderr) == (2, True)
    assert not (project / "schemas" / "door.yaml").exists()
