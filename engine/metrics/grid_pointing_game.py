"""Grid pointing game: how much of a map of several pictures side by side lies on the one of the class."""

import numpy as np

from ..errors import DdcamError, OptionError
from .case import Case, Map, needed
from .registry import MetricFacts, metric

BLANK = 1e-7
"""A map whose sum is no more than this is blank: the authors'."""


@metric(
    "grid-pointing-game",
    MetricFacts("localisation", "higher", "the method again", "arXiv:2104.00032", ("mosaic",)),
)
def grid_pointing_game(saliency: Map, case: Case) -> float:  # noqa: ARG001  (the map is that of the mosaic)
    """Return the sum of max(0, map) in the cell of the class over its whole sum, for a mosaic; 0 for a blank map.

    Chance is the share of the mosaic that the cell covers. NaN where the method gives up on the mosaic. Quantus'
    Focus is the same with classes that may be in several of 2 x 2 cells. Cost: the method once more.
    Raises OptionError. Source: Böhle et al., CVPR 2021; Rao et al., CVPR 2022 (arXiv 2205.10435).
    """
    mosaic = needed(case.mosaic, "a `mosaic` of several pictures")
    try:
        found = np.maximum(mosaic.explain(), 0)
    except DdcamError:
        return float("nan")
    if found.shape != mosaic.cell.shape:
        raise OptionError(f"expected a map of {list(mosaic.cell.shape)} like the cell, got {list(found.shape)}")
    total = float(found.sum())
    return float(found[mosaic.cell].sum()) / total if total > BLANK else 0.0
