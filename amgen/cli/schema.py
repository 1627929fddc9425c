"""``am-gen schema``."""

from __future__ import annotations

from pathlib import Path

import click

from amgen import json_schema
from amgen.errors import WriteError

__all__ = ["schema_command"]


@click.command("schema", short_help="Print the JSON Schema of the grammar, for editors.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file."
)
def schema_command(output: Path | None) -> int:
    """Print the JSON Schema (draft-07) of the grammar: an editor completes and checks schemas with it.

    It is that of this version of am-gen, so write it again after an upgrade.

    \b
    Examples:
      am-gen schema -o schemas/schema.json
      am-gen schema | python -m json.tool

    Then begin each schema with this line, or see the manual, page "Editors":

    \b
      # yaml-language-server: $schema=schema.json
    """  # noqa: D301 - \b is a mark of click
    text = json_schema.text()
    if output is None:
        click.echo(text, nl=False)
        return 0
    try:
        if output.exists() and json_schema.TITLE not in output.read_text("utf-8", "replace"):
            raise WriteError(f"AM801: {output} is no schema of am-gen; move it away, or give another name")
        output.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise WriteError(f"AM803: {output} cannot be written: {error.strerror or error}") from None
    click.echo(f"wrote {output}; begin schemas with `# yaml-language-server: $schema={output.name}`")
    return 0
