"""SmoothGrad and its kin (Smilkov et al., 2017; Adebayo et al., 2018): gradients of noisy copies of the picture."""

import numpy as np

from ..answer import Attribution
from ..errors import OptionError
from ..problem import Problem
from ..types import Floats
from .registry import Facts, from_map, method
from .saliency import GRADIENT

PIECE = 16
"""Noisy pictures and gradients held in memory at once."""


@method("smoothgrad", Facts("gradient", "gradient of the input", "50 forwards, 50 backwards", "arXiv:1706.03825"))
def smooth_grad(problem: Problem, *, samples: int = 50, sigma: float = 0.15, seed: int = 0) -> Attribution:
    """Average the gradient over noisy pictures: max_k |mean_i dY/dx_k(x + e_i)|, e_i ~ N(0, (sigma (max x - min x))^2).

    Channels are joined as in saliency, which it is with sigma 0. `sigma` is a share of the picture's range; the paper
    finds 0.1 to 0.2 best. Captum's default is an absolute deviation of 1 and 5 samples.

    Cost: `samples` forward and backward passes, in batches.
    Source: arXiv:1706.03825.
    """
    mean, _ = moments(problem, samples, sigma, seed)
    return from_map("smoothgrad", np.abs(mean).max(0))


@method(
    "smoothgrad-squared",
    Facts("gradient", "gradient of the input", "50 forwards, 50 backwards", "arXiv:1806.10758"),
)
def smooth_grad_squared(problem: Problem, *, samples: int = 50, sigma: float = 0.15, seed: int = 0) -> Attribution:
    """Average the squared gradient over noisy pictures: max_k mean_i (dY/dx_k(x + e_i))^2, noise as in smoothgrad.

    Cost: `samples` forward and backward passes, in batches.
    Source: arXiv:1806.10758.
    """
    _, square = moments(problem, samples, sigma, seed)
    return from_map("smoothgrad-squared", square.max(0))


@method("vargrad", Facts("gradient", "gradient of the input", "50 forwards, 50 backwards", "arXiv:1810.03307"))
def var_grad(problem: Problem, *, samples: int = 50, sigma: float = 0.15, seed: int = 0) -> Attribution:
    """Take the variance of the gradient over noisy pictures: max_k var_i dY/dx_k(x + e_i), noise as in smoothgrad.

    The variance divides by `samples`, as Captum's does.

    Cost: `samples` forward and backward passes, in batches.
    Source: arXiv:1810.03307.
    """
    mean, square = moments(problem, samples, sigma, seed)
    return from_map("vargrad", np.maximum(square - mean**2, 0).max(0))


def moments(problem: Problem, samples: int, sigma: float, seed: int) -> tuple[Floats, Floats]:
    """Return the means of the gradient and of its square over noisy pictures, both `[K, h, w]` in float64."""
    if samples < 1 or not 0 <= sigma < np.inf:
        raise OptionError(f"expected 1 sample or more and a sigma of 0 or more, got {samples} and {sigma}")
    picture, random = problem.picture.astype(np.float32), np.random.default_rng(seed)
    deviation = np.float32(sigma * np.ptp(picture))
    sums: list[Floats] = [np.zeros(1), np.zeros(1)]
    for start in range(0, samples, PIECE):
        shape = (min(PIECE, samples - start), *picture.shape[1:])
        noise = random.standard_normal(shape, np.float32) * deviation
        gradients = problem.run(GRADIENT, picture + noise).astype(np.float64)
        sums = [sums[0] + gradients.sum(0), sums[1] + (gradients**2).sum(0)]
    return sums[0] / samples, sums[1] / samples
