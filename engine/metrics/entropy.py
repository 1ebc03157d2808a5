"""Entropy: over how many pixels a map is spread."""

import numpy as np

from .case import Case, Map
from .registry import MetricFacts, metric


@metric("entropy", MetricFacts("complexity", "lower", "nothing is run", "arXiv:2005.00631"))
def entropy(saliency: Map, case: Case) -> float:  # noqa: ARG001  (every metric takes a case)
    """Return -sum q ln q in nats, q = |map| / sum |map|: from 0 (one pixel has all) to ln(H W) (all pixels alike).

    A blank map prefers no pixel and gets ln(H W). exp of it is a number of pixels. Quantus calls it Complexity.
    Cost: nothing is run. Source: Bhatt et al., IJCAI 2020.
    """
    values = np.abs(saliency).astype(np.float64).ravel()
    total = float(values.sum())
    if total == 0:
        return float(np.log(values.size))
    shares = values[values > 0] / total
    return max(0.0, float(-(shares @ np.log(shares))))
