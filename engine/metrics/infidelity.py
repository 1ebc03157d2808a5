"""Infidelity: how far a map is from telling what removing a part of the picture costs."""

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..types import Floats
from .case import Case, Map, Substrate, needed, require_positive
from .registry import MetricFacts, metric

Squares = NDArray[np.intp]
"""Top, left and side of squares, `[N, 3]`."""
SIDES = (1 / 8, 1 / 2)
"""Sides of the squares, as shares of the picture's shorter side."""


@metric("infidelity", MetricFacts("faithfulness", "lower", "51 forwards", "arXiv:1901.09392", ("attempt",)))
def infidelity(
    saliency: Map,  # noqa: ARG001  (every metric takes a map; this one needs its signs)
    case: Case,
    *,
    samples: int = 50,
    scores: str = "contribution",
    scale: str = "best",
    substrate: Substrate = "mean",
    noise: float = 0.0,
    seed: int = 0,
) -> float:
    """Return the mean of (b I.phi - (p(x) - p(x without I)))^2 over random squares I, phi the signed scores.

    The side of a square is uniform between 1/8 and 1/2 of the picture's, so is its place; it becomes the
    substrate, with Gaussian noise of `noise` on it (in units of the model input). p is the target's probability.
    `scores=contribution`: I.phi is the sum of phi in the square, since the scores of most methods say what a pixel
    adds (captum divides by x - baseline for these). `scores=gradient`: it is that of (x - x') phi, as Quantus has it
    always and captum for gradients. `scale=best`: b is the best factor that is not negative, because the scores of
    most methods have no unit (captum's `normalize`, which allows negative ones and so forgives a map with the wrong
    sign); `scale=none`: b = 1, the default of both. phi is summed over channels, and so is x - x'.
    captum leaves the perturbation to its user and draws 10; Quantus blackens all squares of 4 pixels one after the
    other without restoring any: 3136 forwards at 224 x 224. Cost: samples + 1 forwards. Raises OptionError.
    Source: Yeh et al., NeurIPS 2019.
    """
    require_positive(samples=samples)
    random = np.random.default_rng(seed)
    squares = draw_squares(random, samples, case.size)
    phi = needed(case.attempt, "`attempt`, the signed scores of the method").signed.astype(np.float64)
    told: list[Floats] = []

    def without(some: Squares) -> Floats:
        masks = inside(some, case.size)
        changed = hide(case, masks, substrate, noise, random)
        told.append(products(masks, changed, phi, case, scores))
        return changed

    kept = case.score_each(squares, without)[:, case.target]
    drops = float(case.confidence(case.inputs)[0]) - kept.astype(np.float64)
    return misfit(np.concatenate(told), drops, scale)


def draw_squares(random: np.random.Generator, count: int, size: tuple[int, int]) -> Squares:
    """Draw squares that lie in the picture."""
    least, most = (max(1, round(share * min(size))) for share in SIDES)
    sides = random.integers(least, most, count, endpoint=True)
    corners = [random.integers(0, length - sides, endpoint=True) for length in size]
    return np.stack([*corners, sides], axis=1)


def inside(squares: Squares, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return `[B, H, W]`, true in the square."""
    top, left, side = (column[:, None] for column in squares.T)
    rows, columns = np.arange(size[0]), np.arange(size[1])
    across = ((columns >= left) & (columns < left + side))[:, None]
    down = ((rows >= top) & (rows < top + side))[:, :, None]
    masks: NDArray[np.bool_] = down & across
    return masks


def hide(
    case: Case, masks: NDArray[np.bool_], substrate: Substrate, noise: float, random: np.random.Generator
) -> Floats:
    changed = case.show(~masks, substrate)
    if noise:
        where = masks[:, None] if case.layout == "NCHW" else masks[..., None]
        changed = changed + where * noise * random.standard_normal(changed.shape, dtype=np.float32)
    return changed


def products(masks: NDArray[np.bool_], changed: Floats, phi: Floats, case: Case, scores: str) -> Floats:
    """Return I.phi, `[B]`."""
    if scores not in ("contribution", "gradient"):
        raise OptionError(f"expected scores=contribution or scores=gradient, got {scores!r}")
    if scores == "contribution":
        return np.asarray((masks * phi).sum(axis=(1, 2)), np.float64)
    lost = (case.inputs.astype(np.float64) - changed).sum(axis=1 if case.layout == "NCHW" else 3)
    return np.asarray((lost * phi).sum(axis=(1, 2)), np.float64)


def misfit(told: Floats, drops: Floats, scale: str) -> float:
    """Return the mean square of what was told less what was lost, after the scaling that is asked for."""
    if scale not in ("best", "none"):
        raise OptionError(f"expected scale=best or scale=none, got {scale!r}")
    power = float(told @ told)
    factor = max(0.0, float(told @ drops) / power) if scale == "best" and power > 0 else 1.0
    return float(np.mean((factor * told - drops) ** 2))
