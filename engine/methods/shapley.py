"""Shapley values of units (Castro et al., 2009): what a unit adds, averaged over random orders in which units come."""

import numpy as np

from ..answer import Attribution
from ..errors import OptionError
from ..problem import Problem
from ..types import Floats
from .dd_cam import grid_map
from .registry import Facts, method


@method("shapley", Facts("search", "the head", "10 (n + 1) probes", "Castro et al., C&OR 36(5), 2009"))
def shapley(problem: Problem, *, samples: int = 10, seed: int = 0) -> Attribution:
    """Average what a unit adds to the target's logit when units come in random order: mean_o (Y(S_ou + u) - Y(S_ou)).

    S_ou are the units before u in order o. In every order the values sum to Y(all) - Y(none), so they do here. Orders
    come in pairs, one the reverse of the other, which needs fewer for the same error. The map is that of the units:
    channels weigh their features, cells and tokens lie on the grid.

    Cost: one forward, and `samples` (n + 1) probes; none where units add up.
    Source: Castro et al., Computers & Operations Research 36(5), 2009.
    """
    if samples < 1:
        raise OptionError(f"expected samples of 1 or more, got {samples}")
    table = problem.table
    if table is not None:
        values = table.strengths * table.effects[:, problem.target]
    else:
        values = np.mean([added_in(problem, order) for order in orders(problem.units, samples, seed)], axis=0)
    scores = values.astype(np.float32)
    return Attribution("shapley", scores, grid_map(problem, scores), "Shapley value of the logit")


def orders(units: int, samples: int, seed: int) -> Floats:
    """Return random orders of the units, each followed by its reverse."""
    random = np.random.default_rng(seed)
    pairs = [random.permutation(units) for _ in range((samples + 1) // 2)]
    return np.array([order for pair in pairs for order in (pair, pair[::-1])][:samples])


def added_in(problem: Problem, order: Floats) -> Floats:
    """Return what each unit adds, `[n]`, when they come in this order."""
    came = np.empty(problem.units, np.intp)
    came[order] = np.arange(problem.units)
    kept = np.arange(problem.units + 1)[:, None] > came  # row k: the first k units of the order
    logits = problem.score(kept.astype(np.float32))[:, problem.target].astype(np.float64)
    return np.diff(logits)[came]
