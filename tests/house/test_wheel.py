"""What is built is what is used: the wheel, unpacked away from the source, holds all and runs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The contents of a wheel, built from the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(site: Path, where: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run *code* with the wheel's packages in front of the editable install's."""
    program = f"import sys; sys.path.insert(0, {str(site)!r})\n{code}"
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=60, check=False)


def test_it_holds_three_packages_and_the_built_in_schemas(unpacked: Path) -> None:
    names = {path.name for path in unpacked.iterdir() if not path.name.endswith(".dist-info")}
    assert names == {"amgen", "asyncmachine", "amstates"}
    for package in names:
        assert (unpacked / package / "py.typed").exists()
    schemas = {p.relative_to(ROOT / "schemas") for p in (ROOT / "schemas").rglob("*.yaml")}
    assert {
        p.relative_to(unpacked / "amgen/builtin") for p in (unpacked / "amgen/builtin").rglob("*.yaml")
    } == schemas
    assert list((unpacked / "amgen/templates").glob("*.j2"))


def test_the_compiler_runs_away_from_the_source(unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas/mine.yaml").write_text(
        "machine: Mine\ndoc: A worker of mine.\nextends: [node/worker]\n"
        "states:\n  Extra:\n    doc: More.\n    require: [Start]\n"
    )
    code = (
        "import amgen, asyncmachine\n"
        f"assert amgen.__file__.startswith({str(unpacked)!r}), amgen.__file__\n"
        f"assert asyncmachine.__file__.startswith({str(unpacked)!r}), asyncmachine.__file__\n"
        "from amgen.__main__ import main\n"
        "sys.argv = ['am-gen', 'compile', 'schemas', '-o', 'states']\n"
        "main()\n"
    )
    done = run(unpacked, tmp_path, code)
    assert done.returncode == 0, done.stderr
    use = "from states.mine import MINE_SCHEMA as schema\nprint(schema.names[-2:], len(schema) > 20)\n"
    done = run(unpacked, tmp_path, f"sys.path.insert(1, {str(tmp_path)!r})\n{use}")
    assert "Extra" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("module", "missing", "extra"),
    [
        ("amgen.__main__", "yaml", "gen"),
        ("amgen.__main__", "click", "gen"),
        ("asyncmachine.cli.__main__", "click", "cli"),
        ("asyncmachine.cli.__main__", "rich", "cli"),
    ],
)
def test_without_its_extra_a_command_says_what_to_install(
    unpacked: Path, tmp_path: Path, module: str, missing: str, extra: str
) -> None:
    arguments = "['am-node', 'status']" if extra == "cli" else "['am-gen']"
    code = f"sys.modules[{missing!r}] = None\nsys.argv = {arguments}\nfrom {module} import main\nmain()\n"
    done = run(unpacked, tmp_path, code)
    assert done.returncode == 1
    assert f"{missing}, which is not installed: pip install 'asyncmachine[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr
