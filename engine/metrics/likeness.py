"""How alike two maps are: rank correlation and structural similarity."""

import numpy as np
from scipy.ndimage import uniform_filter

from ..errors import OptionError
from ..types import Floats
from .case import Map, unit_range
from .coherency import pearson

WINDOW = 7
"""Side of the window of SSIM, in pixels: scikit-image's."""
SMALL = (0.01**2, 0.03**2)
"""What keeps SSIM from dividing by nothing, for values in 0..1: Wang et al.'s."""


def likeness(first: Map, second: Map, by: str) -> float:
    """Return how alike two maps `[H, W]` are, by "rank" (Spearman's) or "ssim", 1 where they are the same.

    NaN where one of them is constant: it has no order, and a map that went blank must not count as one that changed.
    Raises OptionError.
    """
    if by not in ("rank", "ssim"):
        raise OptionError(f"expected likeness=rank or likeness=ssim, got {by!r}")
    if first.shape != second.shape:
        raise OptionError(f"expected maps of one size, got {list(first.shape)} and {list(second.shape)}")
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return pearson(ranked(first), ranked(second)) if by == "rank" else ssim(first, second)


def ranked(values: Map) -> Floats:
    """Return the rank of each value, equal ones the mean of theirs."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[which].astype(np.float64)


def ssim(first: Map, second: Map) -> float:
    """Return the mean structural similarity of two maps, each brought to 0..1 first (Wang et al., 2004).

    Even windows of 7 x 7 that lie in the map, sample covariances: the defaults of scikit-image.
    """
    if min(first.shape) < WINDOW:
        raise OptionError(f"expected maps of at least {WINDOW} x {WINDOW} for ssim, got {list(first.shape)}")
    a, b = unit_range(first), unit_range(second)

    def mean(values: Floats) -> Floats:
        border = WINDOW // 2
        return np.asarray(uniform_filter(values, WINDOW)[border:-border, border:-border], np.float64)

    sample = WINDOW**2 / (WINDOW**2 - 1)
    ma, mb = mean(a), mean(b)
    va, vb, vab = (sample * (mean(product) - means) for product, means in
                   ((a * a, ma * ma), (b * b, mb * mb), (a * b, ma * mb)))  # fmt: skip
    light = (2 * ma * mb + SMALL[0]) / (ma**2 + mb**2 + SMALL[0])
    return float((light * (2 * vab + SMALL[1]) / (va + vb + SMALL[1])).mean())
