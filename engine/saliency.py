"""Scores of units become one saliency map: first over the grid of the features, then over the picture."""

import numpy as np
from numpy.typing import NDArray

from .types import Floats, Placement, Split

Map = NDArray[np.float32]

ROUNDING = 1e-6
"""A map that varies by less than this share of its maximum is constant: float32 knows seven digits."""


def from_channels(scores: Floats, features: Floats) -> Map:
    """Weight the channels by their scores: ReLU(sum_i scores_i * features_i).

    scores `[n]`, features `[n, h, w]` -> `[h, w]`. A channel with score 0 is left out altogether, so an
    infinity in a removed channel cannot spread.
    """
    kept = np.asarray(scores) != 0
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is reported by `is_blank`
        weighted = np.tensordot(scores[kept].astype(np.float64), features[kept].astype(np.float64), axes=1)
        return np.maximum(weighted, 0).astype(np.float32)


def from_tokens(scores: Floats, grid: tuple[int, int]) -> Map:
    """Lay the positive scores of the patch tokens on the patch grid, row by row: max(scores, 0).

    scores `[h * w]`, grid `(h, w)` -> `[h, w]`.
    """
    return np.maximum(scores, 0).astype(np.float32).reshape(grid)


def from_cells(scores: Floats, grid: tuple[int, int]) -> Map:
    """Lay the positive scores of the cells (or patches) on their grid, row by row; shapes as `from_tokens`."""
    return from_tokens(scores, grid)


def saliency_map(grid_map: Floats, placement: Placement) -> Map:
    """Bring a map over the grid into the picture: bilinear inside the placement, 0 outside it, in 0..1.

    grid_map `[h, w]` -> `[H, W]` of the original picture. Cell (i, j) has its centre at (i + 1/2, j + 1/2)
    cells from the corner of the placement; beyond the outermost centres the border cells go on. Values are
    divided by the maximum of the grid map; negative ones count as 0, and a map without a finite positive
    maximum stays 0. A pixel belongs to the placement if its centre does.

    Separable: rows `[H, h]` @ map @ columns `[w, W]`, so O(H W w) multiplications.
    """
    rows = _weights(placement.picture_height, placement.top, placement.bottom, grid_map.shape[0])
    columns = _weights(placement.picture_width, placement.left, placement.right, grid_map.shape[1])
    values: Map = np.matmul(rows @ scaled(grid_map), columns.T)
    return values


def volume_map(grid_map: Floats, slices: tuple[int, int], placement: Placement) -> Map:
    """Bring a map over a volume's grid to its voxels: linear along all three axes, in 0..1.

    grid_map `[d * h, w]` with its slices below each other -> `[D * H, W]`; `slices` are D and d. Centres and borders as
    `saliency_map` has them. A map over the voxels stays as it is.
    """
    height, width = placement.picture_height, placement.picture_width
    if grid_map.shape == (height, width):
        return scaled(grid_map)
    deep, depth = slices
    planes = enlarge(scaled(grid_map).reshape(depth, -1, grid_map.shape[1]), (height // deep, width))
    along = _weights(deep, 0, deep, depth)
    values: Map = np.tensordot(along, planes, axes=1).reshape(height, width)
    return values


def patch_map(grid_map: Floats, split: Split, placement: Placement) -> Map:
    """Bring a map over patches into the picture: each square where it lies, with sharp edges, 0 outside, in 0..1.

    grid_map `[h, w]` -> `[H, W]` of the original picture, scaled as `saliency_map` does. Nothing is smoothed: just
    these squares were kept or removed. A pixel belongs to the patch that its centre lies in.
    """
    height, width = (size for i, size in enumerate(split.shape) if i not in (0, split.unit_axis))
    rows = _patches(placement.picture_height, placement.top, placement.bottom, height, split)
    columns = _patches(placement.picture_width, placement.left, placement.right, width, split)
    bordered = np.pad(scaled(grid_map), (0, 1))  # -1, outside the placement, is the border
    return bordered[np.ix_(rows, columns)]


def enlarge(maps: Floats, size: tuple[int, int]) -> Map:
    """Bring maps `[B, h, w]` to `[B, H, W]` bilinearly, values as they are; centres and borders as `saliency_map`."""
    down, across = enlarging(size, maps.shape[1:])
    enlarged: Map = np.matmul(down @ maps.astype(np.float32), across.T)
    return enlarged


def enlarging(size: tuple[int, int], grid: tuple[int, ...]) -> tuple[Map, Map]:
    """Return the matrices of `enlarge`, `[H, h]` and `[W, w]`: a map becomes down @ map @ across^T."""
    (height, width), (rows, columns) = size, grid
    return _weights(height, 0, height, rows), _weights(width, 0, width, columns)


def for_the_eye(saliency: Floats) -> Map:
    """Brighten a map of pixels, of which a few outshine all others: the 99th percentile of what is above 0 becomes 1.

    What is above it is cut, as SmoothGrad's paper draws its maps (arXiv:1706.03825).
    """
    lit = saliency[saliency > 0]
    bright = np.quantile(lit, 0.99) if lit.size else 1
    return np.minimum(saliency / bright, 1).astype(np.float32)


def is_blank(grid_map: Floats) -> bool:
    """Say whether a map points nowhere: not finite, nowhere positive, or the same everywhere."""
    if not grid_map.size or not np.isfinite(grid_map).all() or grid_map.max() <= 0:
        return True
    return bool(np.ptp(grid_map) <= ROUNDING * np.abs(grid_map).max())


def _weights(pixels: int, start: float, stop: float, cells: int) -> Map:
    """Return `[pixels, cells]`: how much of each cell a pixel gets on one axis; rows outside are 0.

    The two weights of a pixel are off by less than 2^-24 together, so in float32 their sum never exceeds 1.
    """
    centre = np.arange(pixels) + 0.5
    inside = np.flatnonzero((centre >= start) & (centre < stop))
    position = ((centre[inside] - start) / (stop - start) * cells - 0.5).clip(0, cells - 1)
    lower = position.astype(np.intp)
    share = position - lower
    weights = np.zeros((pixels, cells), np.float32)
    weights[inside, lower] = 1 - share
    weights[inside, np.minimum(lower + 1, cells - 1)] += share
    return weights


def _patches(pixels: int, start: float, stop: float, size: int, split: Split) -> NDArray[np.intp]:
    """Return `[pixels]`: in which row (or column) of patches a pixel lies, -1 where in none."""
    assert split.patch is not None
    centre = np.arange(pixels) + 0.5
    position = np.floor((centre - start) / (stop - start) * size).clip(0, size - 1).astype(np.intp)
    found: NDArray[np.intp] = np.where((centre >= start) & (centre < stop), position // split.patch, -1)
    return found


def scaled(grid_map: Floats) -> Map:
    """Return the positive part of a map divided by its maximum; zeros where that is not finite and positive."""
    positive = np.maximum(grid_map.astype(np.float64), 0)
    peak = float(positive.max(initial=0))
    if not 0 < peak < np.inf:  # false for NaN too
        return np.zeros(grid_map.shape, np.float32)
    return (positive / peak).astype(np.float32)
