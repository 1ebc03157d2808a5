"""A comparison on disk: a folder with the sheet, the table and the matrix of agreement."""

from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from .atomic import refuse_existing, whole_folder
from .compare import Comparison, Row
from .csv_text import csv_text
from .render.png import png_bytes

TABLE, SHEET, AGREEMENT = "compare.csv", "sheet.png", "agreement.csv"


def save_comparison(comparison: Comparison, folder: Path, *, replace: bool = False) -> None:
    """Write sheet.png, compare.csv and agreement.csv; the folder appears whole or not at all.

    Raises OutputError when the folder exists (unless `replace`) or cannot be written.
    """
    names = [field.name for field in fields(Row)]
    rows = [[comparison.picture, comparison.target.label, *asdict(row).values()] for row in comparison.rows]
    alike = zip(comparison.mapped, comparison.agreement.tolist(), strict=True)
    with whole_folder(folder, replace=TABLE if replace else None) as work:
        (work / SHEET).write_bytes(png_bytes(comparison.sheet))
        (work / AGREEMENT).write_bytes(lines([["method", *comparison.mapped], *([name, *row] for name, row in alike)]))
        (work / TABLE).write_bytes(lines([["picture", "target", *names], *rows]))


def require_free(folder: Path, *, replace: bool) -> None:
    """Raise OutputError early, before anything is computed, where `save_comparison` would refuse the folder."""
    refuse_existing(folder, TABLE if replace else None)


def lines(rows: Iterable[Iterable[Any]]) -> bytes:
    """Write rows as CSV; a file name that is no UTF-8 is escaped."""
    return csv_text(rows).encode("utf-8", errors="backslashreplace")


def describe_comparison(comparison: Comparison) -> dict[str, Any]:
    """Return everything but the sheet, ready for JSON."""
    return {
        "picture": comparison.picture,
        "target": asdict(comparison.target),
        "predicate": comparison.predicate,
        "methods": [asdict(row) for row in comparison.rows],
        "agreement": {"methods": list(comparison.mapped), "spearman": comparison.agreement.tolist()},
    }
