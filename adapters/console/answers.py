"""What is said of explanations and comparisons: lines and tables, or one line of JSON."""

import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from ...engine import Comparison, Explanation, Method, Row, describe_comparison
from ...engine.explanation_file import describe
from .printed import note, say, say_lines, table


def report(explanation: Explanation, path: Path, folder: Path, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(describe(explanation) | {"folder": str(folder)}, ensure_ascii=False))
        return
    say(f"{path.name}: {explanation}")
    say(f"  {explanation.text}")
    for warning in explanation.warnings:
        note(f"{path.name}: {warning}")
    note(f"written to {folder}")


def progress(path: Path, methods: Mapping[str, Method]) -> Callable[[str], None]:
    """Return what notes that a method begins, the how manyth it is, and what it usually costs."""
    begun = itertools.count(1)
    return lambda name: note(f"{path.name}: {next(begun)}/{len(methods)} {name} ({methods[name].facts.cost})")


def show(found: Comparison, folder: Path, as_json: bool, agreement: bool) -> None:
    if as_json:
        click.echo(json.dumps(describe_comparison(found) | {"folder": str(folder)}, ensure_ascii=False))
        return
    say(f"{found.picture}: {found.target}")
    say_lines(table([cells(row) for row in found.rows]))
    if agreement and found.mapped:
        numbers = [str(number + 1) for number in range(len(found.mapped))]
        rows = zip(numbers, found.mapped, found.agreement, strict=True)
        alike = [
            {"rank correlation": f"{number} {name}"}
            | dict(zip(numbers, (f"{value:5.2f}" for value in row), strict=True))
            for number, name, row in rows
        ]
        say_lines(table(alike))
    note(f"written to {folder}")


def cells(row: Row) -> dict[str, str]:
    """Write a row of a comparison for the terminal."""
    return {
        "method": row.method,
        "where the map lies": row.where,
        "half on": "-" if row.half is None else f"{row.half:.0%}",
        "insertion": "-" if row.insertion is None else f"{row.insertion:.3f}",
        "deletion": "-" if row.deletion is None else f"{row.deletion:.3f}",
        "seconds": "-" if row.seconds is None else f"{row.seconds:.3f}",
        "note": row.note,
    }
