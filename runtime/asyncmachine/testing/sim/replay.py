"""The command ``python -m asyncmachine.testing.sim``: play one seed and show it, or many until one fails.

::

    python -m asyncmachine.testing.sim asyncmachine.testing.sim.mirrors:scenario --seed 7
    python -m asyncmachine.testing.sim tests/test_mine.py:scenario --seeds 1000
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import cast

from asyncmachine.testing.sim.world import Scenario, simulate

__all__ = ["load", "main"]


def load(place: str) -> Scenario:
    """The scenario at ``module:name`` or ``path/to/file.py:name``.

    Raises:
        ValueError: there is none.
        TypeError: it cannot be called.
        ImportError: there is no such module.
    """
    where, _, name = place.rpartition(":")
    if not where or not name:
        raise ValueError(f"{place!r} is not module:name, nor file.py:name")
    module = _from_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
    try:
        found = attrgetter(name)(module)
    except AttributeError:
        raise ValueError(f"{where} has no {name!r}") from None
    if not callable(found):
        raise TypeError(f"{place} is {type(found).__name__}, not an async function that takes a world")
    return cast(Scenario, found)


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.exists():
        raise ValueError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def _show(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 if no run failed. A failure is raised: Python shows where, with its notes."""
    parser = argparse.ArgumentParser(
        prog="python -m asyncmachine.testing.sim", description="Play a simulation."
    )
    parser.add_argument(
        "scenario", help="module:name or file.py:name of an async function that takes a world"
    )
    parser.add_argument("--seed", type=int, default=0, help="the seed, or the first one; default 0")
    parser.add_argument(
        "--seeds", type=int, default=1, help="so many, without their traces; default 1, with it"
    )
    parser.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio")
    parser.add_argument("--limit", type=float, default=3600.0, help="virtual seconds that a run may take")
    options = parser.parse_args(argv)
    logging.getLogger("asyncmachine").addHandler(logging.NullHandler())  # it is in the trace
    scenario = load(options.scenario)
    counts: Counter[str] = Counter()
    seconds = 0.0
    for seed in range(options.seed, options.seed + options.seeds):
        watch = _show if options.seeds == 1 else None
        run = simulate(scenario, seed=seed, backend=options.backend, limit=options.limit, watch=watch)
        counts += run.trace.counts
        seconds += run.seconds
        if options.seeds == 1:
            _show(f"digest {run.trace.digest}")
    _show(f"{options.seeds} of {options.seeds} runs went well, {seconds:.0f} virtual seconds")
    _show(" ".join(f"{kind}={count}" for kind, count in sorted(counts.items())))
    return 0
