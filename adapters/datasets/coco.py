"""COCO: one JSON file of pictures, boxes and categories, beside a folder of pictures."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ...engine.dataset import Box, Dataset, Sample
from ...engine.errors import OptionError
from ...engine.types import Picture

LIMIT = 1 << 31
"""Bytes of a file; instances_train2017.json has about 450 MB."""


def recognises(path: Path) -> bool:
    return path.suffix.lower() == ".json" or bool(annotations(path))


def annotations(path: Path) -> list[Path]:
    return sorted(path.glob("annotations/instances_*.json")) if path.is_dir() else []


def read(path: Path, opener: Callable[[Path], Picture]) -> Dataset:
    """Make a sample of each picture and category in it, with all boxes of that category; crowds are left out.

    `path` is the JSON file, or a folder with one annotations/instances_*.json. Pictures lie beside the file, in a
    folder `images` beside it, or in that of the split beside `annotations` (val2017 for instances_val2017.json).
    """
    file = path
    if path.is_dir():
        files = annotations(path)
        if len(files) != 1:
            raise OptionError(f"expected one annotations/instances_*.json in {path}, got {len(files)}; name the file")
        [file] = files
    content = parse(file)
    try:
        return Dataset(tuple(samples(content, file, opener)), classes(content), f"COCO's {file.name}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise OptionError(
            f"expected images, annotations with bbox and categories in {file}, but {error!r} came up; check the file"
        ) from None


def samples(content: dict[str, Any], file: Path, opener: Callable[[Path], Picture]) -> list[Sample]:
    files = {image["id"]: str(image["file_name"]) for image in content["images"]}
    names = {category["id"]: str(category["name"]) for category in content["categories"]}
    boxes: dict[tuple[Any, Any], list[Box]] = {}
    for item in content["annotations"]:
        if not item.get("iscrowd"):
            left, top, width, height = map(float, item["bbox"])
            key = (item["image_id"], item["category_id"])
            boxes.setdefault(key, []).append((left, top, left + width, top + height))
    places = folders(file)
    return [
        Sample(f"{files[i]}#{names[c]}", partial(open_in, places, files[i], opener), names[c], tuple(found))
        for (i, c), found in boxes.items()
    ]


def classes(content: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(c["name"]) for c in sorted(content["categories"], key=lambda c: c["id"]))


def folders(file: Path) -> list[Path]:
    split = file.stem.removeprefix("instances_")
    above = file.parent.parent
    return [file.parent, file.parent / "images", above / split, above / "images" / split, above / "images"]


def open_in(places: list[Path], name: str, opener: Callable[[Path], Picture]) -> Picture:
    return opener(next((folder / name for folder in places if (folder / name).is_file()), places[0] / name))


def parse(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > LIMIT:
            raise OptionError(f"expected a JSON file of at most {LIMIT >> 30} GiB, {file} is larger")
        content = json.loads(file.read_bytes())
    except ValueError as error:
        raise OptionError(f"expected JSON in {file}, got something else ({error})") from None
    except OSError as error:
        raise OptionError(f"cannot read {file}: {error.strerror}") from None
    if not isinstance(content, dict):
        raise OptionError(f"expected a JSON object in {file}, got a {type(content).__name__}")
    return content
