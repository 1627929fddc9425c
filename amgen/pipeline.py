"""Source texts to generated texts, or diagnostics. Pure: reads and writes no file."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from amgen import check, parse, render, source, view
from amgen.errors import Diagnostic, Flood, Rejected, Related, Report
from amgen.model import SchemaDoc, SchemaModel
from amgen.resolve import BUILTIN, Resolver, complete
from asyncmachine.schema import ABI, Schema

__all__ = ["Compiled", "Outcome", "compile_tree"]


@dataclass(frozen=True, slots=True)
class Compiled:
    """One schema: its flat model and the value its module holds."""

    model: SchemaModel
    schema: Schema


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one run.

    Attributes:
        files: name of a module file -> its text; empty when there is an error.
        diagnostics: all errors and warnings, sorted by place.
        compiled: path of a schema -> what it came to; broken ones are missing.
        texts: path -> decoded source, to show lines from.
    """

    files: Mapping[str, str]
    diagnostics: tuple[Diagnostic, ...]
    compiled: Mapping[str, Compiled] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether there is an error."""
        return any(d.severity == "error" for d in self.diagnostics)


def compile_tree(
    sources: Mapping[str, bytes],
    builtin: Mapping[str, bytes] | None = None,
    *,
    only: Collection[str] = (),
) -> Outcome:
    """Compile schemas.

    Args:
        sources: relative POSIX path -> content.
        builtin: the same for built-in schemas, which can be extended but are not compiled.
        only: paths to compile; the others can be extended. Empty: all of *sources*.
    """
    return _Run({**{BUILTIN + p: d for p, d in (builtin or {}).items()}, **sources}).outcome(only or sources)


class _Run:
    def __init__(self, sources: Mapping[str, bytes]) -> None:
        self.sources = sources
        self.report = Report()
        self.texts: dict[str, str] = {}
        self.resolver = Resolver(self.document, sources, self.report)

    def document(self, path: str) -> SchemaDoc | None:
        try:
            self.texts[path] = source.decode(self.sources[path], path)
            root = source.load(self.texts[path], path, self.report)
        except Rejected as error:
            self.report.extend(error.diagnostics)
            return None
        return parse.document(root, path, self.report)

    def outcome(self, targets: Collection[str]) -> Outcome:
        compiled: dict[str, Compiled] = {}
        with contextlib.suppress(Flood):  # which is reported
            self.compile(targets, compiled)
            self.collisions([c.model for c in compiled.values()])
        diagnostics = tuple(
            d for d in self.report.sorted() if d.severity == "error" or not d.span.path.startswith(BUILTIN)
        )
        files = {} if self.report.failed else self.render(compiled)
        return Outcome(files, diagnostics, compiled, self.texts)

    def compile(self, targets: Collection[str], compiled: dict[str, Compiled]) -> None:
        for path in sorted(targets):
            flat = self.resolver.flatten(path)
            if flat is None:
                continue
            model = complete(flat)
            own = Report()  # what a parent is reported for counts here too
            try:
                check.run(model, own)
            finally:
                self.report.extend(own.sorted())
            if not own.failed:
                compiled[path] = Compiled(model, check.build(model))

    def collisions(self, models: Collection[SchemaModel]) -> None:
        """Two schemas that would be written to one file, also on disks that ignore case."""
        seen: dict[str, SchemaModel] = {}
        for model in models:
            name = view.module_name(model.name)
            twin = seen.setdefault(name, model)
            if twin is not model:
                text = f"machine {model.name} would be module {name!r}, like {twin.name} in {twin.path}"
                self.report.error("AM204", text, model.span, Related(twin.span, "the other one"))

    def render(self, compiled: Mapping[str, Compiled]) -> dict[str, str]:
        files: dict[str, str] = {}
        for path, one in compiled.items():
            module = view.build(one.model, one.schema)
            texts = [self.texts[p] for p in one.model.sources]
            files[f"{module.snake}.py"] = render.module(module, path.removeprefix(BUILTIN), texts)
        names = sorted(name.removesuffix(".py") for name in files)
        files["__init__.py"] = render.package(names, ABI)
        return dict(sorted(files.items()))
