"""Restoring area: the smallest share of the picture, taken by the map, that brings the decision back."""

import numpy as np

from .case import Case, Map, Substrate
from .ladder import RUNGS, shown_best
from .registry import MetricFacts, metric


@metric("restoring-area", MetricFacts("faithfulness", "lower", "29 forwards", "ours"))
def restoring_area(saliency: Map, case: Case, *, substrate: Substrate = "blur", count: int = RUNGS) -> float:
    """Return the least k / count such that the map's best k / count of the pixels are decided for the target.

    The rest of the picture is blurred. A fixed ladder, scanned from below: the decision is not monotone in
    the share, so that bisection could miss the first rung. 0 where the substrate alone is decided so, 1 where
    no rung is. Cost: count + 1 forwards, the same ones as `insertion`. Source: ours.
    """
    restored = shown_best(saliency, case, count, substrate).argmax(axis=1) == case.target
    return float(np.argmax(restored)) / count if restored.any() else 1.0
