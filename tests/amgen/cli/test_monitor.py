"""``am-gen grafana``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from amgen.grafana.dashboard import dashboard

Run = Callable[..., Result]


def test_the_dashboard_goes_to_stdout_or_a_file(project: Path, run: Run) -> None:
    done = run("grafana")
    assert (done.exit_code, json.loads(done.stdout)) == (0, dashboard())
    assert run("grafana", "-o", "board.json").stdout == "wrote board.json\n"
    assert (project / "board.json").read_text("utf-8") == done.stdout
    assert '"regex": "/^(Lamp)$/"' in run("grafana", "Lamp", "Lamp").stdout


def test_rules_come_from_the_schemas(project: Path, run: Run) -> None:
    done = run("grafana", "--format", "alerts")
    assert done.exit_code == 0
    assert done.stdout == run("grafana", "Lamp", "--format", "alerts").stdout
    assert r'state=~\"Exception|ErrNetwork|ErrHandlerTimeout\"} == 1"' in done.stdout


def test_wrong_usage(project: Path, run: Run) -> None:
    done = run("grafana", "Lanp")
    assert (done.exit_code, "did you mean 'Lamp'?" in done.stderr) == (3, True)
