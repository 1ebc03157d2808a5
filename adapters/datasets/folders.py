"""A folder with a folder of pictures for each class, or with pictures that have no labels."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ...engine.dataset import Dataset, Sample
from ...engine.types import Picture

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif"}


def recognises(path: Path) -> bool:
    return path.is_dir()


def read(path: Path, opener: Callable[[Path], Picture]) -> Dataset:
    """Take each folder's name as the class of the pictures in it and below; without folders there are no labels."""
    classes = tuple(folder.name for folder in sorted(path.iterdir()) if folder.is_dir() and pictures(folder))
    if not classes:
        samples = [Sample(file.name, partial(opener, file)) for file in pictures(path)]
        return Dataset(tuple(samples), (), f"pictures without labels in {path.name}")
    samples = [
        Sample(file.relative_to(path).as_posix(), partial(opener, file), name)
        for name in classes
        for file in pictures(path / name)
    ]
    return Dataset(tuple(samples), classes, f"{len(classes)} class folders in {path.name}")


def pictures(folder: Path) -> list[Path]:
    """Return the picture files in a folder and below, hidden ones left out, in the order of their names."""
    found = (file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    return sorted(file for file in found if not any(part.startswith(".") for part in file.relative_to(folder).parts))
