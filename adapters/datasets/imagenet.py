"""ImageNet as it is handed out: pictures by split or by class, LOC_synset_mapping.txt and boxes in XML or CSV files."""

import csv
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ...engine.dataset import Box, Dataset, Sample
from ...engine.errors import OptionError
from ...engine.types import Picture
from .folders import pictures
from .voc import objects

MAPPING, SOLUTION = "LOC_synset_mapping.txt", "LOC_val_solution.csv"
WNID = re.compile(r"n\d{8}")
Known = dict[str, tuple[str, tuple[Box, ...]]]
"""Class and boxes of a picture by the stem of its file."""


def recognises(path: Path) -> bool:
    return path.is_dir() and ((path / MAPPING).is_file() or any(WNID.fullmatch(f.name) for f in path.iterdir()))


def read(path: Path, opener: Callable[[Path], Picture]) -> Dataset:
    """Read a folder with LOC_synset_mapping.txt (its order is that of the classes), or of class folders n01440764, ...

    Pictures are those of Data/CLS-LOC/val (also below ILSVRC), or all below the folder. The class is the folder's or
    that of LOC_val_solution.csv, boxes are those of this file or of Annotations/CLS-LOC.
    """
    classes = mapping(path)
    known = solution(path / SOLUTION)
    roots = [root for root in (path / "ILSVRC/Data/CLS-LOC/val", path / "Data/CLS-LOC/val") if root.is_dir()]
    root = roots[0] if roots else path
    xml = {file.stem: file for file in path.glob("**/Annotations/CLS-LOC/**/*.xml")}
    samples = [sample(file, root, known, xml, opener) for file in pictures(root)]
    folders = {str(s.label) for s in samples if s.label is not None}
    return Dataset(tuple(samples), classes or tuple(sorted(folders)), f"ImageNet in {path.name}")


def sample(file: Path, root: Path, known: Known, xml: dict[str, Path], opener: Callable[[Path], Picture]) -> Sample:
    label, boxes = known.get(file.stem, (None, ()))
    if label is None and WNID.fullmatch(file.parent.name):
        label = file.parent.name
    if file.stem in xml and not boxes:
        found = objects(xml[file.stem])
        label = label or next(iter(found), None)
        boxes = tuple(found.get(label or "", ()))
    return Sample(file.relative_to(root).as_posix(), partial(opener, file), label, boxes)


def mapping(path: Path) -> tuple[str, ...]:
    """Return the classes by index, from the mapping in the folder or above it; empty where there is none."""
    for folder in (path, *path.resolve().parents):
        if (folder / MAPPING).is_file():
            lines = (folder / MAPPING).read_text(encoding="utf-8", errors="replace").splitlines()
            return tuple(line.split()[0] for line in lines if line.strip())
    return ()


def solution(file: Path) -> Known:
    """Read ImageId, PredictionString: a class and four numbers for each box."""
    if not file.is_file():
        return {}
    known: Known = {}
    with file.open(encoding="utf-8", newline="") as stream:
        for number, row in enumerate(csv.reader(stream), 1):
            if number == 1 or not row:
                continue
            try:
                words = row[1].split()
                numbers = [tuple(map(float, words[i + 1 : i + 5])) for i in range(0, len(words), 5)]
                boxes = tuple((left, top, right, bottom) for left, top, right, bottom in numbers)
                known[row[0]] = words[0], boxes
            except (IndexError, ValueError):
                raise OptionError(f"expected a class and boxes in line {number} of {file}, got {row!r}") from None
    return known
