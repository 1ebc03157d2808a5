"""Sobol attribution (Fel et al., 2021): the share of the score's variance that a cell of the picture has a part in."""

from ..answer import Attribution
from ..errors import OptionError
from ..perturb import grid_labels, grid_of, perturbed, pieces
from ..problem import Problem
from ..saliency import enlarge
from ..total_indices import design, total_indices
from .registry import Facts, from_map, method


@method("sobol", Facts("perturbation", "the whole model", "2080 forwards", "arXiv:2111.04138"))
def sobol(
    problem: Problem, *, samples: int = 32, cells: int = 8, baseline: str = "zero", score: str = "prob", seed: int = 0
) -> Attribution:
    """Estimate total Sobol indices of a grid of shares: S_i = sum_j (f(A_j) - f(C^i_j))^2 / (2 N var f(A)) (Jansen).

    A and B are the halves of N = `samples` points of a scrambled Sobol sequence in [0, 1]^2d, d = `cells`^2; C^i is A
    with cell i of B. A cell's share is that of the picture against the baseline. N is a power of 2, 32 as in xplique.
    f(B) is not needed for total indices and not asked. Where the score does not vary the map is 0. No sign. The
    map is the grid, enlarged bilinearly.

    Cost: `samples` (d + 1) forwards.
    Source: arXiv:2111.04138.
    """
    if samples < 2 or samples & (samples - 1) or cells < 1:
        raise OptionError(f"expected cells of 1 or more and samples that are a power of 2, got {cells} and {samples}")
    view = perturbed(problem, baseline=baseline, score=score)
    rows, columns = grid_of(view.size, cells)
    points = design(samples, rows * columns, seed)
    found = view.scores(points, pieces(grid_labels(view.size, cells)))
    indices = total_indices(found[:samples], found[samples:].reshape(-1, samples))
    return from_map("sobol", enlarge(indices.reshape(1, rows, columns), view.size)[0])
