"""An NPZ file: arrays of pictures, labels and boxes, as NumPy and MedMNIST keep them."""

import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.dataset import Dataset, Sample
from ...engine.errors import OptionError
from ...engine.preprocess import from_pixels
from ...engine.types import Picture

PICTURES = ("images", "x", "x_test", "test_images", "data", "arr_0")
LABELS = ("labels", "y", "y_test", "test_labels", "targets", "arr_1")


def recognises(path: Path) -> bool:
    return path.suffix.lower() == ".npz"


def read(path: Path, opener: Callable[[Path], Picture]) -> Dataset:  # noqa: ARG001
    """Read uint8 pictures `[N, H, W]` or `[N, H, W, 1|3|4]`, labels `[N]` and boxes `[N, 4]`.

    A box is left, top, right, bottom in pixels. Nothing is left to open for `opener`.
    """
    arrays = load(path)
    images = first(arrays, PICTURES)
    if images is None or images.dtype != np.uint8 or images.ndim not in (3, 4):
        found = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in arrays.items()) or "nothing"
        raise OptionError(f"expected uint8 pictures [N, H, W, 3] called {' or '.join(PICTURES)} in {path}, got {found}")
    labels, boxes = first(arrays, LABELS), arrays.get("boxes")
    for name, array in (("labels", labels), ("boxes", boxes)):
        if array is not None and len(array) != len(images):
            raise OptionError(f"expected {len(images)} {name} like pictures in {path}, got {len(array)}")
    samples = [
        Sample(
            f"{index:06d}",
            partial(from_pixels, images[index], f"{path.name}[{index}]"),
            None if labels is None else label_of(labels[index], path),
            () if boxes is None else (box_of(boxes[index], path),),
        )
        for index in range(len(images))
    ]
    return Dataset(tuple(samples), (), f"the arrays of {path.name}")


def load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files if name in (*PICTURES, *LABELS, "boxes")}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise OptionError(f"expected an NPZ file of plain arrays, {path} is not: {error}") from None


def first(arrays: dict[str, NDArray[Any]], names: tuple[str, ...]) -> NDArray[Any] | None:
    return next((arrays[name] for name in names if name in arrays), None)


def label_of(value: Any, path: Path) -> int | str:
    values = np.atleast_1d(value)
    if values.size != 1 or values.dtype.kind not in "iuU":
        raise OptionError(f"expected one index or name as a label in {path}, got {np.asarray(value)!r}")
    return str(values[0]) if values.dtype.kind == "U" else int(values[0])


def box_of(value: Any, path: Path) -> tuple[float, float, float, float]:
    if np.shape(value) != (4,):
        raise OptionError(f"expected boxes [N, 4] in {path}, got {list(np.shape(value))} for one of them")
    left, top, right, bottom = map(float, value)
    return left, top, right, bottom
