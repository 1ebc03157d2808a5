"""A CSV file: a picture a line, its class, and where the object is."""

import csv
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ...engine.dataset import Box, Dataset, Sample
from ...engine.errors import OptionError
from ...engine.types import Picture

FILES = ("path", "file", "filename", "file_name", "image", "picture", "name")
LABELS = ("label", "class", "target", "category")
SIDES = (("left", "top", "right", "bottom"), ("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"))
LIMIT = 1 << 28
"""Bytes of a file."""


class Line(NamedTuple):
    """What one line says."""

    label: int | str | None
    boxes: tuple[Box, ...]


def recognises(path: Path) -> bool:
    return path.suffix.lower() in (".csv", ".tsv")


def read(path: Path, opener: Callable[[Path], Picture]) -> Dataset:
    """Read columns by name: the file (relative to the CSV), the label (index or name) and boxes in picture pixels.

    A box is four columns (left, top, right, bottom; xmin ...; x1 ...), or one column `boxes` of numbers with
    semicolons between boxes. Lines of the same file and label are one picture with several boxes.
    """
    if path.stat().st_size > LIMIT:
        raise OptionError(f"expected a CSV file of at most {LIMIT >> 20} MiB, {path.name} is larger")
    merged: dict[tuple[str, int | str | None], tuple[Box, ...]] = {}
    for name, line in lines(path):
        merged[name, line.label] = merged.get((name, line.label), ()) + line.boxes
    files = [name for name, _ in merged]
    samples = []
    for (name, label), boxes in merged.items():
        own = name if files.count(name) == 1 else f"{name}#{label}"
        samples.append(Sample(own, partial(opener, path.parent / name), label, boxes))
    return Dataset(tuple(samples), (), f"the table {path.name}")


def lines(path: Path) -> list[tuple[str, Line]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            heads = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
            file = next((heads[name] for name in FILES if name in heads), None)
            if file is None:
                raise OptionError(f"expected a column {' or '.join(FILES)} in {path.name}, got {', '.join(heads)}")
            return [(row[file], line_of(row, heads, f"line {rows.line_num} of {path.name}")) for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise OptionError(f"expected a CSV file in UTF-8, {path.name} is not: {error}") from None
    except OSError as error:
        raise OptionError(f"cannot read {path}: {error.strerror}") from None


def line_of(row: Mapping[str, str], heads: Mapping[str, str], place: str) -> Line:
    column = next((heads[name] for name in LABELS if name in heads), None)
    text = (row[column] or "").strip() if column else ""
    label = int(text) if text.isascii() and text.isdigit() else text or None
    sides = next((names for names in SIDES if all(name in heads for name in names)), None)
    texts = [" ".join(row[heads[name]] or "" for name in sides)] if sides else []
    texts += (row[heads["boxes"]] or "").split(";") if "boxes" in heads else []
    return Line(label, tuple(box_of(text, place) for text in texts if text.strip()))


def box_of(text: str, place: str) -> Box:
    try:
        left, top, right, bottom = (float(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise OptionError(f"expected a box as left top right bottom in {place}, got {text.strip()!r}") from None
    return left, top, right, bottom
