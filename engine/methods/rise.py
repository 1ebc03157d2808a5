"""RISE (Petsiuk et al., 2018): the mean score of random masks that show a pixel."""

import math

import numpy as np
from numpy.typing import NDArray

from ..answer import Attribution
from ..errors import OptionError
from ..perturb import Draw, perturbed
from ..problem import Problem
from ..saliency import enlarge
from ..types import Floats
from .registry import Facts, from_least, method


@method("rise", Facts("perturbation", "the whole model", "4000 forwards", "arXiv:1806.07421"))
def rise(
    problem: Problem,
    *,
    samples: int = 4000,
    cells: int = 7,
    keep: float = 0.5,
    baseline: str = "zero",
    score: str = "prob",
    seed: int = 0,
) -> Attribution:
    """Average random masks, weighted by the score of what they show: S = sum_i f(x * M_i) M_i / (N p).

    M_i is a grid of `cells` x `cells` bits that are 1 with probability p = `keep`, enlarged bilinearly to one cell more
    than the picture and cut at a random place. The paper took 4000 masks for VGG16 and 8000 for ResNet50; its code has
    other numbers in each notebook. The map is nowhere 0 and is drawn from its least value up, as the paper's are.

    Cost: `samples` forwards.
    Source: arXiv:1806.07421.
    """
    if samples < 1 or cells < 1 or not 0 < keep <= 1:
        raise OptionError(f"expected samples and cells of 1 or more and keep in 0..1, got {samples}, {cells}, {keep}")
    view = perturbed(problem, baseline=baseline, score=score)
    masks = random_grids(samples, cells, keep, seed)
    total = np.zeros(view.size)
    for shown, found in view.each(masks, shifted(view.size, cells)):
        total += np.einsum("b,bhw->hw", found.astype(np.float32), shown)  # no BLAS: its threads took 16 ms a picture
    return from_least("rise", total / (samples * keep))


def random_grids(samples: int, cells: int, keep: float, seed: int) -> NDArray[np.float32]:
    """Return `[N, cells * cells + 2]`: the bits of a grid, and where it is cut, as shares 0..1 of a cell."""
    random = np.random.default_rng(seed)
    bits = random.random((samples, cells * cells), np.float32) < keep
    return np.concatenate([bits, random.random((samples, 2), np.float32)], axis=1, dtype=np.float32)


def shifted(size: tuple[int, int], cells: int) -> Draw:
    """Return what draws masks of bits and shifts."""
    sides = [math.ceil(length / cells) for length in size]
    down, across = (
        enlarge(np.eye(cells)[None], (side * (cells + 1), cells))[0] for side in sides
    )  # each pixel's shares of the cells

    def draw(rows: NDArray[np.float32]) -> Floats:
        grids = rows[:, :-2].reshape(-1, cells, cells)
        top, left = (np.floor(rows[:, i - 2] * sides[i]).astype(np.intp) for i in range(2))
        above = down[top[:, None] + np.arange(size[0])]
        beside = across[left[:, None] + np.arange(size[1])]
        masks: Floats = np.matmul(above @ grids, beside.swapaxes(1, 2))
        return masks

    return draw
