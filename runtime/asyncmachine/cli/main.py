"""``am-node``: run pools of workers, and map work over them."""

from __future__ import annotations

import importlib

import click

__all__ = ["main"]

_COMMANDS = {
    "map": "asyncmachine.cli.map_cmd:map_command",
    "supervisor": "asyncmachine.cli.node_cmds:supervisor",
    "worker": "asyncmachine.cli.node_cmds:worker",
    "status": "asyncmachine.cli.node_cmds:status",
}


class _Lazy(click.Group):
    """Loads a command when it is used, so that ``--help`` and workers start fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = _COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, name = target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="asyncmachine")
def main() -> None:
    r"""Run supervised pools of worker processes, and map work over them.

    \b
    A first try, on any machine:
      am-node map math:sqrt 2 3 4 --json
      am-node map mypackage.mymodule:measure --glob '**/*.py' --workers 4 --out results.jsonl

    \b
    A pool that stays, and clients that come and go:
      am-node supervisor mypackage.mymodule:measure --port 7070 --max 8
      am-node status 127.0.0.1:7070
      am-node map mypackage.mymodule:measure --supervisor 127.0.0.1:7070 --stdin < names.txt
    """


if __name__ == "__main__":
    main()
