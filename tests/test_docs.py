"""What the documentation says is true: its code runs, every command and every option is described."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from ddcam.adapters.console.printed import guide, markdown
from ddcam.cli import cli
from ddcam.engine import catalogue, metric_catalogue
from ddcam.engine.search.predicate import KINDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(mark: str) -> str:
    found = re.search(rf"<!-- {mark} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found, f"the README has no block marked {mark}"
    return found[1]


def test_the_python_example_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", block("python")], check=False, cwd=tmp_path, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert "certified 1-minimal" in done.stdout
    assert (tmp_path / "five.ddcam" / "manifest.json").is_file()


def test_the_main_job_runs_and_leaves_pictures(tmp_path: Path) -> None:
    command = block("main").split("&&")[1].split()
    script = Path(sys.executable).with_name(command[0] + (".exe" if os.name == "nt" else ""))
    done = subprocess.run([script, *command[1:]], check=False, cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("certified 1-minimal") == 18
    assert len(list(tmp_path.glob("ddcam-demo/*/*/overlay.png"))) == 18


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_is_described_in_help_and_readme(name: str) -> None:
    assert cli.commands[name].help
    assert f"ddcam {name}" in README


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_option_has_help_and_its_default_in_it(name: str) -> None:
    context = click.Context(cli.commands[name])
    for parameter in cli.commands[name].params:
        if isinstance(parameter, click.Option):
            record = parameter.get_help_record(context)
            assert parameter.help, parameter.name
            assert record is not None
            assert "[default: " in record[1] or "(default" in record[1] or "; x>=" in record[1], record


def test_every_predicate_is_named_in_the_readme() -> None:
    assert [kind.usage.split(" ")[0] for kind in KINDS.values() if f"`{kind.usage.split(' ')[0]}`" not in README] == []


def test_every_file_that_the_readme_links_to_is_there() -> None:
    links = [link for link in re.findall(r"\]\((?!http)([^)]+)\)", README)]

    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_every_path_in_the_table_of_places_is_there() -> None:
    places = re.findall(r"^\| ((?:`[\w./]+`(?:, )?)+) \|", README, re.MULTILINE)
    paths = [path for row in places for path in re.findall(r"`([\w./]+)`", row)]

    assert len(paths) >= 9
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_the_table_of_methods_is_the_registry() -> None:
    """Print it anew with `ddcam methods --format markdown` where this fails."""
    table = README.split("<!-- methods -->")[1].split("## ")[0].strip()

    assert table == markdown(catalogue())


def test_the_guide_to_the_methods_is_their_docstrings() -> None:
    """Print it anew with `ddcam methods --format guide` where this fails."""
    text = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")

    assert text.split("<!-- methods -->")[1].strip() == guide(catalogue())


def test_the_table_of_metrics_is_the_registry() -> None:
    """Print it anew with `ddcam metrics --format markdown` where this fails."""
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")

    assert text.split("<!-- table -->")[1].split("<!-- metrics -->")[0].strip() == markdown(metric_catalogue())


def test_the_guide_to_the_metrics_is_their_docstrings() -> None:
    """Print it anew with `ddcam metrics --format guide` where this fails."""
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")

    assert text.split("<!-- metrics -->")[1].strip() == guide(metric_catalogue())
