"""Sparseness: how unequally a map is spread over the picture."""

import numpy as np

from .case import Case, Map
from .registry import MetricFacts, metric


@metric("sparseness", MetricFacts("complexity", "higher", "nothing is run", "arXiv:1810.06583"))
def sparseness(saliency: Map, case: Case) -> float:  # noqa: ARG001  (every metric takes a case)
    """Return the Gini index of a = |map|: sum_i (2 i - n - 1) a_(i) / (n sum a), a_(1) the least of n.

    From 0 (all pixels alike; a blank map too) to 1 - 1 / n (one pixel has all). Quantus divides by the largest and
    adds 1e-7 to every pixel before. Cost: nothing is run. Source: Chalasani et al., ICML 2020.
    """
    values = np.sort(np.abs(saliency), axis=None).astype(np.float64)
    count, total = len(values), float(values.sum())
    places = 2 * np.arange(1, count + 1) - count - 1
    return float(places @ values) / (count * total) if total > 0 else 0.0
