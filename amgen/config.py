"""Where schemas are and where modules go: flags, then ``[tool.amgen]`` of the nearest pyproject.toml."""

from __future__ import annotations

import keyword
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from amgen.errors import ConfigError
from asyncmachine.errors import did_you_mean

__all__ = ["Config", "builtin_folder"]

_KEYS = ("schemas", "output", "builtin")
_PACKAGE = re.compile(r"[a-z_][a-z0-9_]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One run.

    Attributes:
        schemas: a folder of schemas, or one schema file.
        output: the folder of the generated package.
        root: the folder that paths of schemas are relative to.
        builtin: the folder of schemas that any schema may extend.
    """

    schemas: Path
    output: Path
    root: Path
    builtin: Path

    @classmethod
    def load(cls, start: Path, schemas: Path | None = None, output: Path | None = None) -> Config:
        """Combine flags with the table that is found from *start* upwards.

        Raises:
            ConfigError: a table that cannot be read, an unknown key, nothing to compile, or an
                output folder that could not be imported.
        """
        root, table = _find(start)
        paths = {key: _inside(root, key, table[key]) for key in table}
        schemas = schemas or paths.get("schemas")
        output = output or paths.get("output")
        if schemas is None or output is None:
            missing = "schemas" if schemas is None else "output"
            raise ConfigError(
                f"no {missing} folder: give it on the command line, "
                f"or as {missing!r} under [tool.amgen] in pyproject.toml"
            )
        _check_package(output)
        return cls(
            schemas=schemas,
            output=output,
            root=_root(schemas, paths.get("schemas")),
            builtin=paths.get("builtin") or builtin_folder(),
        )

    @property
    def only(self) -> tuple[str, ...]:
        """The one file to compile; empty for all of the folder."""
        if self.schemas.is_dir():
            return ()
        return (self.schemas.resolve().relative_to(self.root.resolve()).as_posix(),)


def _root(schemas: Path, project: Path | None) -> Path:
    """A single file of the project keeps its place in the project's folder of schemas."""
    if schemas.is_dir():
        return schemas
    if project is not None and schemas.resolve().is_relative_to(project.resolve()):
        return project
    return schemas.parent


def builtin_folder() -> Path:
    """The schemas that come with this compiler.

    Raises:
        ConfigError: the installation is broken.
    """
    package = Path(__file__).resolve().parent
    if (package / "builtin").is_dir():
        return package / "builtin"
    root, table = _find(package.parent)  # an editable install: the repository's own table says where
    if "builtin" in table:
        return _inside(root, "builtin", table["builtin"])
    raise ConfigError(f"{package} has no folder 'builtin'; install asyncmachine again")


def _find(start: Path) -> tuple[Path, Mapping[str, object]]:
    """Folder and table of the nearest pyproject.toml that has one."""
    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        if not file.is_file():
            continue
        try:
            table = tomllib.loads(file.read_text("utf-8")).get("tool", {}).get("amgen")
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError) as error:
            raise ConfigError(f"{file} cannot be read: {error}") from None
        if table is None:
            continue
        if not isinstance(table, dict):
            raise ConfigError(f"{file}: [tool.amgen] must be a table")
        for key in table:
            if key not in _KEYS:
                hint = did_you_mean(key, _KEYS) or f"; keys are {', '.join(_KEYS)}"
                raise ConfigError(f"{file}: [tool.amgen] has no key {key!r}{hint}")
        return folder, table
    return start, {}


def _inside(root: Path, key: str, value: object) -> Path:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{key} under [tool.amgen] must be a path, not {value!r}")
    path = root / value
    if not path.resolve().is_relative_to(root.resolve()):
        raise ConfigError(f"{key} under [tool.amgen] leaves the project: {value!r}")
    return path


def _check_package(output: Path) -> None:
    name = output.resolve().name
    if not _PACKAGE.match(name) or keyword.iskeyword(name):
        raise ConfigError(f"output folder {name!r} is no package name: use a-z, 0-9 and _")
    if name in sys.stdlib_module_names:
        raise ConfigError(
            f"output folder {name!r} would hide the module of that name of the standard library"
        )
