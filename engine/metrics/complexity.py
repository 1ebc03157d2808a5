"""Complexity: how much of the picture a map covers."""

from .case import Case, Map, unit_range


def complexity(saliency: Map, case: Case | None = None) -> float:  # noqa: ARG001  (every metric takes a case)
    """Return ||E||_1 / (H W), the mean of the map in 0..1. Cost: nothing is run.

    Source: Poppi et al., CVPR workshops 2021.
    """
    return float(unit_range(saliency).mean())
