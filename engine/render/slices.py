"""A volume's slices side by side, row by row: a contact sheet of what lies below each other in arrays."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def contact_sheet(stacked: NDArray[Any], depth: int, gap: int = 0) -> NDArray[Any]:
    """Lay `depth` slices `[depth * H, W, ...]` out in about as many columns as rows, a line of `gap` around each.

    Returns `[rows * (H + 1), columns * (W + 1), ...]`; the first slice is at the upper left, the next to its right.
    """
    height, width = len(stacked) // depth, stacked.shape[1]
    columns = min(depth, max(1, round(math.sqrt(depth * height / width))))
    rows = math.ceil(depth / columns)
    sheet = np.full((rows * columns, height + 1, width + 1, *stacked.shape[2:]), gap, stacked.dtype)
    sheet[:depth, :height, :width] = stacked.reshape(depth, height, *stacked.shape[1:])
    grid = sheet.reshape(rows, columns, *sheet.shape[1:]).swapaxes(1, 2)
    return np.ascontiguousarray(grid.reshape(rows * (height + 1), columns * (width + 1), *stacked.shape[2:]))
