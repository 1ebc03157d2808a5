"""ROAD (remove and debias): whether the class hangs on the best pixels more than on the worst."""

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..types import Floats
from .case import Case, Map
from .imputation import impute
from .ladder import ranks
from .registry import MetricFacts, metric

NOISE = 0.01
"""Standard deviation of the noise on an imputed pixel, in units of the model input: the authors'."""


@metric("road", MetricFacts("faithfulness", "higher", "8 forwards, 8 sparse systems", "arXiv:2202.00449"))
def road(
    saliency: Map,
    case: Case,
    *,
    percentiles: str = "20/40/60/80",
    order: str = "both",
    noise: float = NOISE,
    seed: int = 0,
) -> float:
    """Return the mean over percentiles q of (p(LeRF q) - p(MoRF q)) / 2, in -0.5..0.5, p the target's probability.

    MoRF q removes the best q percent of the pixels, LeRF q the worst. A removed pixel becomes the weighted mean of
    its eight neighbours (direct ones 1/6, diagonal ones 1/12, fewer at the border), so one sparse system for all of
    a mask and its channels, and noise of `noise` on it. `order=morf` and `order=lerf` return the mean of that p alone
    (of which MoRF's is better when lower). Ties fall in reading order; the authors break them by noise.
    The authors report the accuracy at each percentile, Quantus too (1, 3, ... 99); pytorch-grad-cam has the
    combination above at 10, 20, ... 90 of the logit. Four percentiles here, because the systems cost more than the
    model. Cost: 2 forwards and 2 systems a percentile. Raises OptionError. Source: Rong et al., ICML 2022.
    """
    if order not in ("both", "morf", "lerf"):
        raise OptionError(f"expected order=both, order=morf or order=lerf, got {order!r}")
    masks = removed(ranks(saliency), shares_of(percentiles), ("lerf", "morf") if order == "both" else (order,))
    random = np.random.default_rng(seed)
    scores = case.score_each(masks, lambda some: imputed(case, some, noise, random))[:, case.target]
    means = scores.astype(np.float64).reshape(-1, masks.shape[0] // len(shares_of(percentiles))).mean(axis=0)
    return float((means[0] - means[1]) / 2 if order == "both" else means[0])


def shares_of(percentiles: str) -> list[float]:
    """Read percents written as 20/40/60/80; OptionError for what is not between 0 and 100."""
    try:
        found = [float(part) / 100 for part in percentiles.split("/")]
    except ValueError:
        found = []
    if not found or not all(0 < share < 1 for share in found):
        raise OptionError(f"expected percentiles between 0 and 100 as 20/40/60/80, got {percentiles!r}")
    return found


def removed(places: NDArray[np.intp], shares: list[float], orders: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return what is removed, `[shares * orders, H, W]`, share by share."""
    counts = [int(places.size * share) for share in shares]
    masks = {"morf": lambda count: places < count, "lerf": lambda count: places >= places.size - count}
    return np.array([masks[order](count) for count in counts for order in orders])


def imputed(case: Case, masks: NDArray[np.bool_], noise: float, random: np.random.Generator) -> Floats:
    """Return inputs `[B, ...]` whose masked pixels are imputed."""
    return np.concatenate([impute(case.inputs, case.layout, mask, noise, random) for mask in masks])
