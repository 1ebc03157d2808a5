"""ADCC: one number of average drop, coherency and complexity."""

from .average_drop import average_drop
from .case import Case, Map
from .coherency import coherency
from .complexity import complexity
from .registry import MetricFacts, metric


@metric("adcc", MetricFacts("faithfulness", "higher", "2 forwards, the method again", "arXiv:2104.10252", ("explain",)))
def adcc(saliency: Map, case: Case) -> float:
    """Return the harmonic mean of coherency, 1 - complexity and 1 - average drop, in 0..1, of one picture.

    3 / (1 / Coh + 1 / (1 - Com) + 1 / (1 - AD)), 0 where a part is 0; the mean over pictures is the metric.
    Cost: 2 forwards and the method once more. Source: Poppi et al., CVPR workshops 2021 (arXiv 2104.10252);
    their published code sets the closing parenthesis wrongly and computes something else.
    """
    return harmonic(coherency(saliency, case), complexity(saliency, case), average_drop(saliency, case))


def harmonic(coherent: float, complicated: float, dropped: float) -> float:
    """Return ADCC of its three parts, each in 0..1."""
    parts = (coherent, 1 - complicated, 1 - dropped)
    return 3 / sum(1 / part for part in parts) if min(parts) > 0 else 0.0
