"""Noisy linear imputation: removed pixels become the weighted mean of their neighbours, all at once."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..types import Floats, Layout

Places = NDArray[np.intp]
STEPS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]
DIRECT, DIAGONAL = 1 / 6, 1 / 12
SMALLEST = 16
"""Pixels of a block that is not dissected further."""


def impute(
    inputs: Floats, layout: Layout, removed: NDArray[np.bool_], noise: float, random: np.random.Generator
) -> Floats:
    """Return inputs `[1, ...]` with the removed pixels `[H, W]` imputed, every channel on its own, and noise on them.

    At least one pixel must stay. Cost: one sparse system, factored once for all channels.
    """
    planes = np.moveaxis(inputs[0], 0, -1) if layout == "NCHW" else inputs[0]
    filled: Floats = planes.copy()
    if removed.any():
        height, width = removed.shape
        order = dissection(height, width)
        rows, columns = np.divmod(order[removed.ravel()[order]], width)
        values = solution(planes, removed, rows, columns)
        filled[rows, columns] = values + noise * random.standard_normal(values.shape)
    return (np.moveaxis(filled, -1, 0) if layout == "NCHW" else filled)[None]


def solution(planes: Floats, removed: NDArray[np.bool_], rows: Places, columns: Places) -> Floats:
    """Return the values `[n, C]` of the removed pixels at rows and columns, in an order that is good to factor.

    The weights of the neighbours that a pixel has are scaled to a sum of 1, so sum_j w_ij (v_i - v_j) = 0 for every
    removed i: a symmetric system, which is positive definite where a pixel stays, and so needs no pivoting.
    """
    from scipy.sparse import csc_array  # noqa: PLC0415  (slow to import, and only this metric needs it)
    from scipy.sparse.linalg import splu  # noqa: PLC0415

    unknown = np.full(np.add(removed.shape, 2), -1)  # a border saves asking who lies beyond it
    unknown[rows + 1, columns + 1] = every = np.arange(len(rows))
    known = np.pad(np.where(removed[..., None], 0, planes), ((1, 1), (1, 1), (0, 0)))
    within = np.pad(np.ones(removed.shape), 1)
    diagonal, right_side, entries = np.zeros(len(rows)), np.zeros((len(rows), planes.shape[2])), []
    for down, right in STEPS:
        weight, there = DIAGONAL if down and right else DIRECT, (rows + 1 + down, columns + 1 + right)
        diagonal += weight * within[there]
        right_side += weight * known[there]
        own = np.flatnonzero(unknown[there] >= 0)
        entries.append((np.full(len(own), -weight), own, unknown[there][own]))
    weights, own, other = (np.concatenate(parts) for parts in zip(*entries, (diagonal, every, every), strict=True))
    system = csc_array((weights, (own, other)), shape=(len(rows), len(rows)))
    factors = splu(system, permc_spec="NATURAL", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return np.asarray(factors.solve(right_side), np.float64)


@cache
def dissection(height: int, width: int) -> Places:
    """Return all pixels, as places in reading order, so ordered that factoring a grid of them fills in little.

    Nested dissection: both halves of a block come before the line between them, and so on inside of the halves. It
    suits any part of the pixels too. At 224 x 224 with 80 % removed SuperLU took 0.17 s with it, 0.39 s with its own
    ordering of symmetric systems and 0.46 s with that of any systems, which is SciPy's default.
    """
    places = np.arange(height * width).reshape(height, width)
    return np.concatenate(blocks(places)).astype(np.intp)


def blocks(places: Places) -> list[Places]:
    height, width = places.shape
    if places.size <= SMALLEST:
        return [places.ravel()]
    if width > height:
        return blocks(places.T)
    middle = height // 2
    return [*blocks(places[:middle]), *blocks(places[middle + 1 :]), places[middle]]
