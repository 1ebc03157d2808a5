"""Complexity: how much of the picture a map covers."""

from .case import Case, Map, unit_range
from .registry import MetricFacts, metric


@metric("complexity", MetricFacts("complexity", "lower", "nothing is run", "arXiv:2104.10252"))
def complexity(saliency: Map, case: Case) -> float:  # noqa: ARG001  (every metric takes a case)
    """Return ||E||_1 / (H W), the mean of the map in 0..1. Cost: nothing is run.

    Source: Poppi et al., CVPR workshops 2021.
    """
    return float(unit_range(saliency).mean())
