"""Integrated gradients (Sundararajan et al., 2017): gradients along the way from a baseline to the picture."""

from dataclasses import replace

import numpy as np

from ..answer import Attribution
from ..errors import OptionError
from ..problem import Problem
from ..types import Floats
from .registry import Facts, from_map, method
from .saliency import GRADIENT

PIECE = 16
"""Pictures on the way and their gradients held in memory at once."""
GAP = 0.05
"""Share of the change of the logit by which the map's sum may miss it without a warning; the paper's own bound."""


@method(
    "integrated-gradients", Facts("gradient", "gradient of the input", "50 forwards, 50 backwards", "arXiv:1703.01365")
)
def integrated_gradients(problem: Problem, *, steps: int = 50, baseline: str = "zero") -> Attribution:
    """Integrate the gradient from a baseline x' to the picture: sum_k (x_k - x'_k) int_0^1 dY/dx_k(x' + a (x - x')) da.

    By Gauss-Legendre quadrature in `steps` points (Captum's default; the trapezoids of others need more steps). The
    `baseline` is `zero` (0 in the model's input: the mean colour where the preprocessing takes it off), `black`, or
    `blur`. The map sums to Y(x) - Y(x') up to the quadrature's error, which is reported.

    Cost: `steps` forward and backward passes, in batches, and two forwards.
    Source: arXiv:1703.01365.
    """
    if steps < 1:
        raise OptionError(f"expected 1 step or more, got {steps}")
    start = problem.baseline(baseline)
    change = problem.picture.astype(np.float32) - start
    slope = mean_slope(problem, start, change, steps)
    signed = (problem.channels_first(change)[0] * slope).sum(0)
    before, after = problem.score_images(np.concatenate([start, problem.picture]))[:, problem.target].astype(float)
    rough = "the integral is rough, take more with steps="
    return complete(from_map("integrated-gradients", signed), baseline, float(after - before), rough)


def mean_slope(problem: Problem, start: Floats, change: Floats, steps: int) -> Floats:
    """Return the mean gradient on the straight way from `start` to `start + change`, `[K, h, w]`."""
    places, weights = np.polynomial.legendre.leggauss(steps)  # on [-1, 1], where weights sum to 2
    shares = ((places + 1) / 2).astype(np.float32).reshape(-1, *[1] * (change.ndim - 1))
    slope = np.zeros(1)
    for first in range(0, steps, PIECE):
        part = slice(first, first + PIECE)
        gradients = problem.run(GRADIENT, start + shares[part] * change)
        slope = slope + np.tensordot(weights[part] / 2, gradients, axes=1)
    return slope


def complete(found: Attribution, baseline: str, change: float, otherwise: str) -> Attribution:
    """Say how far the map's sum is from what it should be, and warn where it is far."""
    total = float(found.scores.sum(dtype=np.float64))
    gap = abs(total - change) / max(abs(change), 1e-12)
    said = f"from the {baseline} baseline; sums to {total:.4g} where the logit changes by {change:.4g} (gap {gap:.2%})"
    warning = f"the map of {found.method} is {said}: {otherwise}"
    return replace(found, weighting=f"{found.method} {said}", warnings=(warning,) if gap > GAP else ())
