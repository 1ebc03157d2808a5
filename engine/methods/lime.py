"""LIME (Ribeiro et al., 2016): a linear model of what superpixels, shown or hidden, do to the score."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..answer import Attribution
from ..errors import OptionError
from ..perturb import Perturbed, perturbed, pieces
from ..problem import Problem
from ..superpixels import superpixels
from ..types import Floats
from .registry import Facts, from_map, method

WIDTH = 0.25
"""Width of the kernel over cosine distances, the package's own."""


@method("lime", Facts("perturbation", "the whole model", "1000 forwards", "arXiv:1602.04938"))
def lime(
    problem: Problem,
    *,
    samples: int = 1000,
    across: int = 8,
    baseline: str = "piece",
    score: str = "prob",
    alpha: float = 1.0,
    seed: int = 0,
) -> Attribution:
    """Fit a ridge regression from shown superpixels to the score: f(z) ~ w_0 + w z, M = w of a pixel's superpixel.

    As the authors' package: superpixels shown with probability 1/2 and all of them first, a hidden one in its mean
    colour (`baseline=piece`; zero, black and blur hide by those), weights sqrt(exp(-d^2 / 0.25^2)) of the cosine
    distance d to the whole picture, `alpha` 1. Superpixels are SLIC's, about `across` x `across` of them; the package
    has quickshift.

    Cost: `samples` forwards.
    Source: arXiv:1602.04938.
    """
    from sklearn.linear_model import Ridge  # noqa: PLC0415  (slow to import, and only this method needs it)

    if samples < 2 or across < 1:
        raise OptionError(f"expected 2 samples and 1 superpixel across or more, got {samples} and {across}")
    view = perturbed(problem, baseline="zero" if baseline == "piece" else baseline, score=score)
    labels = superpixels(channels_last(view), across)
    if baseline == "piece":
        view = replace(view, hidden=in_mean_colours(view, labels))
    shown = np.random.default_rng(seed).random((samples, labels.max() + 1)) < 0.5
    shown[0] = True
    found = view.scores(shown, pieces(labels))
    fitted = Ridge(alpha=alpha).fit(shown.astype(float), found, sample_weight=nearness(shown))
    return from_map("lime", fitted.coef_[labels])


def nearness(shown: NDArray[np.bool_]) -> Floats:
    """Return the weight of each sample: of its cosine distance to all ones, which is 1 where nothing is shown."""
    distance = 1 - np.sqrt(shown.mean(axis=1))
    return np.asarray(np.sqrt(np.exp(-((distance / WIDTH) ** 2))))


def channels_last(view: Perturbed) -> Floats:
    """Return the picture as `[H, W, K]`."""
    return np.moveaxis(view.picture[0], 0, 2) if view.layout == "NCHW" else view.picture[0]


def in_mean_colours(view: Perturbed, labels: NDArray[np.intp]) -> Floats:
    """Return the picture `[1, ...]` with every piece in its mean colour."""
    image, flat = channels_last(view), labels.ravel()
    sums = np.stack([np.bincount(flat, weights=image[..., i].ravel()) for i in range(image.shape[2])], axis=-1)
    made: Floats = (sums / np.bincount(flat)[:, None])[labels].astype(np.float32)
    return (np.moveaxis(made, 2, 0) if view.layout == "NCHW" else made)[None]
