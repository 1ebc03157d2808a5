"""Layer-wise relevance propagation (Bach et al., 2015): the logit handed back, layer by layer, by contribution."""

from dataclasses import replace
from functools import partial

import numpy as np

from ..answer import Attribution
from ..autodiff.formula import Formula
from ..autodiff.registry import Rules
from ..autodiff.relevance import alpha_beta, epsilon, flat, gamma, relevance, z_plus
from ..errors import OptionError
from ..graph.build import Var
from ..problem import Problem
from .registry import Facts, Layer, from_map, method

DEFAULT, WEIGHT = "epsilon-plus-flat", 0.25
LITTLE = 0.1
"""Share of the logit below which what is left of it is warned of: of a MobileNetV2's, biases leave 1e-4."""


def over_pixels(layer: Layer) -> Var:
    """Sum relevance over the channels."""
    return layer.gradient.sum(1, keep=False)


def the_logit(scores: Var, target: Var) -> Var:
    """Start with the target's logit as its own relevance."""
    return scores * target


def rules_of(rule: str, weight: float) -> Rules:
    """Return the rules of a composite, named as zennit names them."""
    match rule:
        case "epsilon":
            return relevance(epsilon)
        case "epsilon-plus":
            return relevance(z_plus)
        case "epsilon-plus-flat":
            return relevance(partial(flat, behind=z_plus))
        case "epsilon-gamma":
            return relevance(partial(gamma, by=weight))
        case "epsilon-alpha2-beta1":
            return relevance(alpha_beta)
        case "z-plus":
            return relevance(z_plus, z_plus)
        case _:
            known = "epsilon, epsilon-plus, epsilon-plus-flat, epsilon-gamma, epsilon-alpha2-beta1 or z-plus"
            raise OptionError(f"expected the rule {known}, got {rule!r}")


def formula_of(rule: str = DEFAULT, gamma: float = WEIGHT) -> Formula:
    """Return the formula of a composite; its name tells it from the others."""
    return Formula(f"lrp:rule={rule}:gamma={gamma}", over_pixels, "input", the_logit, rules_of(rule, gamma))


@method(
    "lrp",
    Facts(
        "propagation", "gradient of the input", "1 forward, 1 backward; each convolution 5 times", "arXiv:1512.02479"
    ),
    formula_of,
)
def lrp(problem: Problem, *, rule: str = DEFAULT, gamma: float = WEIGHT) -> Attribution:
    """Hand the logit back by contribution: R_i = sum_j x_i w_ij R_j / z_j, and R_c = Y at the start; sum_k R_k,ij.

    `rule` names what layers do, as zennit defines it. `epsilon`: as above, with the bias in z, and 1e-6 of z's sign
    added. `epsilon-plus`: convolutions share by what raises a result alone (positive inputs with positive weights,
    negative with negative), dense layers by epsilon. `epsilon-plus-flat`: likewise, and the first layer shares evenly
    among all that it sees, which is smoother and says nothing of single pixels. `z-plus`: dense layers as convolutions.
    `epsilon-gamma`: convolutions weigh what raises a positive result `gamma` times more. `epsilon-alpha2-beta1`: twice
    what raises less what lowers. Sums and averages share by contribution, activations and norms pass relevance on, the
    largest of a window takes all. Of a product the factor that has every element gets all (the other is a gate), two
    such get half each. Biases keep a share; without them the map sums to the logit, except for alpha2-beta1, and for
    what only raises (plus) behind activations that let negative numbers through. Attention is refused.

    Cost: one forward and one backward pass, in which a convolution runs twice each way (epsilon: once).
    Source: arXiv:1512.02479, arXiv:1910.09840.
    """
    signed = problem.run(formula_of(rule, gamma))[0]
    total, logit = float(signed.sum(dtype=np.float64)), float(problem.logits[problem.target])
    said = f"by {rule} sums to {total:.3g} of the logit's {logit:.4g}"
    lost = f"the map of lrp {said}: biases and cancelling sums took the rest, so trust it less"
    found = from_map("lrp", signed, f"lrp map, which {said}")
    return replace(found, warnings=(lost,) if abs(total) < LITTLE * abs(logit) else ())
