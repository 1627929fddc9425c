"""``am-gen grafana``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from amgen import write
from amgen.cli.load import find_machine, loaded
from amgen.cli.report import near
from amgen.grafana.alerts import alerts, as_yaml
from amgen.grafana.dashboard import dashboard

__all__ = ["grafana_command"]


@click.command(
    "grafana",
    epilog="""\b
Examples:
  am-gen grafana -o dashboard.json             import it in Grafana, or provision it
  am-gen grafana Worker Supervisor             of these kinds of machines only
  am-gen grafana --format alerts -o rules.yml  for rule_files: of Prometheus""",
)
@click.argument("machines", nargs=-1)
@click.option(
    "--schemas", type=click.Path(exists=True, path_type=Path), help="Folder of schemas, or one file."
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["dashboard", "alerts"]),
    default="dashboard",
    help="A dashboard in JSON, or rules for Prometheus in YAML.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file, which is replaced.",
)
def grafana_command(machines: tuple[str, ...], schemas: Path | None, style: str, output: Path | None) -> int:
    """Make one dashboard for all machines, or alert rules for MACHINES.

    The dashboard has variables for the kind of machine, the machine and its states. Rules for error
    states, and for machines that do not get ready, come from the schemas; all schemas by default.
    """
    _, outcome = loaded(schemas)
    chosen = [find_machine(outcome, name).model for name in dict.fromkeys(machines)]
    if style == "alerts":
        text = as_yaml(alerts(chosen or [c.model for c in outcome.compiled.values()]))
    else:
        text = json.dumps(dashboard(sorted(m.name for m in chosen)), indent=2) + "\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        write.save(output, text)
        click.echo(f"wrote {near(output)}")
    return 0
