"""Score-CAM (Wang et al., 2020) and its smoothed forms: channels weighted by the score of what they show."""

import numpy as np
from numpy.typing import NDArray

from ..answer import Attribution
from ..errors import OptionError
from ..perturb import Draw, Perturbed, perturbed
from ..problem import Problem
from ..saliency import enlarge
from ..types import Floats
from .registry import Facts, from_map, method


@method("score-cam", Facts("cam", "the whole model", "K + 1 forwards", "arXiv:1910.01279"))
def score_cam(
    problem: Problem, *, score: str = "prob", weights: str = "plain", channels: int = 0, baseline: str = "zero"
) -> Attribution:
    """Weight each channel by the score of the picture seen through it: ReLU(sum_k w_k F_k), w_k = f(x * m_k).

    m_k is the channel enlarged to the input and brought to 0..1; one that is constant is left out. `score` and
    `weights` are prob and plain, as in the authors' code; `weights=softmax` takes the softmax over channels, as in the
    paper's algorithm, and with `score=logit` as in pytorch-grad-cam. `channels` tries only those that vary most
    (0: all), which is ours.

    Cost: K + 1 forwards.
    Source: arXiv:1910.01279.
    """
    view, picked = perturbed(problem, baseline=baseline, score=score), varying(problem, channels)
    found = view.scores(problem.maps[picked], lambda maps: unit_masks(maps, view.size))
    return weighted("score-cam", problem, picked, found, weights)


@method("ss-cam", Facts("cam", "the whole model", "35 K + 1 forwards", "arXiv:2006.14255"))
def ss_cam(
    problem: Problem,
    *,
    samples: int = 35,
    sigma: float = 2.0,
    score: str = "prob",
    weights: str = "plain",
    channels: int = 0,
    seed: int = 0,
) -> Attribution:
    """Do as score-cam with noise on the masks: w_k = mean_i f(x * (m_k + e_i)), e_i ~ N(0, sigma^2) a pixel.

    `samples` and `sigma` are those of torch-cam; the paper has a second form with noise on the input.

    Cost: `samples` K + 1 forwards.
    Source: arXiv:2006.14255.
    """
    view, picked = perturbed(problem, score=score), varying(problem, channels)
    draw = noisy(problem.maps, view, sigma, seed)
    return weighted("ss-cam", problem, picked, averaged(view, picked, samples, draw), weights)


@method("is-cam", Facts("cam", "the whole model", "10 K + 1 forwards", "arXiv:2010.03023"))
def is_cam(
    problem: Problem, *, samples: int = 10, score: str = "prob", weights: str = "plain", channels: int = 0
) -> Attribution:
    """Do as score-cam with masks that grow: w_k = mean_i f(x * m_k * i / N), i = 1 .. N = `samples`.

    torch-cam adds the shares up as it goes, so that its masks reach 5.5.

    Cost: `samples` K + 1 forwards.
    Source: arXiv:2010.03023.
    """
    view, picked = perturbed(problem, score=score), varying(problem, channels)

    def draw(rows: NDArray[np.intp]) -> Floats:
        growing = ((rows[:, 1] + 1) / samples).astype(np.float32)
        return unit_masks(problem.maps[rows[:, 0]], view.size) * growing[:, None, None]

    return weighted("is-cam", problem, picked, averaged(view, picked, samples, draw), weights)


def varying(problem: Problem, count: int) -> NDArray[np.intp]:
    """Return the channels that are not constant, or those `count` of them that vary most, in index order."""
    deviations = problem.maps.std(axis=(1, 2), dtype=np.float64)
    live = np.flatnonzero(np.ptp(problem.maps, axis=(1, 2)) > 0)
    if count < 0:
        raise OptionError(f"expected channels of 0 (all) or more, got {count}")
    return np.sort(live[np.argsort(-deviations[live], kind="stable")][: count or None])


def unit_masks(maps: Floats, size: tuple[int, int]) -> Floats:
    """Enlarge maps `[B, h, w]` and bring each to 0..1, `[B, H, W]`."""
    masks = enlarge(maps, size)
    low, high = masks.min(axis=(1, 2), keepdims=True), masks.max(axis=(1, 2), keepdims=True)
    masks -= low
    masks /= np.maximum(high - low, np.finfo(np.float32).tiny)
    return masks


def noisy(maps: Floats, view: Perturbed, sigma: float, seed: int) -> Draw:
    """Return what draws masks with noise for rows of channel and sample; the noise is that of the row alone."""

    def draw(rows: NDArray[np.intp]) -> Floats:
        masks = unit_masks(maps[rows[:, 0]], view.size)
        noise = [np.random.default_rng([seed, *row]).standard_normal(view.size, np.float32) for row in rows]
        return masks + np.float32(sigma) * np.stack(noise)

    return draw


def averaged(view: Perturbed, picked: NDArray[np.intp], samples: int, draw: Draw) -> Floats:
    """Return the mean score of each channel over its samples."""
    if samples < 1:
        raise OptionError(f"expected samples of 1 or more, got {samples}")
    rows = np.stack(np.meshgrid(picked, np.arange(samples), indexing="ij"), axis=-1).reshape(-1, 2)
    means: Floats = view.scores(rows, draw).reshape(-1, samples).mean(axis=1)
    return means


def weighted(name: str, problem: Problem, picked: NDArray[np.intp], found: Floats, weights: str) -> Attribution:
    """Return the map of channels weighted by their scores, or by the softmax of these."""
    if weights not in ("plain", "softmax"):
        raise OptionError(f"expected weights=plain or weights=softmax, got {weights!r}")
    if weights == "softmax" and len(found):
        odds = np.exp(found - found.max())
        found = odds / odds.sum()
    return from_map(name, np.tensordot(found, problem.maps[picked].astype(np.float64), axes=1))
