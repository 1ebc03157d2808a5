"""Average drop in deletion (ADD): how much confidence is lost when what the map shows is dimmed."""

from .average_drop import confidences
from .case import Case, Map, unit_range
from .registry import MetricFacts, metric


@metric("average-drop-in-deletion", MetricFacts("faithfulness", "higher", "2 forwards", "arXiv:2102.05228"))
def average_drop_in_deletion(saliency: Map, case: Case) -> float:
    """Return (p - d) / p; p and d are the target's probability on x and on the inverted explanation map x * (1 - E).

    At most 1, and below 0 where the picture without the map is worth more. E is the map in 0..1; where it is 1 the
    picture fades to the mean colour, which is 0 in a normalised input. The mean over pictures is the metric of the
    paper (there in percent). Cost: 2 forwards. Source: Jung and Oh, LIFT-CAM, ICCV 2021.
    """
    shown = 1 - unit_range(saliency)[None].astype(case.inputs.dtype)
    before, after = confidences(case, case.show(shown))
    return (before - after) / before if before > 0 else 0.0
