"""The ladder of insertion, deletion and restoring area: the best pixels of a map, a fixed share more at every rung."""

import numpy as np
from numpy.typing import NDArray

from ..types import Floats
from .case import Map

RUNGS = 28
"""Steps from nothing to the whole picture: RISE's 224 * 8 pixels a step, for inputs of 224 x 224."""


def rungs(saliency: Map, count: int = RUNGS) -> NDArray[np.bool_]:
    """Return `[count + 1, H, W]`: the best 0, 1/count, 2/count, ... 1 of the pixels.

    Ties are broken in reading order, so that a map without an opinion is revealed from the top.
    """
    ranks = np.empty(saliency.size, np.intp)
    ranks[np.argsort(-saliency, axis=None, kind="stable")] = np.arange(saliency.size)
    sizes = np.rint(np.linspace(0, saliency.size, count + 1))
    return ranks.reshape(saliency.shape) < sizes[:, None, None]


def area(curve: Floats) -> float:
    """Return the area under a curve over equal steps from 0 to 1, by trapezia."""
    return float((curve.sum() - curve[0] / 2 - curve[-1] / 2) / (len(curve) - 1))
