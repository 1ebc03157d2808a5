"""HSIC attribution (Novello et al., 2022): how much the score depends on whether a cell of the picture is shown."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform

from ..answer import Attribution
from ..errors import OptionError
from ..perturb import grid_labels, grid_of, perturbed, pieces
from ..problem import Problem
from ..saliency import enlarge
from ..types import Floats
from .registry import Facts, from_map, method


@method("hsic", Facts("perturbation", "the whole model", "500 forwards", "arXiv:2206.06219"))
def hsic(
    problem: Problem, *, samples: int = 500, cells: int = 8, baseline: str = "zero", score: str = "prob", seed: int = 0
) -> Attribution:
    """Estimate the HSIC of each cell of a grid and the score: HSIC_i = tr(K_i H L H) / N^2, H centring.

    K_i = 3/2 - (m - m')^2 of the binary masks m of cell i, from a Latin hypercube, so that the trace is 2 m~' L m~ with
    m~ = m less its mean; L = exp(-(f - f')^2 / 2 s^2) of the scores. s is the median distance of scores; xplique, whose
    `samples` and `cells` these are, takes the median score itself. No sign. The map is the grid, enlarged
    bilinearly.

    Cost: `samples` forwards.
    Source: arXiv:2206.06219.
    """
    from scipy.stats import qmc  # noqa: PLC0415  (slow to import, and only this method needs it)

    if samples < 2 or cells < 1:
        raise OptionError(f"expected samples of 2 and cells of 1 or more, got {samples} and {cells}")
    view = perturbed(problem, baseline=baseline, score=score)
    rows, columns = grid_of(view.size, cells)
    shown = qmc.LatinHypercube(rows * columns, seed=seed).random(samples) > 0.5
    found = view.scores(shown, pieces(grid_labels(view.size, cells)))
    return from_map("hsic", enlarge(dependence(shown, found).reshape(1, rows, columns), view.size)[0])


def dependence(shown: NDArray[np.bool_], found: Floats) -> Floats:
    """Return the HSIC `[d]` of binary masks `[N, d]` and scores `[N]`; 0 where the scores do not vary."""
    distances = pdist(found[:, None])
    width = float(np.median(distances)) or float(distances.max())
    if not width > 0:
        return np.zeros(shown.shape[1])
    alike = np.exp(-((squareform(distances) / width) ** 2) / 2)
    centred = shown - shown.mean(axis=0)
    return np.asarray(2 * ((alike @ centred) * centred).sum(axis=0) / len(shown) ** 2)
