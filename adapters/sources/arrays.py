"""Pictures in arrays: one, many, or those of an NPZ file."""

import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.errors import PictureError
from ...engine.preprocess import from_pixels
from ...engine.types import Picture
from ..datasets import npz

ARRAY = b"\x93NUMPY"
ARRAYS = (ARRAY, b"PK\x03\x04")
"""How .npy and .npz files begin."""


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


def array_in(path: Path, data: bytes) -> NDArray[Any]:
    """Read the array of an .npy file, or the only one of an .npz file."""
    try:
        content = np.load(io.BytesIO(data), allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        names = content.files
        if len(names) == 1:
            return np.asarray(content[names[0]])
    except Exception as error:  # NumPy's reader raises whatever the bytes make it stumble over
        raise PictureError(f"expected an array in {str(path)!r}, could not read it ({error}); save it again") from None
    raise PictureError(f"expected one array in {str(path)!r}, got {', '.join(names) or 'none'}; save one alone as .npy")
