"""DeepLIFT (Shrikumar et al., 2017): what the picture differs from a baseline, carried to the logit."""

import numpy as np

from ..answer import Attribution
from ..autodiff.formula import Formula
from ..autodiff.rescale import RESCALE, change
from ..graph.build import Var
from ..problem import Problem
from .integrated_gradients import complete
from .registry import Facts, Layer, from_map, method


def contributions(layer: Layer) -> Var:
    """Multiply what differs by its multiplier, summed over the channels."""
    return (layer.gradient * change(layer.features)).sum(1, keep=False)


FORMULA = Formula("deeplift", contributions, "input", rules=RESCALE, together=2)


@method(
    "deeplift", Facts("propagation", "gradient of the input", "3 forwards, 2 backwards in one run", "arXiv:1704.02685")
)
def deeplift(problem: Problem, *, baseline: str = "zero") -> Attribution:
    """Carry differences from a baseline x' through the network: sum_k m_k (x_k - x'_k), m = dy / dx at every curve.

    The rescale rule: slopes between picture and baseline replace gradients; where a change is below 1e-6, the gradient
    stays. The largest of a window: the cross-maximum rule. Products (gates, attention), softmax and layer norm are
    taken apart into products of two changing factors, each of which gets its change times the middle of the other. So
    the map sums to the change of the logit, and what is missing is reported: rarer operators have only their gradient.
    The `baseline` is `zero` (0 in the model's input: the mean colour where the preprocessing takes it off), `black`, or
    `blur`. Refused where the model fixes its batch to 1 and it cannot be freed.

    Cost: a forward and a backward pass of picture and baseline together, and a forward of the baseline.
    Source: arXiv:1704.02685.
    """
    start = problem.baseline(baseline)
    signed = problem.run(FORMULA, np.concatenate([problem.picture, start]))[0]
    wanted = float(problem.logits[problem.target] - problem.score_images(start)[0, problem.target])
    gradients = "operators of the model that have no rule of DeepLIFT got their gradient"
    return complete(from_map("deeplift", signed), baseline, wanted, gradients)
