"""KernelSHAP (Lundberg and Lee, 2017): Shapley values of the cells of a grid, as a weighted regression."""

from itertools import combinations
from math import comb

import numpy as np

from ..answer import Attribution
from ..errors import OptionError
from ..perturb import grid_labels, perturbed, pieces
from ..problem import Problem
from ..types import Floats
from .registry import Facts, from_map, method


@method("kernel-shap", Facts("perturbation", "the whole model", "2048 + 2 M + 2 forwards", "arXiv:1705.07874"))
def kernel_shap(
    problem: Problem, *, samples: int = 0, cells: int = 7, baseline: str = "zero", score: str = "prob", seed: int = 0
) -> Attribution:
    """Fit what cells add, with exact efficiency: min sum_S w_S (f(S) - f(0) - sum_S phi)^2, sum phi = f(x) - f(0).

    w_S = (M - 1) / (C(M, s) s (M - s)) for s of the M = `cells`^2 cells shown. Smallest and largest coalitions are
    enumerated while `samples` last (0: 2048 + 2 M, the shap package's own), the rest is drawn with their
    complements; no regularisation, where shap keeps ten features. A pixel is worth phi of its cell.

    Cost: `samples` + 2 forwards.
    Source: arXiv:1705.07874.
    """
    if cells < 1 or samples < 0:
        raise OptionError(f"expected cells of 1 and samples of 0 or more, got {cells} and {samples}")
    view = perturbed(problem, baseline=baseline, score=score)
    labels = grid_labels(view.size, cells)
    count = int(labels.max()) + 1
    shown, weights = coalitions(count, samples or 2048 + 2 * count, seed)
    ends = np.array([[0] * count, [1] * count], bool)
    found = view.scores(np.concatenate([ends, shown]), pieces(labels))
    return from_map("kernel-shap", shapley_fit(shown, weights, found[2:], found[:2])[labels])


def coalitions(count: int, samples: int, seed: int) -> tuple[Floats, Floats]:
    """Return subsets `[n, count]`, neither empty nor full, and their weights; all of them where `samples` suffice.

    Sizes s and count - s are taken together, from 1 on: all their subsets where these are no more than what is
    left of `samples`; else pairs of a random subset and its complement, sizes by their share of the kernel's
    weight, which these share equally.
    """
    random, found, weights, left = np.random.default_rng(seed), [], [], samples
    sizes = list(range(1, count // 2 + 1))
    while sizes:
        size = sizes[0]
        both = 1 if 2 * size == count else 2
        if both * comb(count, size) > left:
            break
        some = np.zeros((comb(count, size), count), bool)
        for row, chosen in zip(some, combinations(range(count), size), strict=True):
            row[list(chosen)] = True
        found.append(np.concatenate([some, ~some]) if both == 2 else some)
        weights.append(np.full(len(found[-1]), total_weight(count, size) / len(found[-1])))
        left -= len(found[-1])
        sizes = sizes[1:]
    if sizes and left > 0:
        found.append(drawn(random, count, sizes, left))
        weights.append(np.full(left, sum(total_weight(count, size) for size in sizes) / left))
    if not found:
        return np.zeros((0, count), bool), np.zeros(0)
    return np.concatenate(found), np.concatenate(weights)


def total_weight(count: int, size: int) -> float:
    """Return the kernel's weight of all subsets of a size and of their complements."""
    return (count - 1) / (size * (count - size)) * (1 if 2 * size == count else 2)


def drawn(random: np.random.Generator, count: int, sizes: list[int], samples: int) -> Floats:
    """Return random subsets of these sizes, each followed by its complement."""
    shares = np.array([total_weight(count, size) for size in sizes])
    chosen = random.choice(sizes, (samples + 1) // 2, p=shares / shares.sum())
    some = random.permuted(np.arange(count) < chosen[:, None], axis=1)
    return np.stack([some, ~some], axis=1).reshape(-1, count)[:samples]


def shapley_fit(shown: Floats, weights: Floats, found: Floats, ends: Floats) -> Floats:
    """Return phi `[M]` of the least squares; the last is eliminated by the sum, `ends` are f of nothing and of all."""
    change = ends[1] - ends[0]
    bits, scale = shown.astype(np.float64), np.sqrt(weights)
    left = (bits[:, :-1] - bits[:, -1:]) * scale[:, None]
    right = (found - ends[0] - bits[:, -1] * change) * scale
    values = np.linalg.lstsq(left, right, rcond=None)[0]
    return np.append(values, change - values.sum())
