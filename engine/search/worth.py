"""What each class is worth to a predicate: how units are weighed before a search, on which no answer's truth rests."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..types import Floats
from .predicate import Predicate, probabilities

WAY = np.array([[0.25], [0.75]])
"""Points on the way from nothing to everything: 8 gave orders no better, the two ends alone worse ones."""
MOST = 16
"""Rivals that are weighed one by one; the others count as so much of the mean class."""
Reals = NDArray[np.float64]


class Worth(NamedTuple):
    """Some classes `[k]`, what one more of each of their logits is worth `[k]`, and of the mean over all classes."""

    classes: NDArray[np.intp]
    weights: Reals
    rest: float = 0.0

    def of(self, rows: Floats) -> Reals:
        """Return what rows of changes of logits `[B, C]` are worth, `[B]`."""
        return np.asarray(rows[:, self.classes] @ self.weights + self.rest * rows.mean(axis=1))


def worth(predicate: Predicate, nothing: Floats) -> Worth:
    """Weigh the classes of a predicate, given the logits `[C]` that are left when every unit is removed.

    The target counts 1, its rivals less by how near they come: the mean of their softmax at points on the straight
    line from nothing to everything. Measured on a MobileNetV2 against the best rival alone and the softmax at either
    end: subsets for confidence:0.9 had 46 units instead of 73, 61 (everything) and 47 (nothing), as means over 20
    photographs; left to the 32 best rivals alone, 55. Where one logit decides, it counts in the direction in which
    the decision lies.
    """
    kind, value = predicate.parsed
    full, target = predicate.full, predicate.target
    if kind == "multilabel":
        sides = np.where(probabilities(full, "sigmoid") > value, 1.0, -1.0)
        near = np.argsort(np.abs(full - nothing), kind="stable")[::-1][:MOST]
        return Worth(near, sides[near])
    if kind in ("threshold", "tolerance") or len(full) == 1:
        return Worth(np.array([target]), np.array([1.0 if full[target] >= nothing[target] else -1.0]))
    if kind == "confidence" and predicate.activation == "sigmoid":
        return Worth(np.array([target]), np.ones(1))
    way = nothing + WAY * (full - nothing)
    way[:, target] = -np.inf
    weights = -probabilities(way, "softmax").mean(axis=0)
    count = min(MOST, len(full) - 1)
    classes = np.append(np.argpartition(weights, count - 1)[:count], target)
    weights[target] = 1
    return Worth(classes, weights[classes], -float(weights[classes].sum()))
