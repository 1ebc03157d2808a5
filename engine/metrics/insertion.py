"""Insertion: how fast the class comes back when the best pixels are shown first."""

from .case import Case, Map, Substrate
from .ladder import RUNGS, area, shown_best
from .registry import MetricFacts, metric


@metric("insertion", MetricFacts("faithfulness", "higher", "29 forwards", "arXiv:1806.07421"))
def insertion(saliency: Map, case: Case, *, substrate: Substrate = "blur", count: int = RUNGS) -> float:
    """Return the area under p(target) while the map's pixels are inserted into a blurred picture, best first.

    Area by trapezia over `count` equal steps, in 0..1. Cost: count + 1 forwards.
    Source: Petsiuk et al., RISE, BMVC 2018; figures of other substrates or steps must not be compared.
    """
    return area(shown_best(saliency, case, count, substrate)[:, case.target])
