"""Average gain: how much of the missing confidence the map alone adds."""

from .average_drop import confidences, masked
from .case import Case, Map
from .registry import MetricFacts, metric


@metric("average-gain", MetricFacts("faithfulness", "higher", "2 forwards", "arXiv:2301.07002"))
def average_gain(saliency: Map, case: Case) -> float:
    """Return max(0, o - p) / (1 - p) in 0..1; p and o are the target's probability on x and on x * E.

    As in `average-drop`, of which it is the counterpart; 0 where p is 1, as no more can be gained. The mean over
    pictures is the metric of the paper (there in percent). Cost: 2 forwards.
    Source: Zhang et al., Opti-CAM, CVIU 2024.
    """
    before, after = confidences(case, masked(saliency, case))
    return max(0.0, after - before) / (1 - before) if before < 1 else 0.0
