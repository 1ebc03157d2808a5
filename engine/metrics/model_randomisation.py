"""Model randomisation: whether a map changes when the model's weights are shuffled."""

from ..errors import DdcamError
from .case import Case, Map, needed
from .likeness import likeness as alike
from .registry import MetricFacts, metric


@metric(
    "model-randomisation",
    MetricFacts("randomisation", "lower", "the method again", "arXiv:1810.03292", ("explain_randomised",)),
)
def model_randomisation(saliency: Map, case: Case, *, likeness: str = "rank") -> float:
    """Return Spearman's rank correlation of the map and of the method's map of a model with shuffled weights.

    In -1..1, 0 where they have nothing in common; 1 says that the map owes nothing to what the model has learnt.
    `likeness=ssim` takes the structural similarity of both maps in 0..1. All weights are shuffled at once (Quantus'
    MPRT goes on layer by layer and reports each). NaN where the method gives up on the shuffled model, and where a
    map is constant: one that went blank is not one that changed. Cost: the method once more. Raises OptionError.
    Source: Adebayo et al., NeurIPS 2018.
    """
    explain = needed(case.explain_randomised, "`explain_randomised`, which runs the method on shuffled weights")
    try:
        other = explain()
    except DdcamError:
        return float("nan")
    return alike(saliency, other, likeness)
