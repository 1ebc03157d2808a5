"""Data sets as people keep them, one file a format, tried in this order."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from ...engine.dataset import Dataset
from ...engine.errors import OptionError
from ...engine.types import Picture
from . import coco, folders, imagenet, npz, table, voc

Opener = Callable[[Path], Picture]
FORMATS: dict[str, ModuleType] = {
    "npz": npz,
    "csv": table,
    "coco": coco,
    "voc": voc,
    "imagenet": imagenet,
    "folders": folders,
}


def open_dataset(path: Path, opener: Opener, form: str | None = None) -> Dataset:
    """Read what pictures a data set has and what is known of them; the pictures are opened later, by `opener`.

    Raises OptionError where nothing is there, the format is not recognised, or it is damaged.
    """
    if not path.exists():
        raise OptionError(f"expected a data set, found nothing at {str(path)!r}; check the path")
    names = [form] if form else [name for name, module in FORMATS.items() if module.recognises(path)]
    if not names:
        raise OptionError(
            f"expected a data set as {', '.join(FORMATS)}, got something else in {str(path)!r}; "
            "folders want one folder a class with pictures in it"
        )
    data: Dataset = FORMATS[names[0]].read(path, opener)
    if not data.samples:
        raise OptionError(f"expected pictures in {str(path)!r}, read as {data.reason}, found none; check the path")
    return data
