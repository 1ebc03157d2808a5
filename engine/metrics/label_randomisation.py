"""Label randomisation: whether a map changes with the class that is explained."""

import numpy as np

from ..errors import DdcamError, OptionError
from .case import Case, Map, needed
from .likeness import likeness as alike
from .registry import MetricFacts, metric


@metric(
    "label-randomisation",
    MetricFacts("randomisation", "lower", "1 forward, the method again", "arXiv:1912.09818", ("explain_class",)),
)
def label_randomisation(
    saliency: Map, case: Case, *, likeness: str = "rank", other: str = "second", seed: int = 0
) -> float:
    """Return Spearman's rank correlation of the map and of the method's map for another class, in -1..1.

    1 says that the map does not see the class. The other class is the most probable one that is not the target
    (`other=second`), the hardest to tell apart, or any one drawn by `seed` (`other=random`, Quantus' RandomLogit).
    `likeness=ssim` takes the structural similarity of both maps in 0..1, Quantus' default. NaN where the model has
    one score, where the method gives up on the other class, and where a map is constant: one that went blank is not
    one that changed. Cost: 1 forward and the method once more. Raises OptionError. Source: Sixt et al., ICML 2020.
    """
    explain = needed(case.explain_class, "`explain_class`, which runs the method for another class")
    rival = rival_of(case, other, seed)
    if rival is None:
        return float("nan")
    try:
        found = explain(rival)
    except DdcamError:
        return float("nan")
    return alike(saliency, found, likeness)


def rival_of(case: Case, other: str, seed: int) -> int | None:
    """Return another class than the target, None where there is no other."""
    if other not in ("second", "random"):
        raise OptionError(f"expected other=second or other=random, got {other!r}")
    scores = case.score(case.inputs)[0].astype(np.float64)
    classes = np.delete(np.arange(len(scores)), case.target)
    if not len(classes):
        return None
    if other == "random":
        return int(np.random.default_rng(seed).choice(classes))
    return int(classes[scores[classes].argmax()])
