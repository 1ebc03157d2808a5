"""Nested answers: a unit is worth the share of confidence levels at which it is needed."""

import time

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ..answer import Attribution, Cost
from ..find import find
from ..problem import Problem
from ..runtime.batching import batches
from ..types import Floats
from .dd_cam import grid_map
from .registry import Facts, method

LEVELS = (0.25, 0.5, 0.75, 0.9, 0.97)
"""Shares of the probability to be kept; docs/study.md compares others."""
WIDTH = 0.7
"""Standard deviation of the smoothing, in cells of the grid."""
POWERS, HALVINGS = (0.1, 10.0), 30
"""Range and steps of the search for the power that gives a map its size."""


@method("nested", Facts("search", "the head", "a search for each of five levels", "ours; docs/study.md"))
def nested(problem: Problem) -> Attribution:
    """Grade the units by 1-minimal sufficient subsets S_T for `confidence:T` at every level T, and by contribution.

    s_u = the share of levels T with u in S_T; c_u = max(0, z(U) - z(U without u)) of the target's logit z; both
    relative to their maximum. The score is (s'_u c_u)^q, where s' is s smoothed over the grid (cells, tokens and
    patches; a channel has no neighbours), and q is such that the scores have the mean of c: as large as the map of a
    linear head, and better placed. The predicate of the problem is not asked, its target is. Best on cells.
    Raises PictureError where not even all units keep a level. Cost: one backbone forward, n probes for c where units
    interact, and a search for every level. Source: ours; compared with linear-head maps in docs/study.md.
    """
    started = time.perf_counter()
    adds = relative(contributions(problem))
    found = [find(level) for level in at_levels(problem)]
    shares = np.zeros(problem.units)
    for answer in found:
        shares[list(answer.subset)] += 1 / len(LEVELS)
    scores = as_large(relative(over_grid(problem, shares) * adds), adds)
    seconds = time.perf_counter() - started
    probes = sum(answer.probes for answer in found)
    return Attribution(
        method="nested",
        scores=scores.astype(np.float32),
        grid_map=grid_map(problem, scores.astype(np.float32)),
        weighting="share of confidence levels that need the unit, and its contribution",
        search=found[0].search,
        cost=Cost(probes, sum(answer.batches for answer in found), problem.canonical_runs, seconds, seconds, 0.0),
    )


def at_levels(problem: Problem) -> list[Problem]:
    """Pose the problem at every level; the units are ordered once, since levels weigh them alike."""
    levels = [problem.under(f"confidence:{level:g}") for level in LEVELS]
    for level in levels[1:]:
        level.order = levels[0].order
    return levels


def contributions(problem: Problem) -> Floats:
    """Return what each unit adds to the target's logit, `[n]`, where all others are kept."""
    table, target = problem.table, problem.target
    if table is not None:
        return table.strengths * table.effects[:, target]
    single = 1 - np.eye(problem.units, dtype=np.float32)
    without = [problem.score(part)[:, target] for part in batches(single, problem.batch)]
    return np.asarray(problem.logits[target] - np.concatenate(without))


def relative(values: Floats) -> NDArray[np.float64]:
    """Return the positive values, divided by the largest."""
    positive = np.maximum(values, 0).astype(np.float64)
    return positive / max(float(positive.max()), np.finfo(np.float64).tiny)


def as_large(values: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values in 0..1 to the power, out of POWERS, at which their mean comes nearest to that of `other`."""
    low, high = POWERS
    for _ in range(HALVINGS):
        power = np.sqrt(low * high)
        low, high = (power, high) if (values**power).mean() > other.mean() else (low, power)
    return np.asarray(values ** np.sqrt(low * high))


def over_grid(problem: Problem, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smooth values of the units over the grid; those of channels stay."""
    if problem.split.units == "channel":
        return shares
    return gaussian_filter(shares.reshape(problem.split.grid), WIDTH, mode="nearest").ravel()
