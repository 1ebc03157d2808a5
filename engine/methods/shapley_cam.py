"""ShapleyCAM (Cai, 2025): Grad-CAM with the bend of the score in its weights."""

import numpy as np

from ..answer import Attribution
from ..autodiff.formula import one_logit
from ..errors import OptionError
from ..graph.build import Var
from ..problem import Problem
from .arrays import features_and_gradients
from .registry import Facts, from_map, method

STEP = 2e-4
"""Relative step of the differences: float32 has seven digits, and a MobileNetV3 head bends within 1e-3."""


def rest(scores: Var, target: Var) -> Var:
    """Differentiate z_t + log softmax_t(z): two one-hot vectors less the probabilities."""
    return target + target - scores.op.Softmax(scores, axis=1)


SEEDS = {"rest": rest, "logit": one_logit}


@method(
    "shapley-cam",
    Facts("cam", "gradient of the head", "1 forward, 1 backward of the head, on 3 inputs", "arXiv:2501.06261"),
)
def shapley_cam(problem: Problem, *, score: str = "rest") -> Attribution:
    """Weight each channel by its mean gradient less half the Hessian's product: w_k = mean_ij (g - H F / 2)_k.

    The map is ReLU(sum_k w_k F_k). `score` is what is differentiated: rest, the paper's z_t + log softmax_t, or logit.
    H F is how the gradient changes from F to 1.0002 F or to 0.9998 F, whichever changes it less: where an activation
    bends between the two, the other side still shows the second derivative.
    Cost: one forward and one backward pass of the head for three inputs, in one batch.
    Source: arXiv:2501.06261.
    """
    if score not in SEEDS:
        raise OptionError(f"expected a score out of {', '.join(SEEDS)}, got {score!r}")
    features = problem.raw.astype(np.float32)
    steps = np.concatenate([features, features * (1 + STEP), features * (1 - STEP)])
    f, (g, more, less) = features_and_gradients(problem, f"shapley-cam:score={score}", steps, seed=SEEDS[score])
    after, before = (more - g) / STEP, (g - less) / STEP
    bend = np.where(np.abs(after) < np.abs(before), after, before)
    weights = (g - bend / 2).mean((1, 2))
    return from_map("shapley-cam", np.maximum(0, np.tensordot(weights, f[0], 1)))
