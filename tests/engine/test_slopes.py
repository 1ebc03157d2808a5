"""A true gradient passes however sharply the function bends, and a wrong one does not."""

from collections.abc import Callable

import numpy as np
import pytest

from ddcam.engine.errors import CheckError
from ddcam.engine.slopes import LONGEST, Change, Secant, between, require_across, require_slopes

POINT = np.array([0.3, -0.2, 0.5])


def kinked(x: np.ndarray) -> float:
    """A plane, and zigzags that are steeper than it and turn within a hundred-thousandth."""
    return float(x.sum() + 1e-5 * np.sin(3e5 * x).sum())


def kinked_slope(x: np.ndarray) -> np.ndarray:
    return 1 + 3 * np.cos(3e5 * x)


def smooth(x: np.ndarray) -> float:
    return float((x**3).sum())


def smooth_slope(x: np.ndarray) -> np.ndarray:
    return 3 * x**2


def secant_of(value: Callable[[np.ndarray], float], slope: Callable[[np.ndarray], np.ndarray]) -> Secant:
    def secant(move: np.ndarray, points: int) -> Change:
        told = np.mean([slope(POINT + t * move) for t in between(points)], axis=0)
        return Change(value(POINT + move) - value(POINT - move), 2 * float((told * move).sum()), 1e-12)

    return secant


def test_points_lie_in_the_middles() -> None:
    assert between(1).tolist() == [0]
    assert between(4).tolist() == [-0.75, -0.25, 0.25, 0.75]


def test_the_true_gradient_of_a_smooth_function_needs_one_point() -> None:
    asked = []

    def secant(move: np.ndarray, points: int) -> Change:
        asked.append(points)
        return secant_of(smooth, smooth_slope)(move, points)

    assert require_slopes(secant, smooth_slope(POINT), 1.0, "it") < 1e-5
    assert set(asked) == {1}


def test_where_a_function_bends_within_every_step_the_mean_gradient_tells() -> None:
    secant = secant_of(kinked, kinked_slope)
    alone = lambda move, _: secant(move, 1)  # noqa: E731

    assert require_slopes(secant, kinked_slope(POINT), 1.0, "it") < 0.05
    with pytest.raises(CheckError, match="the slope along it"):
        require_slopes(alone, kinked_slope(POINT), 1.0, "it")


@pytest.mark.parametrize("value_slope", [(smooth, smooth_slope), (kinked, kinked_slope)])
@pytest.mark.parametrize("wrong", [1.1, 0.9, -1.0, 0.0, np.nan])
def test_a_wrong_gradient_is_refused(value_slope: tuple, wrong: float) -> None:
    value, slope = value_slope
    secant = secant_of(value, lambda x: wrong * slope(x))

    with pytest.raises(CheckError, match="it is off by"):
        require_slopes(secant, wrong * slope(POINT), 1.0, "it")


def bent(x: np.ndarray) -> float:
    """A plane that is wrinkled where all moves have the signs of its gradient."""
    moved = np.abs((x - POINT).sum()) / np.abs(x - POINT).sum().clip(1e-12)
    return float(x.sum() + (np.sin(1e6 * x.sum()) if moved > 0.999 else 0))


def test_where_only_the_steepest_way_bends_random_ways_tell() -> None:
    right, lacking = (secant_of(bent, lambda _, part=part: part) for part in (np.ones(3), np.array([1, 1, 0.5])))

    assert require_slopes(right, np.ones(3), 1.0, "it") < 1e-6
    with pytest.raises(CheckError, match="the slope along it"):
        require_slopes(lacking, np.ones(3), 1.0, "it")


def test_a_gradient_that_lacks_a_branch_is_refused_across_too() -> None:
    secant = secant_of(smooth, lambda x: smooth_slope(x) * np.array([1, 1, 0]))

    with pytest.raises(CheckError, match="slopes across it"):
        require_across(secant, [np.eye(3)[2]], "it")


def faint(told: float) -> Secant:
    """A value that changes less than it rounds but over the longest differences."""

    def secant(move: np.ndarray, points: int) -> Change:
        return Change(float(move.sum()), told * float(move.sum()), 2e-3 * LONGEST)

    return secant


def test_a_value_that_hardly_changes_is_compared_over_longer_differences() -> None:
    moves = [np.ones(3)]

    require_across(faint(1.0), moves, "it")
    with pytest.raises(CheckError, match="off by"):
        require_across(faint(1.5), moves, "it")


def test_where_nothing_changes_gradients_must_say_so() -> None:
    require_across(lambda move, _: Change(0.0, 1e-9 * float(move.sum()), 1e-7), [np.ones(3)], "it")
    with pytest.raises(CheckError, match="off by inf"):
        require_across(lambda move, _: Change(0.0, float(move.sum()), 1e-7), [np.ones(3)], "it")
