"""Average drop: how much confidence is lost when the picture is dimmed by its map."""

from ..types import Floats
from .case import Case, Map, unit_range
from .registry import MetricFacts, metric


@metric("average-drop", MetricFacts("faithfulness", "lower", "2 forwards", "arXiv:1710.11063"))
def average_drop(saliency: Map, case: Case) -> float:
    """Return max(0, p - o) / p in 0..1, p and o the target's probability on x and on the explanation map x * E.

    E is the map in 0..1; where it is 0 the picture fades to the mean colour, which is 0 in a normalised input.
    The mean over pictures is the metric of the papers (there in percent). Cost: 2 forwards.
    Source: Chattopadhyay et al., Grad-CAM++, WACV 2018.
    """
    before, after = confidences(case, masked(saliency, case))
    return max(0.0, before - after) / before if before > 0 else 0.0


def confidences(case: Case, changed: Floats) -> tuple[float, float]:
    """Return the target's probability on the picture and on what was made of it `[1, ...]`. Cost: 2 forwards."""
    return float(case.confidence(case.inputs)[0]), float(case.confidence(changed)[0])


def masked(saliency: Map, case: Case) -> Floats:
    """Return the explanation map `[1, ...]`: the picture where the map is 1, the mean colour where it is 0."""
    return case.show(unit_range(saliency)[None].astype(case.inputs.dtype))
