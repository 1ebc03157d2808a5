"""CAM (Zhou et al., 2016): features weighted by the classifier layer's own weights."""

import numpy as np

from ..answer import Attribution
from ..errors import OptionError
from ..perturb import score_features
from ..problem import Problem
from ..types import Floats
from .registry import Facts, from_map, method

SAME = 1e-3
"""Largest relative error of the logit of a half of the cells, foretold by the map, for a head that pools."""
REFUSAL = "cam is for heads that only pool and multiply by one matrix, and this one does more; take grad-cam"


@method("cam", Facts("cam", "the head", "1 forward, 1 or K head forwards", "arXiv:1512.04150"))
def cam(problem: Problem) -> Attribution:
    """Weight each channel by its weight in the classifier layer: M = sum_k w_k F_k, where Y = b + mean_ij M_ij.

    For heads that are global average pooling and one linear layer; others are refused. No ReLU, as in the paper; the
    positive part is drawn. The weights come from what channels add to the logit, and on half of the cells the logit
    is compared with what the map foretells.

    Cost: one forward and one head forward, and K more of the head where units are not channels or their effects are
    not known from the model alone. Raises OptionError for another head.
    Source: arXiv:1512.04150.
    """
    if problem.model.head_class[0] != "additive":
        raise OptionError(f"{REFUSAL} ({problem.model.head_class[1]})")
    maps = problem.maps.astype(np.float64)
    means = maps.mean(axis=(1, 2))
    weights = np.divide(added(problem), means, out=np.zeros_like(means), where=means != 0)
    found = np.tensordot(weights, maps, axes=1)
    require_pooling(problem, found)
    return from_map("cam", found)


def added(problem: Problem) -> Floats:
    """Return what each channel adds to the target's logit, `[K]`."""
    table, target = problem.table, problem.target
    if problem.split.units == "channel" and table is not None:
        return table.strengths * table.effects[:, target]
    alone = score_features(problem, np.eye(len(problem.maps), dtype=np.float32)[:, :, None, None])
    nothing = score_features(problem, np.zeros((1, 1, 1, 1), np.float32))
    return np.asarray(alone[:, target] - nothing[:, target], np.float64)


def require_pooling(problem: Problem, found: Floats) -> None:
    """Raise where the logit of a random half of the cells is not what the map says: positions have own weights."""
    half = np.random.default_rng(0).permutation(found.size).reshape(found.shape) % 2
    shares = np.stack([half, np.zeros_like(half)])[:, None].astype(np.float32)
    some, nothing = score_features(problem, shares)[:, problem.target]
    error = abs((some - nothing) - (half * found).mean())
    if not error <= SAME * max(np.abs(found).mean(), np.finfo(np.float32).tiny):
        raise OptionError(REFUSAL)
