"""Pictures in arrays: one, many, or those of an NPZ file."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ...engine.preprocess import from_pixels
from ...engine.types import Picture
from ..datasets import npz


def each_array(pixels: NDArray[Any]) -> Iterator[Callable[[], Picture]]:
    """Yield the pictures of uint8 `[H, W]`, `[H, W, 1|3|4]`, `[N, H, W, 1|3|4]` or `[N, H, W]`.

    Three axes of which the last has 1, 3 or 4 entries are one picture.
    """
    many = pixels.ndim == 4 or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4))
    if not many:
        yield partial(from_pixels, pixels)
        return
    for index, one in enumerate(pixels):
        yield partial(from_pixels, one, f"array[{index}]")


def each_of_npz(path: Path, opener: Callable[[Path], Picture]) -> Iterator[Callable[[], Picture]]:
    """Yield the pictures of an NPZ file as a data set's are read from it."""
    for sample in npz.read(path, opener).samples:
        yield sample.open
