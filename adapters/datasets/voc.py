"""Pascal VOC: Annotations/*.xml and JPEGImages/, one object a box."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from ...engine.dataset import Box, Dataset, Sample
from ...engine.errors import OptionError
from ...engine.types import Picture

LIMIT = 1 << 22
"""Bytes of an annotation."""
SIDES = ("xmin", "ymin", "xmax", "ymax")


def recognises(path: Path) -> bool:
    return (path / "Annotations").is_dir() and (path / "JPEGImages").is_dir()


def read(path: Path, opener: Callable[[Path], Picture]) -> Dataset:
    """Make a sample of each picture and class in it, with all boxes of that class; difficult objects are left out."""
    samples = []
    for file in sorted((path / "Annotations").glob("*.xml")):
        for label, boxes in objects(file).items():
            picture = path / "JPEGImages" / f"{file.stem}.jpg"
            samples.append(Sample(f"{picture.name}#{label}", partial(opener, picture), label, tuple(boxes)))
    classes = tuple(sorted({str(sample.label) for sample in samples}))
    return Dataset(tuple(samples), classes, f"Pascal VOC in {path.name}")


def objects(file: Path) -> dict[str, list[Box]]:
    """Return the boxes of an annotation by class, in pixels from 0 (VOC counts from 1)."""
    found: dict[str, list[Box]] = {}
    for label, box in boxes_of(file):
        found.setdefault(label, []).append(box)
    return found


def boxes_of(file: Path) -> Iterator[tuple[str, Box]]:
    for item in parse(file).iter("object"):
        if (item.findtext("difficult") or "0").strip() == "1":
            continue
        try:
            left, top, right, bottom = (float(item.findtext(f"bndbox/{side}") or "") for side in SIDES)
        except ValueError:
            raise OptionError(f"expected a box with {', '.join(SIDES)} in {file}, found none") from None
        yield (item.findtext("name") or "").strip(), (left - 1, top - 1, right, bottom)


def parse(file: Path) -> ElementTree.Element:
    try:
        if file.stat().st_size > LIMIT:
            raise OptionError(f"expected an annotation of at most {LIMIT >> 20} MiB, {file} is larger")
        return ElementTree.fromstring(file.read_bytes())
    except ElementTree.ParseError as error:
        raise OptionError(f"expected XML in {file}, got something else ({error})") from None
    except OSError as error:
        raise OptionError(f"cannot read {file}: {error.strerror}") from None
