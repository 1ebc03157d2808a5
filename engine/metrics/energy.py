"""Energy-based pointing game: how much of a map lies on the object."""

from .case import Case, Map, unit_range
from .pointing_game import box_of
from .registry import MetricFacts, metric


@metric("energy", MetricFacts("localisation", "higher", "nothing is run", "arXiv:1910.01279", ("box",)))
def energy(saliency: Map, case: Case) -> float:
    """Return the sum of the map inside the box over its sum, in 0..1; a blank map scores 0.

    Chance is the share of the picture that the box covers. Of a map whose least value is 0 it is Quantus'
    RelevanceMassAccuracy, which takes others as they are. Cost: nothing is run.
    Raises OptionError when the case has no box. Source: Wang et al., Score-CAM, CVPR workshops 2020.
    """
    inside, values = box_of(case, saliency), unit_range(saliency)
    total = float(values.sum())
    return float(values[inside].sum()) / total if total > 0 else 0.0
