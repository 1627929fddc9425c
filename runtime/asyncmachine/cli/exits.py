"""How workers ended, as ``am-node status --exits`` shows it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table

from asyncmachine.node.exits import ExitReport

__all__ = ["show_exits"]


def show_exits(reports: Sequence[ExitReport], *, as_json: bool) -> None:
    """Write them to stdout: a table, and the output of a single one; or one JSON object per line."""
    if as_json:
        for report in reports:
            click.echo(json.dumps(report.as_json()))
        return
    console = Console()
    table = Table(
        "worker", "reason", "code", "signal", "phase", "age", "jobs", "cpu", "rss", "client", "states"
    )
    for report in reports:
        table.add_row(
            report.worker,
            report.reason,
            _number(report.code),
            _number(report.signal),
            report.phase,
            f"{report.age:,.1f} s",
            f"{report.jobs:,}",
            f"{report.user + report.system:,.2f} s",
            f"{report.max_rss / (1 << 20):,.0f} MiB" if report.max_rss else "-",
            report.client or "-",
            " ".join(report.states),
        )
    console.print(table)
    if len(reports) == 1:
        click.echo(reports[0].detail)
        click.echo(reports[0].output.decode("utf-8", "backslashreplace"))


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)
