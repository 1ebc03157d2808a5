"""Does a gradient foretell how a value changes? Differences along directions tell, as far as float32 lets them."""

from collections.abc import Callable, Sequence

import numpy as np

from .errors import CheckError
from .types import Floats

STEPS = (1e-3, 3e-4, 1e-4)
"""Lengths of the differences, relative to what is changed. Networks of ReLUs bend within longer ones (at 1e-2 the
slopes of a MobileNetV2 were off by a third), and in shorter ones rounding is all there is."""
SHORTER = (3e-5, 1e-5)
"""Tried where the others disagree: an EfficientNet with random weights, settled on noise, bends within 1e-4 along its
gradient, where the slope was off by a factor of 4, and by 2 % within 1e-5."""
ALONG, ACROSS = 0.05, 0.25
"""Largest relative error along the signs of the gradient, where slopes are steep, and in random directions, where they
are small and noisy. Measured on the real models at hand: at most 0.03 and 0.1; a gradient that lacks a branch is off by
the branch's share."""
TINY = 1e-30
"""What an error is divided by where the slope is 0."""
REPORT = "please report this model"
DIRECTIONS = 3
"""Random directions, of which the median counts."""

Pair = Callable[[Floats], tuple[float, Floats | float]]
"""Displacement -> by how much the value changes from minus to plus it, and by how much each gradient says it does."""


def require_slopes(pair: Pair, gradient: Floats, scale: float, what: str) -> float:
    """Compare a gradient with differences along its signs and across; return the largest error, or raise CheckError.

    `scale` is the size of what is displaced. Cost: two evaluations for each of the steps and 1 + DIRECTIONS directions.
    """
    length, *across = random_moves(gradient.shape, scale)
    along = least_error(pair, [np.where(gradient == 0, length, np.abs(length) * np.sign(gradient))], ALONG)
    if not along <= ALONG:
        raise CheckError(f"{what} is off by {along:.2g} of the slope along it, expected at most {ALONG}; {REPORT}")
    require_across(pair, across, what)
    return along


def require_across(pair: Pair, moves: Sequence[Floats], what: str) -> None:
    """Compare a gradient with differences along random moves, of which the median counts, or raise CheckError."""
    middle = least_error(pair, moves, ACROSS)
    if not middle <= ACROSS:
        raise CheckError(f"{what} is off by {middle:.2g} of slopes across it, expected at most {ACROSS}; {REPORT}")


def random_moves(shape: tuple[int, ...], scale: float) -> list[Floats]:
    random = np.random.default_rng(0)
    return [random.normal(0, scale, shape) for _ in range(1 + DIRECTIONS)]


def least_error(pair: Pair, moves: Sequence[Floats], allowed: float) -> float:
    """Return the median error over moves, of the worst gradient, by STEPS, or shorter ones too where these disagree."""
    errors: Floats = np.array(np.inf)
    for steps in (STEPS, SHORTER):
        errors = np.minimum(errors, [slope_error(pair, move, steps) for move in moves])
        error = float(np.max(np.median(errors, axis=0)))
        if error <= allowed:
            break
    return error


def slope_error(pair: Pair, direction: Floats, steps: Sequence[float]) -> Floats:
    """Return the relative difference between what each gradient tells and the nearest of some differences."""
    errors = []
    for step in steps:
        seen, told = pair(step * direction)
        errors.append(np.abs(told - seen) / max(abs(seen), TINY))
    return np.asarray(np.min(errors, axis=0))
