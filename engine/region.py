"""A chosen region of a segmenter: which output has the scores of places, and how much of each place lies in it."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .chosen import Box, ChosenRegion
from .errors import OptionError
from .graph.region import find_places
from .open_model import measure, open_ends
from .preprocess import prepare
from .types import Measured, Picture, PictureInput, Placement, Wishes

LIT = 128
"""A pixel of a mask picture counts as in the region from this brightness on."""


def choose_region(
    path: str | Path, picture: Picture, region: Box | Picture, wishes: Wishes | None = None
) -> ChosenRegion:
    """Choose a rectangle, or the bright part of a mask picture, as what a segmenter is asked about.

    Raises ModelError where no output has scores for places, OptionError where the region holds nothing that the
    model sees. Cost: a parse, a process start and two or three forwards.
    """
    wishes = wishes or Wishes()
    ends = open_ends(path, wishes, whole=True)
    measured = measure(ends.graph, ends.picture, ends.samples, wishes.memory)
    places = find_places(ends.graph.proto, measured, wishes.output)
    axis = class_axis(measured, places.tensor, ends.picture)
    shape = measured.values[places.tensor].shape
    grid = (shape[2], shape[3]) if axis == 1 else (shape[1], shape[2])
    mask, said = mask_of(region, picture)
    _, placement = prepare(picture, ends.preprocessing, ends.picture)
    weights = coverage(mask, placement, grid)
    if not weights.sum() > 0:
        raise OptionError(
            f"expected a region that the model sees, {said} holds nothing of what it is shown; choose another"
        )
    share = (weights / weights.sum()).astype(np.float32)
    return ChosenRegion(places.tensor, axis, places.ending, said, share, mask >= 0.5)


def class_axis(measured: Measured, tensor: str, picture: PictureInput) -> int:
    """Tell which axis of `[1, C, h, w]` or `[1, h, w, C]` the classes are on: the places are shaped like the input."""
    shape, source = measured.values[tensor].shape, measured.values[picture.name].shape
    height, width = source[2:] if picture.layout == "NCHW" else source[1:3]
    off = {1: misfit(shape[2:], height, width), 3: misfit(shape[1:3], height, width)}
    usual = 1 if picture.layout == "NCHW" else 3
    return min(off, key=lambda axis: (off[axis], axis != usual))


def misfit(grid: tuple[int, ...], height: int, width: int) -> float:
    """Say by what factor the steps down and across differ, as a logarithm to a tenth."""
    return round(abs(float(np.log(height / grid[0]) - np.log(width / grid[1]))), 1)


def mask_of(region: Box | Picture, picture: Picture) -> tuple[NDArray[np.float32], str]:
    """Return how much of each pixel is in the region, `[H, W]` in 0..1, and how it was given."""
    height, width = picture.pixels.shape[:2]
    if isinstance(region, Picture):
        if region.pixels.shape[:2] != (height, width):
            found = "x".join(map(str, region.pixels.shape[1::-1]))
            raise OptionError(f"expected a mask of {width}x{height} pixels like the picture, {region.name} has {found}")
        return (region.pixels.max(axis=2) >= LIT).astype(np.float32), region.name
    left, top, right, bottom = region
    rows, columns = spans(height, top, bottom), spans(width, left, right)
    return np.outer(rows, columns).astype(np.float32), ",".join(f"{edge:g}" for edge in region)


def coverage(mask: NDArray[np.float32], placement: Placement, grid: tuple[int, int]) -> NDArray[np.float64]:
    """Return how much of the region lies in each cell of the grid, `[h, w]` in pixels of the picture."""
    down = cells(placement.picture_height, placement.top, placement.bottom, grid[0])
    across = cells(placement.picture_width, placement.left, placement.right, grid[1])
    found: NDArray[np.float64] = down @ mask.astype(np.float64) @ across.T
    return found


def cells(pixels: int, start: float, stop: float, count: int) -> NDArray[np.float64]:
    """Return `[count, pixels]`: how much of each pixel lies in each cell on one axis."""
    edges = start + (stop - start) * np.arange(count + 1) / count
    return np.array([spans(pixels, low, high) for low, high in pairwise(edges)])


def spans(pixels: int, start: float, stop: float) -> NDArray[np.float64]:
    """Return `[pixels]`: how much of each pixel lies between two edges."""
    first = np.arange(pixels)
    return (np.minimum(first + 1, stop) - np.maximum(first, start)).clip(0, 1)
