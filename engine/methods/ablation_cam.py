"""Ablation-CAM (Desai and Ramaswamy, 2020): channels weighted by what the logit loses without them."""

import numpy as np

from ..answer import Attribution
from ..perturb import score_features
from ..problem import Problem
from ..types import Floats
from .nested import contributions
from .registry import Facts, from_map, method

LEAST = 1e-6
"""Logits nearer to 0 do not scale the weights further."""


@method("ablation-cam", Facts("cam", "the head", "1 forward, K head forwards", "Desai and Ramaswamy, WACV 2020"))
def ablation_cam(problem: Problem) -> Attribution:
    """Weight each channel by the drop of the logit without it: ReLU(sum_k w_k F_k), w_k = (Y - Y_k) / max(|Y|, 1e-6).

    Y_k is the logit with channel k set to 0 everywhere (class and register tokens stay). The paper divides by Y, which
    turns the map over where Y is negative; pytorch-grad-cam sets a channel to its least value less 1e7 where that is
    not 0, which this does not.

    Cost: one forward, and K head forwards; none of the latter where channels are units that add up.
    Source: Desai and Ramaswamy, WACV 2020.
    """
    drops = channel_drops(problem)
    weights = drops / max(abs(problem.logits[problem.target]), LEAST)
    return from_map("ablation-cam", np.tensordot(weights, problem.maps.astype(np.float64), axes=1))


def channel_drops(problem: Problem) -> Floats:
    """Return what the target's logit loses without each channel, `[K]`."""
    if problem.split.units == "channel":
        return contributions(problem)
    count = len(problem.maps)
    without = score_features(problem, 1 - np.eye(count, dtype=np.float32)[:, :, None, None])
    return np.asarray(problem.logits[problem.target] - without[:, problem.target], np.float64)
