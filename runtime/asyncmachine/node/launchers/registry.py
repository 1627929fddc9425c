"""Launchers by name: the built-in ones, and those that other distributions bring.

A distribution adds one by an entry point of the group ``asyncmachine.launchers``, whose object makes it::

    [project.entry-points."asyncmachine.launchers"]
    mine = "package.module:MyLauncher"
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, Final, cast

from asyncmachine.errors import LaunchError, did_you_mean
from asyncmachine.node.launchers.base import Launcher

__all__ = ["BUILT_IN", "GROUP", "launcher_names", "make_launcher"]

GROUP: Final = "asyncmachine.launchers"

BUILT_IN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "forkserver": "asyncmachine.node.launchers.forkserver:ForkserverLauncher",
        "inline": "asyncmachine.node.inline_worker:inline_functions",
        "process": "asyncmachine.node.launchers.process:ProcessLauncher",
    }
)
"""Name to object. They need no installation, and nothing that is installed takes their names."""


def launcher_names() -> tuple[str, ...]:
    """Names of all launchers that there are, sorted."""
    return tuple(sorted({*BUILT_IN, *(point.name for point in entry_points(group=GROUP))}))


def make_launcher(name: str, *args: Any, **options: Any) -> Launcher:
    """A new launcher of that name.

    Args:
        args, options: for the class or function that makes it.

    Raises:
        LaunchError: there is none, it cannot be imported, or what makes it is not callable.
    """
    if name in BUILT_IN:
        point = EntryPoint(name, BUILT_IN[name], GROUP)
    else:
        found = [p for p in entry_points(group=GROUP) if p.name == name]
        if not found:
            known = launcher_names()
            raise LaunchError(
                f"there is no launcher {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}"
            )
        point = found[0]
    try:
        make = getattr(importlib.import_module(point.module), point.attr)
    except (ImportError, AttributeError) as error:
        raise LaunchError(f"the launcher {name!r} cannot be loaded from {point.value!r}: {error}") from error
    if not callable(make):
        raise LaunchError(f"the launcher {name!r} is made by {point.value!r}, which cannot be called")
    return cast("Callable[..., Launcher]", make)(*args, **options)
