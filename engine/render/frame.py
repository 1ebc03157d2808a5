"""The border of a chosen box or region, drawn on a picture."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..chosen import Box
from ..types import Pixels

Region = NDArray[np.bool_]
"""`[H, W]`, true inside."""
THICKNESS = 1 / 120
"""Of a border, as a share of the longer side; half of it is white and half dark, so that it is seen on anything."""


def framed(pixels: Pixels, region: Region | None) -> Pixels:
    """Draw the border of a region on a picture `[H, W, 3]`, inside the region; without one the picture as it is."""
    if region is None:
        return pixels
    height, width = pixels.shape[:2]
    inside = np.asarray(Image.fromarray(region).resize((width, height), Image.Resampling.NEAREST))
    half = max(1, round(THICKNESS * max(height, width) / 2))
    middle, core = shrunk(inside, half), shrunk(inside, 2 * half)
    result = pixels.copy()
    result[inside & ~middle] = 255
    result[middle & ~core] = 20
    return result


def shrunk(region: Region, by: int) -> Region:
    """Take off what lies within some pixels of the outside; beyond the picture is outside too."""
    kept = np.pad(region, by)
    for axis in (0, 1):
        total = np.cumsum(np.pad(kept, [(1, 0) if i == axis else (0, 0) for i in (0, 1)]).astype(np.int32), axis=axis)
        size = kept.shape[axis] - 2 * by
        far, near = (np.take(total, range(start, start + size), axis=axis) for start in (2 * by + 1, 0))
        kept = far - near == 2 * by + 1
    result: Region = kept
    return result


def inside(shape: tuple[int, ...], box: Box) -> Region:
    """Return which pixels have their centre in a box; at least one row and column where it meets the picture."""
    left, top, right, bottom = box
    rows, columns = (between(size, *ends) for size, ends in zip(shape[:2], ((top, bottom), (left, right)), strict=True))
    return np.logical_and.outer(rows, columns)


def between(size: int, start: float, stop: float) -> NDArray[np.bool_]:
    first = np.arange(size)
    within: NDArray[np.bool_] = (first + 0.5 >= start) & (first + 0.5 < stop)
    return within
