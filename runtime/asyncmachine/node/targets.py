"""What users name as text: functions as ``package.module:function``, supervisors as ``HOST:PORT``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from asyncmachine.errors import AsyncMachineError, did_you_mean

__all__ = ["TargetError", "load_function", "load_path", "parse_address"]


class TargetError(AsyncMachineError):
    """A ``package.module:function`` that cannot be imported or called."""


def load_function(target: str) -> Callable[[Any], Any]:
    """Import ``package.module:function``.

    Raises:
        TargetError: saying which part of it is wrong, and what is meant perhaps.
    """
    module_name, colon, name = target.partition(":")
    if not colon or not module_name or not name:
        raise TargetError(f"{target!r} is not of the form package.module:function")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise TargetError(f"no module named {error.name!r} (from {target!r}); is it on PYTHONPATH?") from None
    except Exception as error:  # whatever the module does when it is imported
        raise TargetError(f"cannot import {module_name!r}: {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if function is None:
        known = [n for n in dir(module) if callable(getattr(module, n))]
        raise TargetError(f"module {module_name!r} has no function {name!r}{did_you_mean(name, known)}")
    if not callable(function):
        raise TargetError(f"{target!r} is a {type(function).__name__}, not a function")
    return cast("Callable[[Any], Any]", function)


def load_path() -> None:
    """Let functions be imported from the current folder, as ``python -m`` does."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def parse_address(text: str) -> tuple[str, int]:
    """``HOST:PORT`` -> ``(host, port)``; ``[::1]:80`` for IPv6.

    Raises:
        ValueError: with an example.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is not HOST:PORT, e.g. 127.0.0.1:7070")
    return host, int(port)
