"""``am-gen``: the group of commands, each loaded when it is used.

Exit codes: 0 fine, 1 files differ, could not be written or a check failed, 2 a schema has errors, 3 wrong
usage.
"""

from __future__ import annotations

import importlib
import re
import sys
from typing import Any, NoReturn

import click

from amgen.cli.report import DIFFERENT, USAGE
from amgen.errors import AmgenError, ConfigError

__all__ = ["main"]

_CODE = re.compile(r"\A(AM\d{3}):")
_COMMANDS = {
    "compile": "amgen.cli.build:compile_command",
    "check": "amgen.cli.build:check_command",
    "explain": "amgen.cli.look:explain_command",
    "graph": "amgen.cli.draw:graph_command",
    "grafana": "amgen.cli.monitor:grafana_command",
    "verify": "amgen.cli.verify:verify_command",
    "diff": "amgen.cli.diff:diff_command",
    "new": "amgen.cli.new:new_command",
    "schema": "amgen.cli.schema:schema_command",
    "watch": "amgen.cli.watch:watch_command",
}


class _Group(click.Group):
    """A group whose usage errors exit with 3, since 2 is for schemas."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = _COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, name = target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except click.ClickException as error:
            error.show()
            sys.exit(USAGE)
        except ConfigError as error:
            click.echo(f"am-gen: error[AM001]: {error}", err=True)
            sys.exit(USAGE)
        except AmgenError as error:
            for line in str(error).split("\n"):
                click.echo("am-gen: " + _CODE.sub(r"error[\1]:", line), err=True)
            sys.exit(DIFFERENT)
        except click.Abort:
            sys.exit(130)
        sys.exit(code if isinstance(code, int) else 0)


@click.group(cls=_Group)
@click.version_option(package_name="asyncmachine")
def main() -> None:
    """Compile state schemas in YAML to typed Python."""
