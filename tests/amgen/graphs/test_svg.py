"""SVG through a program called ``dot``: a stand-in that says what it was given, and the real one."""

from __future__ import annotations

import shutil
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from amgen.graphs import dot, svg
from amgen.graphs.graph import Graph

Drawn = Callable[..., Graph]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """``stand_in(program)``: the only ``dot`` on the path is that Python program."""

    def put(program: str) -> None:
        path = tmp_path / "dot"
        path.write_text(f"#!{sys.executable}\n{program}\n", "utf-8")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return put


def test_dot_gets_the_graph_and_its_answer_is_the_image(
    stand_in: Callable[[str], None], drawn: Drawn
) -> None:
    stand_in("import sys; print(sys.argv[1:], sys.stdin.read(), end='')")
    assert svg.draw(drawn("é")) == f"['-Tsvg'] {dot.draw(drawn('é'))}"


def test_without_graphviz_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, drawn: Drawn
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(svg.GraphvizError, match=r"AM804: there is no program `dot`.*apt install graphviz"):
        svg.draw(drawn("d"))


def test_a_failure_carries_what_was_said(stand_in: Callable[[str], None], drawn: Drawn) -> None:
    stand_in("import sys; sys.exit('no fonts')")
    with pytest.raises(svg.GraphvizError, match=r"AM804: .*dot ended with 1: no fonts"):
        svg.draw(drawn("d"))


def test_a_program_that_hangs_is_ended(stand_in: Callable[[str], None], drawn: Drawn) -> None:
    stand_in("import signal; signal.pause()")
    with pytest.raises(svg.GraphvizError, match=r"AM804: .*dot took longer than 0.2 s"):
        svg.draw(drawn("d"), timeout=0.2)


def test_what_cannot_be_run_is_said(stand_in: Callable[[str], None], tmp_path: Path, drawn: Drawn) -> None:
    stand_in("")
    (tmp_path / "dot").write_text("#!/nowhere/at/all\n", "utf-8")
    with pytest.raises(svg.GraphvizError, match=r"AM804: .*dot cannot be run: No such file"):
        svg.draw(drawn("d"))


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_the_real_one(drawn: Drawn, payloads: list[str]) -> None:
    for text in ["What it is.", *payloads]:
        root = ET.fromstring(svg.draw(drawn(text)))  # noqa: S314 - of our own making
        names = {e.text for e in root.iter("{http://www.w3.org/2000/svg}text")}
        assert {"Start", "Lit", "Dark", "ErrX", "Exception"} <= names
        assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
