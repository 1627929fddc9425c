"""SVG, drawn by Graphviz where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from typing import Final

from amgen.errors import AmgenError
from amgen.graphs import dot
from amgen.graphs.graph import Graph

__all__ = ["GraphvizError", "draw"]

SECONDS: Final = 60.0


class GraphvizError(AmgenError):
    """AM804: Graphviz is not there, or did not draw."""


def draw(graph: Graph, *, timeout: float = SECONDS) -> str:
    """The text of an SVG image. Its bytes depend on the version of Graphviz.

    Args:
        graph: what is shown.
        timeout: seconds that Graphviz may take; layouts of big graphs are slow.

    Raises:
        GraphvizError: there is no ``dot`` on the path, it failed, or took too long.
    """
    program = shutil.which("dot")
    if program is None:
        raise GraphvizError(
            "AM804: there is no program `dot` on the path; install Graphviz (`apt install graphviz`, "
            "`brew install graphviz`), or give --format dot and draw it elsewhere"
        )
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command; the graph goes to its standard input
            [program, "-Tsvg"],
            input=dot.draw(graph).encode(),
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise GraphvizError(
            f"AM804: {program} took longer than {timeout:g} s; draw a part, with --group or --state"
        ) from None
    except OSError as error:
        raise GraphvizError(f"AM804: {program} cannot be run: {error.strerror or error}") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()[-500:]
        raise GraphvizError(f"AM804: {program} ended with {done.returncode}: {said}")
    return done.stdout.decode("utf-8").replace("\r\n", "\n")
