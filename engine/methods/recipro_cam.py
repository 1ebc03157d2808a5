"""Recipro-CAM (Byun and Lee, 2022): the score of the features of one position alone."""

import numpy as np

from ..answer import Attribution
from ..errors import OptionError
from ..perturb import require_score, score_features, target_scores
from ..problem import Problem
from ..types import Floats
from .registry import Facts, from_least, method

NEIGHBOURS = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16


@method("recipro-cam", Facts("cam", "the head", "1 forward, hw head forwards", "arXiv:2209.14074"))
def recipro_cam(problem: Problem, *, window: str = "auto", score: str = "auto") -> Attribution:
    """Score each position's features alone: M_ij = f(head(F * W_ij)), W_ij 1 at position ij and 0 elsewhere.

    `window=cell` is that; `window=gaussian` is [1 2 1; 2 4 2; 1 2 1] / 16 around the position, times the features that
    are there (for CNNs the paper's code copies those of the position instead). By default as in the papers: cell and
    prob for maps; gaussian and logit for tokens, where class and register tokens stay. The paper brings the map to
    0..1 without a ReLU: it is drawn from its least value up.

    Cost: one forward, and as many head forwards as the grid has positions.
    Source: arXiv:2209.14074; for transformers arXiv:2310.02588.
    """
    tokens = problem.split.units == "token"
    windows = windows_of(problem.maps.shape[1:], ("gaussian" if tokens else "cell") if window == "auto" else window)
    scored = require_score(("logit" if tokens else "prob") if score == "auto" else score)
    values = target_scores(problem, score_features(problem, windows[:, None]), scored)
    return from_least("recipro-cam", values.reshape(problem.maps.shape[1:]))


def windows_of(grid: tuple[int, ...], window: str) -> Floats:
    """Return the window around each position, `[hw, h, w]`, cut off at the border. Raises OptionError."""
    if window not in ("cell", "gaussian"):
        raise OptionError(f"expected window=auto, window=cell or window=gaussian, got {window!r}")
    height, width = grid
    kernel = NEIGHBOURS if window == "gaussian" else np.ones((1, 1))
    reach = len(kernel) // 2
    found = np.zeros((height * width, height + 2 * reach, width + 2 * reach), np.float32)
    for i, one in enumerate(found):
        top, left = divmod(i, width)
        one[top : top + len(kernel), left : left + len(kernel)] = kernel
    return found[:, reach : reach + height, reach : reach + width]
