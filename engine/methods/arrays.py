"""Features and gradients of a layer as arrays, for methods that decompose, cluster or average them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autodiff.formula import Formula, Where, one_logit
from ..graph.build import Var
from ..problem import Problem
from ..types import Floats
from .registry import Layer


def features_and_gradients(
    problem: Problem,
    name: str,
    inputs: NDArray[Any] | None = None,
    *,
    where: Where = "split",
    seed: Callable[[Var, Var], Var] = one_logit,
) -> tuple[Floats, Floats]:
    """Return what a formula of this name sees of the split's layer, both `[B, K, h, w]`; `inputs` as in Problem.run."""
    features, gradients = np.split(problem.run(Formula(name, both, where, seed), inputs), 2, axis=1)
    return features, gradients


def both(layer: Layer) -> Var:
    return layer.features.op.Concat(layer.features, layer.gradient, axis=1)
