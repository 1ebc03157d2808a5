"""Pictures and features of which masks show parts: mixed, scored and forgotten a batch at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import OptionError
from .problem import Problem
from .runtime.batching import batches
from .runtime.blas import one_blas_thread
from .saliency import enlarge
from .search.predicate import probabilities
from .types import Floats, Layout, Split

Rows = NDArray[Any]
"""What describes masks, a row each: coarse maps, subsets, places. Small, where the masks themselves are not."""
Draw = Callable[[Rows], Floats]
"""Makes masks `[B, H, W]` of some rows: shares of the picture that are shown, the rest is the baseline's."""


@dataclass(frozen=True)
class Perturbed:
    """A picture `[1, ...]` and what hides it, and whether the target is scored by its probability or its logit.

    No more than a batch of masks and pictures is ever in memory; the scores do not depend on the batch.
    """

    problem: Problem
    picture: Floats
    hidden: Floats
    scored: str

    @property
    def layout(self) -> Layout:
        return self.problem.model.opened.picture.layout

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the model input."""
        height, width = self.picture.shape[2:] if self.layout == "NCHW" else self.picture.shape[1:3]
        return height, width

    def scores(self, rows: Rows, draw: Draw) -> Floats:
        """Return the target's score `[N]` under the masks that `draw` makes of rows `[N, ...]`. Cost: N forwards."""
        return np.concatenate([np.zeros(0), *(found for _, found in self.each(rows, draw))])

    def each(self, rows: Rows, draw: Draw) -> Iterator[tuple[Floats, Floats]]:
        """Yield masks `[B, H, W]` and scores `[B]`, batch by batch, for maps that are sums over masks."""
        for part in batches(rows, self.problem.image_batch):
            with one_blas_thread():
                masks = draw(part)
            yield masks, self.score(self.mixed(masks))

    def mixed(self, masks: Floats) -> Floats:
        """Return model inputs `[B, ...]`: hidden + mask * (picture - hidden)."""
        visible = masks[:, None] if self.layout == "NCHW" else masks[..., None]
        inputs: Floats = visible.astype(np.float32, copy=False) * (self.picture - self.hidden)
        inputs += self.hidden
        return inputs

    def score(self, inputs: Floats) -> Floats:
        """Return the target's score `[B]` of model inputs `[B, ...]`. Cost: a forward each."""
        return target_scores(self.problem, self.problem.score_images(inputs), self.scored)


def perturbed(problem: Problem, *, baseline: str = "zero", score: str = "prob") -> Perturbed:
    """Make the perturbed picture of a problem; `baseline` names what hides (`Problem.baseline`).

    Raises OptionError, PictureError where only features were kept.
    """
    require_score(score)
    hidden = problem.baseline(baseline).astype(np.float32)
    return Perturbed(problem, problem.picture.astype(np.float32), hidden, score)


def target_scores(problem: Problem, logits: Floats, score: str) -> Floats:
    """Return the target's probability or logit `[B]` in float64; a plain score is all that there is of itself."""
    plain = logits.shape[1] == 1 and problem.activation != "sigmoid"
    values = logits if require_score(score) == "logit" or plain else probabilities(logits, problem.activation)
    return np.asarray(values[:, problem.target], np.float64)


def require_score(score: str) -> str:
    if score not in ("prob", "logit"):
        raise OptionError(f"expected score=prob or score=logit, got {score!r}")
    return score


def score_features(problem: Problem, shares: Floats) -> Floats:
    """Return the logits `[B, classes]` with the maps multiplied by shares `[B, K or 1, h or 1, w or 1]`.

    Class and register tokens stay as they are. Cost: one head forward each, in batches; where the shares remove units
    of the split, `Problem.score` is much faster.
    """
    rest, real = problem.model.rest, problem.model.real(problem.raw)
    parts = [rest.score(real * as_tensor(part, problem.split)) for part in batches(shares, rest.batch)]
    return np.concatenate(parts)


def as_tensor(shares: Floats, split: Split) -> Floats:
    """Bring shares of maps to the layout of the tensor at the split."""
    if split.units != "token":
        return np.moveaxis(shares, 1, split.unit_axis)
    patches = np.setdiff1d(np.arange(split.shape[1]), split.fixed)
    full = np.ones((len(shares), *split.shape[1:]), np.float32)
    spread = np.broadcast_to(shares, (len(shares), split.shape[2], *split.grid))
    full[:, patches] = spread.reshape(*spread.shape[:2], -1).transpose(0, 2, 1)
    return full


# ----- what draws masks -----


def smooth(size: tuple[int, int]) -> Draw:
    """Return what brings coarse maps `[B, h, w]` to the size of the input, bilinearly."""
    return lambda coarse: enlarge(coarse, size)


def pieces(labels: NDArray[np.intp]) -> Draw:
    """Return what shows pieces of the picture: `labels` `[H, W]` of pixels, rows `[B, pieces]` of their shares."""
    return lambda shares: np.asarray(shares, np.float32)[:, labels]


def grid_of(size: tuple[int, int], cells: int) -> tuple[int, int]:
    """Return rows and columns of a grid of cells: `cells` each, of a series as many in a row; none without a pixel."""
    height, width = size
    return (1, min(width, cells**2)) if height == 1 else (min(height, cells), min(width, cells))


def grid_labels(size: tuple[int, int], cells: int) -> NDArray[np.intp]:
    """Cut a picture into the cells of `grid_of`, of nearly equal size, numbered row by row."""
    rows, columns = (
        np.arange(length) * count // length for length, count in zip(size, grid_of(size, cells), strict=True)
    )
    return rows[:, None] * grid_of(size, cells)[1] + columns
