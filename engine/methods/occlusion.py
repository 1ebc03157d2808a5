"""Occlusion (Zeiler and Fergus, 2014): a square slides over the picture, and the score that is lost stays behind."""

import math

import numpy as np
from numpy.typing import NDArray

from ..answer import Attribution
from ..errors import OptionError
from ..perturb import Draw, perturbed
from ..problem import Problem
from .registry import Facts, from_map, method

SHARE = 7
"""The square's side where it is left open: this part of the shorter side, 32 of 224 pixels."""


@method("occlusion", Facts("perturbation", "the whole model", "170 forwards at 224x224", "arXiv:1311.2901"))
def occlusion(
    problem: Problem, *, window: int = 0, stride: int = 0, baseline: str = "zero", score: str = "prob"
) -> Attribution:
    """Average over the windows that cover a pixel what is lost without them: M = mean_w (f(x) - f(x with w hidden)).

    `window` and `stride` are in pixels of the model input; 0 is a seventh of the shorter side (or of a series), and
    half the window (the paper gives neither). The last windows are cut off at the border, as Captum's are. The paper
    hides by grey, which `baseline=zero` is where the preprocessing takes the mean colour off; `score` is prob, as
    there, or logit.

    Cost: 1 + (ceil((H - window) / stride) + 1)(ceil((W - window) / stride) + 1) forwards.
    Source: arXiv:1311.2901.
    """
    view = perturbed(problem, baseline=baseline, score=score)
    shorter = max(view.size) if min(view.size) == 1 else min(view.size)
    side = window or max(1, shorter // SHARE)
    places = corners(view.size, side, stride or max(1, side // 2))
    before = view.score(view.picture)[0]
    lost = before - view.scores(places, without(view.size, side))
    total, count = np.zeros(view.size), np.zeros(view.size)
    for (top, left), value in zip(places, lost, strict=True):
        area = slice(top, top + side), slice(left, left + side)
        total[area] += value
        count[area] += 1
    return from_map("occlusion", total / np.maximum(count, 1))


def corners(size: tuple[int, int], side: int, stride: int) -> NDArray[np.intp]:
    """Return the upper left corners of the windows, `[n, 2]`. Raises OptionError."""
    if not (1 <= side <= max(size) and 1 <= stride <= side):
        raise OptionError(
            f"expected a window of 1 to {max(size)} pixels and a stride of 1 to the window, got {side} and {stride}"
        )
    down, across = (np.arange(max(0, math.ceil((length - side) / stride)) + 1) * stride for length in size)
    return np.stack(np.meshgrid(down, across, indexing="ij"), axis=-1).reshape(-1, 2)


def without(size: tuple[int, int], side: int) -> Draw:
    """Return what draws masks that hide a window at given corners."""

    def draw(places: NDArray[np.intp]) -> NDArray[np.float32]:
        masks = np.ones((len(places), *size), np.float32)
        for mask, (top, left) in zip(masks, places, strict=True):
            mask[top : top + side, left : left + side] = 0
        return masks

    return draw
