"""What the last compilation made, so that ``am-gen check`` need not compile what cannot have changed.

A memo is a file outside of the project. It holds a fingerprint of all that the result depends on: the
sources, the compiler itself, Python and the libraries; and a hash of each file that was made. It is
only ever used to say that all is fresh: when anything differs, everything is compiled anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

__all__ = ["fingerprint", "fresh", "place", "remember"]

_LIBRARIES: Final = ("jinja2", "markupsafe", "pyyaml")


def place(cache: Path, output: Path) -> Path:
    """The file of the memo about one output folder."""
    return cache / "am-gen" / f"{hashlib.sha256(os.fsencode(output.resolve())).hexdigest()[:32]}.json"


def fingerprint(sources: Mapping[str, bytes], builtin: Mapping[str, bytes]) -> str:
    """A hash of the arguments of ``pipeline.compile_tree``, and of everything that it is made of.

    Raises:
        OSError: the compiler cannot read itself.
        PackageNotFoundError: a library was not installed as a package, so its version is not known.
    """
    versions = [sys.version, *(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)]
    parts: list[tuple[str, bytes]] = [("", repr(versions).encode())]
    parts += [*sorted(sources.items()), ("builtin", b""), *sorted(builtin.items())]
    parts += ((path.as_posix(), path.read_bytes()) for path in _compiler())
    digest = hashlib.sha256()
    for name, data in parts:
        digest.update(b"%d %d\n" % (len(name), len(data)) + name.encode("utf-8", "surrogateescape"))
        digest.update(data)
    return digest.hexdigest()


def _compiler() -> Iterable[Path]:
    """All files of the compiler, and of the pure rules that it shares with the runtime."""
    package = Path(__file__).resolve().parent
    spec = sys.modules["asyncmachine"].__file__
    runtime = Path(spec).resolve().parent if spec else package
    yield from sorted(p for p in package.rglob("*") if p.suffix in (".py", ".j2"))
    yield from sorted([*runtime.glob("*.py"), *(runtime / "_core").glob("*.py")])


def remember(memo: Path, key: str, files: Mapping[str, str]) -> None:
    """Write a memo. What keeps it from being written does not matter: then it is not used."""
    made = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
    temporary = memo.with_name(f".{memo.name}.{os.getpid()}.tmp")
    with contextlib.suppress(OSError):
        memo.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.write_text(json.dumps({"key": key, "files": made}), "utf-8")
        temporary.replace(memo)


def fresh(memo: Path, key: str, output: Path) -> int | None:
    """Number of files in *output* when they are exactly those that were made from the same; else None."""
    try:
        kept = json.loads(memo.read_bytes())
        made = kept["files"] if kept["key"] == key else {}
        found = {p.name: p for p in output.iterdir() if p.suffix == ".py"}
        if not made or found.keys() != made.keys():
            return None
        same = all(hashlib.sha256(found[n].read_bytes()).hexdigest() == made[n] for n in found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return len(found) if same else None
