"""Does a gradient foretell how a value changes? Differences along directions tell, as far as float32 lets them."""

from collections.abc import Callable, Sequence

import numpy as np

from .errors import CheckError
from .types import Floats

STEPS = (1e-3, 3e-4, 1e-4)
"""Lengths of the differences, relative to what is changed. Networks of ReLUs bend within longer ones (at 1e-2 the
slopes of a MobileNetV2 were off by a third), and in shorter ones rounding is all there is."""
POINTS = (1, 16)
"""Between the ends of a difference, at which gradients are taken: their mean foretells it where a network bends. With
random weights, settled on photographs, the slope of a MobileNetV2 along its signs was off by 1.1 within 1e-4 with one
point, by 0.03 with 4 and 0.01 with 16."""
ALONG, ACROSS = 0.05, 0.25
"""Largest relative error along the signs of the gradient, where slopes are steep, and in random directions, where they
are small and noisy. Measured on the real models at hand: at most 0.03 and 0.1; a gradient that lacks a branch is off by
the branch's share."""
TINY = 1e-30
"""What an error is divided by where the slope is 0."""
REPORT = "please report this model"
DIRECTIONS = 3
"""Random directions, of which the median counts."""

Secant = Callable[[Floats, int], tuple[float, Floats | float]]
"""Displacement and points -> by how much the value changes from minus to plus the displacement, and by how much each
gradient, taken at so many points between them, says it does."""


def require_slopes(secant: Secant, gradient: Floats, scale: float, what: str) -> float:
    """Compare a gradient with differences along its signs and across; return the largest error, or raise CheckError.

    `scale` is the size of what is displaced. Cost: two evaluations for each of the steps and 1 + DIRECTIONS directions,
    where these disagree POINTS gradients more for each.
    """
    length, *across = random_moves(gradient.shape, scale)
    along = least_error(secant, [np.where(gradient == 0, length, np.abs(length) * np.sign(gradient))], ALONG)
    if not along <= ALONG:
        raise CheckError(f"{what} is off by {along:.2g} of the slope along it, expected at most {ALONG}; {REPORT}")
    require_across(secant, across, what)
    return along


def require_across(secant: Secant, moves: Sequence[Floats], what: str) -> None:
    """Compare a gradient with differences along random moves, of which the median counts, or raise CheckError."""
    middle = least_error(secant, moves, ACROSS)
    if not middle <= ACROSS:
        raise CheckError(f"{what} is off by {middle:.2g} of slopes across it, expected at most {ACROSS}; {REPORT}")


def random_moves(shape: tuple[int, ...], scale: float) -> list[Floats]:
    random = np.random.default_rng(0)
    return [random.normal(0, scale, shape) for _ in range(1 + DIRECTIONS)]


def between(points: int) -> Floats:
    """Return where gradients are taken: the middles of as many pieces from -1 to 1."""
    return (np.arange(points) + 0.5) * 2 / points - 1


def least_error(secant: Secant, moves: Sequence[Floats], allowed: float) -> float:
    """Return the median error over moves, of the worst gradient, with more points where one does not do."""
    errors: Floats = np.array(np.inf)
    for points in POINTS:
        errors = np.minimum(errors, [slope_error(secant, move, points) for move in moves])
        error = float(np.max(np.median(errors, axis=0)))
        if error <= allowed:
            break
    return error


def slope_error(secant: Secant, direction: Floats, points: int) -> Floats:
    """Return the relative difference between what each gradient tells and the nearest of some differences."""
    errors = []
    for step in STEPS:
        seen, told = secant(step * direction, points)
        errors.append(np.abs(told - seen) / max(abs(seen), TINY))
    return np.asarray(np.min(errors, axis=0))
