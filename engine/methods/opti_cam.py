"""Opti-CAM (Zhang et al., 2023): the weights of the channels that show the class best are searched by gradient."""

import numpy as np

from ..answer import Attribution
from ..errors import OptionError
from ..perturb import Perturbed, perturbed
from ..problem import Problem
from ..runtime.blas import one_blas_thread
from ..saliency import enlarging
from ..types import Floats
from .registry import Facts, from_map, method
from .saliency import GRADIENT

DECAY, DECAY_SQUARED, LEAST = 0.9, 0.999, 1e-8
"""Adam's own defaults."""


@method("opti-cam", Facts("cam", "gradient of the input", "50 forwards, 50 backwards", "arXiv:2301.07002"))
def opti_cam(problem: Problem, *, steps: int = 50, rate: float = 0.1, baseline: str = "black") -> Attribution:
    """Search weights u so that the picture seen through the map scores best: max_u Y(x * S(u)), M = S(u).

    S(u) = n(up(sum_k softmax(u)_k ReLU(F_k))), n bringing it to 0..1, from equal weights by Adam. Black hides, as in
    the paper, which masks before the normalisation; its code stops early where the loss rises, which this does not,
    and explains the true class, where this explains the target. The map is drawn on the grid.

    Cost: `steps` forward and backward passes of the whole model. Raises GradientError where it has no gradient.
    Source: arXiv:2301.07002.
    """
    if steps < 1 or not rate > 0:
        raise OptionError(f"expected 1 step or more and a rate above 0, got {steps} and {rate}")
    view, maps = perturbed(problem, baseline=baseline, score="logit"), np.maximum(problem.maps, 0).astype(np.float64)
    weights, mean, square = (np.zeros(len(maps)) for _ in range(3))
    for step in range(1, steps + 1):
        slope = slope_of(view, maps, weights)
        mean = DECAY * mean + (1 - DECAY) * slope
        square = DECAY_SQUARED * square + (1 - DECAY_SQUARED) * slope**2
        size = np.sqrt(square / (1 - DECAY_SQUARED**step)) + LEAST
        weights = weights + rate * mean / (1 - DECAY**step) / size
    found = np.tensordot(softmax(weights), maps, axes=1)
    return from_map("opti-cam", found - found.min())


def slope_of(view: Perturbed, maps: Floats, weights: Floats) -> Floats:
    """Return the gradient of the logit by the weights, `[K]`; cost: one forward and one backward pass."""
    shares = softmax(weights)
    down, across = enlarging(view.size, maps.shape[1:])
    with one_blas_thread():
        large = down @ np.tensordot(shares, maps, axes=1) @ across.T
        low, high = large.min(), large.max()
        if not high > low:
            return np.zeros(len(weights))
        mask = (large - low) / (high - low)
        gradient = view.problem.run(GRADIENT, view.mixed(mask[None]))[0]
        by_mask = (view.problem.channels_first(view.picture - view.hidden)[0] * gradient).sum(0).astype(np.float64)
        by_large = by_mask.copy()
        by_large.flat[large.argmin()] -= (by_mask * (1 - mask)).sum()
        by_large.flat[large.argmax()] -= (by_mask * mask).sum()
        by_share = np.tensordot(maps, down.T @ (by_large / (high - low)) @ across, axes=2)
    return np.asarray(shares * (by_share - shares @ by_share))


def softmax(values: Floats) -> Floats:
    odds = np.exp(values - values.max())
    return np.asarray(odds / odds.sum())
