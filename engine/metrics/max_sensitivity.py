"""Max-sensitivity: how much a map changes with noise that nobody sees."""

import numpy as np

from ..errors import DdcamError
from ..types import Floats
from .case import Case, Map, needed, require_positive
from .registry import MetricFacts, metric


@metric("max-sensitivity", MetricFacts("robustness", "lower", "the method 5 times", "arXiv:1901.09392", ("explain",)))
def max_sensitivity(saliency: Map, case: Case, *, samples: int = 5, radius: float = 0.02, seed: int = 0) -> float:
    """Return the largest ||phi(x + e) - phi(x)|| / ||phi(x)|| of some noises e, |e| <= radius in every value.

    Norms are Euclidean, noise is uniform, phi the map as it is drawn, the class that of x. `radius` is a share of
    the range of x, so that it means the same whatever the model is fed: 0.02 is 5 of 256 grey levels. (captum: 10
    samples, 0.02 in units of the model input; Quantus: 200 samples, 0.2. Five here, because each is the method once
    more.) A noisy picture for which the method gives up is left out. NaN where it gives up on all, and where
    the map is blank. Cost: the method `samples` times. Raises OptionError. Source: Yeh et al., NeurIPS 2019.
    """
    require_positive(samples=samples, radius=radius)
    explain = needed(case.explain, "`explain`, which runs the method again")
    random, reach, size = np.random.default_rng(seed), radius * np.ptp(case.inputs), float(np.linalg.norm(saliency))
    if size == 0:
        return float("nan")
    changes = []
    for _ in range(samples):
        noisy: Floats = case.inputs + random.uniform(-reach, reach, case.inputs.shape).astype(case.inputs.dtype)
        try:
            changes.append(float(np.linalg.norm(explain(noisy) - saliency)) / size)
        except DdcamError:
            continue
    return max(changes, default=float("nan"))
