"""Average increase, called increase in confidence too: how often the map alone is worth more than the picture."""

from .average_drop import confidences, masked
from .case import Case, Map
from .registry import MetricFacts, metric


@metric("average-increase", MetricFacts("faithfulness", "higher", "2 forwards", "arXiv:1710.11063"))
def average_increase(saliency: Map, case: Case) -> float:
    """Return 1 where o > p, else 0; p and o are the target's probability on x and on the explanation map x * E.

    As in `average-drop`, E is the map in 0..1 and the picture fades to the mean colour. The mean over pictures is
    the metric of the papers (there in percent); ties do not count. Cost: 2 forwards.
    Source: Chattopadhyay et al., Grad-CAM++, WACV 2018.
    """
    before, after = confidences(case, masked(saliency, case))
    return float(after > before)
