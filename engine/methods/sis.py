"""SIS (Carter et al., 2019): a sufficient input subset, the patches that hold out longest and keep the confidence."""

import numpy as np
from numpy.typing import NDArray

from ..answer import Attribution
from ..errors import OptionError
from ..perturb import Draw, Perturbed, grid_labels, perturbed, pieces
from ..problem import Problem
from .registry import Facts, from_map, method


@method("sis", Facts("perturbation", "the whole model", "2144 forwards", "arXiv:1810.03805"))
def sis(
    problem: Problem, *, cells: int = 8, keep: float = 0.9, baseline: str = "zero", score: str = "prob"
) -> Attribution:
    """Remove cell after cell, each time the one without which the score is highest; the last, that keep it, suffice.

    The subset is the shortest end of that order with f(subset) >= `keep` f(x) (the paper has a fixed threshold), the
    first of the paper's several disjoint ones. In the map a cell of the subset is worth its place in the order, the
    last to go 1, and the others 0. The picture's mean colour hides, as in the paper, where the preprocessing takes it
    off.

    Cost: d (d + 1) / 2 + d forwards for d = `cells`^2 cells.
    Source: arXiv:1810.03805.
    """
    if cells < 1 or not 0 < keep <= 1:
        raise OptionError(f"expected cells of 1 or more and keep in 0..1, got {cells} and {keep}")
    view = perturbed(problem, baseline=baseline, score=score)
    labels = grid_labels(view.size, cells)
    count = int(labels.max()) + 1
    draw = pieces(labels)
    order = back_select(view, draw, count)
    ends = np.arange(count) >= np.arange(count)[:, None]  # row k: all but the first k of the order
    shown = np.zeros((count, count), bool)
    shown[:, order] = ends
    found = view.scores(shown, draw)
    first = int(np.flatnonzero(found >= keep * found[0]).max())
    values = np.zeros(count)
    values[order[first:]] = np.arange(first + 1, count + 1) / count
    return from_map("sis", values[labels], f"place in the order of removal, {count - first} cells suffice")


def back_select(view: Perturbed, draw: Draw, count: int) -> NDArray[np.intp]:
    """Return the order in which cells go: of those left the one without which the score is highest, lowest on ties."""
    kept, order = np.ones(count, bool), []
    for _ in range(count):
        left = np.flatnonzero(kept)
        without = np.repeat(kept[None], len(left), axis=0)
        without[np.arange(len(left)), left] = False
        gone = left[int(np.argmax(view.scores(without, draw)))]
        kept[gone] = False
        order.append(gone)
    return np.array(order)
