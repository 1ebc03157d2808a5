"""D-RISE (Petsiuk et al., 2021): random masks weighted by how like the chosen box what is found behind them is."""

import numpy as np

from ..answer import Attribution
from ..errors import OptionError
from ..perturb import perturbed
from ..problem import Problem
from ..runtime.batching import batches
from .registry import Facts, from_least, method
from .rise import random_grids, shifted


@method("d-rise", Facts("perturbation", "the whole model", "5000 forwards", "arXiv:2006.03204"))
def d_rise(
    problem: Problem,
    *,
    samples: int = 5000,
    cells: int = 16,
    keep: float = 0.5,
    baseline: str = "zero",
    seed: int = 0,
) -> Attribution:
    """Average random masks, weighted by similarity to a chosen box: S = sum_i w_i M_i / (N p).

    w_i = max_j IoU(b, b_j) * cos(p, p_j) * O_j over all boxes j found behind mask M_i, where p are the scores of the
    classes and O_j is the objectness. Masks are those of rise. Where the model gives no objectness, O_j is 1 if a class
    is the background and else the best class's score; where it lists labels only, cos is whether the label is the same.
    Boxes are compared before suppression where the model gives those. `seed` draws the masks. OptionError for a model
    without a chosen box.

    Cost: `samples` forwards.
    Source: arXiv:2006.03204.
    """
    if samples < 1 or cells < 1 or not 0 < keep <= 1:
        raise OptionError(f"expected samples and cells of 1 or more and keep in 0..1, got {samples}, {cells}, {keep}")
    view = perturbed(problem, baseline=baseline)
    draw, total = shifted(view.size, cells), np.zeros(view.size)
    for rows in batches(random_grids(samples, cells, keep, seed), problem.image_batch):
        shown = draw(rows)
        alike = problem.similarity(view.mixed(shown))
        total += np.einsum("b,bhw->hw", alike.astype(np.float32), shown)
    return from_least("d-rise", total / (samples * keep))
