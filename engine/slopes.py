"""Does a gradient foretell how a value changes? Differences along directions tell, as far as float32 lets them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from .errors import CheckError
from .types import Floats


@dataclass(frozen=True)
class Stage:
    """At how many points of a difference gradients are taken, and which differences are asked.

    `steps` are their lengths relative to what is changed, in the order in which they are tried, until `most` of them
    told anything.
    """

    points: int
    most: int
    steps: tuple[float, ...]


STAGES = (Stage(1, 3, (1e-3, 3e-4, 1e-4)), Stage(16, 2, (1e-4, 1e-3, 1e-2, 1e-1)))
"""Networks of ReLUs bend within long differences (at 1e-2 the slopes of a MobileNetV2 were off by a third), and in
short ones rounding is all there is. Where one gradient does not do, the mean of several foretells a difference however
a network bends: with random weights, settled on photographs, the slope of a MobileNetV2 along its signs was off by 1.1
within 1e-4 with one point, by 0.03 with 4 and 0.01 with 16. Longer differences are for pictures that hardly matter: of
an EfficientViT with random weights the scores change by 1e-6 within 1e-3; where others tell, the longest agree with
nothing, or with anything by chance."""
LONGEST = STAGES[-1].steps[-1]
SEEN = 64
"""How many times its rounding a difference must be to tell anything."""
ALONG, ACROSS = 0.05, 0.25
"""Largest relative error along the signs of the gradient, where slopes are steep, and in random directions, where they
are small and noisy. Measured on the real models at hand: at most 0.03 and 0.1; a gradient that lacks a branch is off by
the branch's share."""
REPORT = "please report this model"
DIRECTIONS = 3
"""Random directions, of which the median counts."""


@dataclass(frozen=True)
class Change:
    """By how much a value changes, by how much each gradient says it does, and what of that may be rounding."""

    seen: float
    told: Floats | float
    rounding: float


Secant = Callable[[Floats, int], Change]
"""Displacement and points -> the change from minus to plus the displacement, by gradients at so many points between."""


def change(before: Floats, after: Floats, weights: Floats, told: Floats | float) -> Change:
    """Make a change of what `weights` take of two float32 results."""
    ends = [float((end.astype(np.float64) * weights).sum()) for end in (before, after)]
    return Change(ends[1] - ends[0], told, float(np.finfo(np.float32).eps) * max(map(abs, ends)))


def require_slopes(secant: Secant, gradient: Floats, scale: float, what: str) -> float:
    """Compare a gradient with differences along its signs and across; return the largest error, or raise CheckError.

    `scale` is the size of what is displaced. Where a network bends too sharply along the signs, all random directions
    agreeing as closely do as well: with random weights, settled on photographs, the slope of a Visformer along its
    signs was off by 0.08 at best, across by 0.05 at most, and its gradient by 0.001. Cost: two evaluations for a step
    or up to three, in 1 + DIRECTIONS directions; where these disagree 17 evaluations and 16 gradients for each of up
    to four further steps.
    """
    length, *across = random_moves(gradient.shape, scale)
    along, least = [np.where(gradient == 0, length, np.abs(length) * np.sign(gradient))], np.inf
    for stage, moves in product(STAGES, (along, across)):
        error = largest_error(secant, moves, stage)
        if error <= ALONG:
            if moves is along:  # across, this is less than ACROSS
                require_across(secant, across, what)
            return error
        least = np.fmin(least, error)
    raise CheckError(f"{what} is off by {least:.2g} of the slope along it, expected at most {ALONG}; {REPORT}")


def largest_error(secant: Secant, moves: Sequence[Floats], stage: Stage) -> float:
    """Return the largest error over moves, of the worst gradient; moves after one that is off are not asked."""
    largest = 0.0
    for move in moves:
        largest = float(np.maximum(largest, np.max(slope_error(secant, move, stage, ALONG))))
        if not largest <= ALONG:
            break
    return largest


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
    """Return the median error over moves, of the worst gradient, by the first stage that is content."""
    errors: Floats = np.array(np.inf)
    for stage in STAGES:
        errors = np.minimum(errors, [slope_error(secant, move, stage, allowed) for move in moves])
        error = float(np.max(np.median(errors, axis=0)))
        if error <= allowed:
            break
    return error


def slope_error(secant: Secant, move: Floats, stage: Stage, allowed: float) -> Floats:
    """Return the relative difference between what each gradient tells and the nearest of some differences.

    Where even the longest difference is rounding, gradients that tell no more than that are right.
    """
    error, telling = np.array(np.inf), 0
    for step in stage.steps:
        found = secant(step * move, stage.points)
        least = SEEN * found.rounding
        if abs(found.seen) > least:
            telling += 1
            error = np.minimum(error, np.abs(found.told - found.seen) / abs(found.seen))
        else:
            nothing = (step == LONGEST) & (np.abs(found.told) <= 2 * least)
            error = np.minimum(error, np.where(nothing, 0, np.inf))
        if np.all(error <= allowed) or telling == stage.most:
            break
    return error
