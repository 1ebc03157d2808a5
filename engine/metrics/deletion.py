"""Deletion: how fast the class is lost when the best pixels are hidden first."""

from .case import Case, Map, Substrate
from .ladder import RUNGS, area, hidden_best
from .registry import MetricFacts, metric


@metric("deletion", MetricFacts("faithfulness", "lower", "29 forwards", "arXiv:1806.07421"))
def deletion(saliency: Map, case: Case, *, substrate: Substrate = "mean", count: int = RUNGS) -> float:
    """Return the area under p(target) while the map's pixels are replaced by the mean colour, best first.

    Area by trapezia over `count` equal steps, in 0..1. Cost: count + 1 forwards.
    Source: Petsiuk et al., RISE, BMVC 2018; there too a hidden pixel is 0 in the normalised input.
    """
    return area(hidden_best(saliency, case, count, substrate)[:, case.target])
