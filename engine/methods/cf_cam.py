"""CF-CAM (2025): strong channels by themselves, the others in clusters with a filtered gradient."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from ..answer import Attribution
from ..errors import OptionError
from ..problem import Problem
from .arrays import features_and_gradients
from .registry import Facts, from_map, method

Array = NDArray[np.float64]
STRONG, NEAR = 75, 25
"""Percentiles: of the norms, from which on a channel stands by itself; of the distances, the radius of a cluster."""
SPATIAL, RANGE = 5.0, 0.1
"""Deviations of the filter, in cells and in units of the gradient."""


@method(
    "cf-cam",
    Facts("cam", "gradient of the head", "1 forward, 1 backward of the head, 1 clustering", "arXiv:2504.00060", "no"),
)
def cf_cam(problem: Problem, *, weighting: str = "softmax") -> Attribution:
    """Weight strong channels by their mean gradient, clusters of others by a filtered one, noise not at all.

    Strong are the quarter of the channels with the largest norms; DBSCAN clusters the rest by distance (radius: the
    25th percentile of the distances, at least 5 % of the rest around a core). A cluster's weight is the mean of its
    mean gradient under the authors' filter, a Gaussian of 5 cells damped where the gradient leaves its mean by 0.1.
    The map is ReLU(sum_k W_k F_k); `weighting` makes W of the weights w: softmax, as published; linear, W = w; or
    softmax_z, the softmax of standardised w. Gradients of 1e-3 make the published softmax almost uniform, so that the
    map is nearly the mean of the channels, whatever the class; linear and softmax_z depend on the class.
    Cost: one forward and one backward pass of the head, and a clustering of the channels.
    Source: arXiv:2504.00060 and the authors' code, which the formulas follow.
    """
    if weighting not in WEIGHTINGS:
        raise OptionError(f"expected a weighting out of {', '.join(WEIGHTINGS)}, got {weighting!r}")
    features, gradients = (found[0].astype(np.float64) for found in features_and_gradients(problem, "cf-cam"))
    kept, weights = channel_weights(features, gradients)
    cam = np.tensordot(WEIGHTINGS[weighting](weights), features[kept], 1)
    return from_map("cf-cam", np.maximum(cam, 0), f"cf-cam map, {weighting} weights")


def channel_weights(features: Array, gradients: Array) -> tuple[NDArray[np.intp], Array]:
    """Return which channels are kept, and their weights before the weighting."""
    rows = features.reshape(len(features), -1)
    norms = np.linalg.norm(rows, axis=1)
    strong = norms >= np.percentile(norms, STRONG)
    weights = gradients.mean((1, 2))
    labels = clusters(rows[~strong])
    others = np.flatnonzero(~strong)
    for label in range(labels.max(initial=-1) + 1):
        members = others[labels == label]
        weights[members] = filtered(gradients[members].mean(0)).mean()
    kept = np.sort(np.concatenate([np.flatnonzero(strong), others[labels >= 0]]))
    return kept, weights[kept]


def clusters(rows: Array) -> NDArray[np.intp]:
    """Return the cluster of each row `[n]`, -1 where it is noise."""
    from sklearn.cluster import DBSCAN  # noqa: PLC0415  (slow to import, and only this method needs it)

    if len(rows) < 2:
        return np.full(len(rows), -1)
    radius = max(float(np.percentile(pdist(rows), NEAR)), 1e-5)
    found = DBSCAN(eps=radius, min_samples=max(2, int(0.05 * len(rows)))).fit(rows)
    return np.asarray(found.labels_)


def filtered(gradient: Array) -> Array:
    """Correlate a gradient with a kernel of its own size, made of a Gaussian and of its own values; zeros outside."""
    from scipy.signal import correlate2d  # noqa: PLC0415  (slow to import, and only this method needs it)

    height, width = gradient.shape
    rows, columns = np.arange(height)[:, None] - height / 2, np.arange(width) - width / 2
    kernel = np.exp(-(rows**2 + columns**2) / (2 * SPATIAL**2))
    kernel *= np.exp(-((gradient - gradient.mean()) ** 2) / (2 * RANGE**2))
    kernel /= kernel.sum() + 1e-6
    sides = [((size - 1) // 2, size // 2) for size in gradient.shape]
    return np.asarray(correlate2d(np.pad(gradient, sides), kernel, mode="valid"))


def softmax(weights: Array) -> Array:
    odds = np.exp(weights - weights.max())
    return np.asarray(odds / odds.sum())


def standardised(weights: Array) -> Array:
    spread = weights.std()
    return np.asarray((weights - weights.mean()) / (spread if spread > 0 else 1))


WEIGHTINGS: dict[str, Callable[[Array], Array]] = {
    "softmax": softmax,
    "linear": lambda w: w,
    "softmax_z": lambda w: softmax(standardised(w)),
}
