"""Shapley values of units: efficiency in every order, and the exact values where all orders are asked."""

from itertools import permutations

import numpy as np
import pytest

from ddcam.engine.errors import OptionError
from ddcam.engine.methods.shapley import added_in, orders, shapley
from ddcam.engine.problem import Problem


def ends(problem: Problem) -> float:
    masks = np.array([[0] * problem.units, [1] * problem.units], np.float32)
    nothing, everything = problem.score(masks)[:, problem.target]
    return everything - nothing


@pytest.mark.parametrize("units", [None, "place"])
@pytest.mark.parametrize("samples", [1, 4])
def test_the_values_sum_to_what_all_units_add(zoo, load_here, family, units, samples):
    problem = Problem(load_here(zoo.build(family)[0], units=units), zoo.pictures(1))
    found = shapley(problem, samples=samples)

    assert found.scores.shape == (problem.units,)
    assert found.grid_map.shape == problem.split.grid
    assert found.scores.sum() == pytest.approx(ends(problem), rel=1e-3, abs=1e-4)


def test_over_all_orders_the_values_are_shapleys(zoo, load_here):
    problem = Problem(load_here(zoo.build("hidden")[0], units="cell"), zoo.pictures(1))
    masks = np.array(list(np.ndindex(2, 2, 2, 2)), np.float32)
    worth = {tuple(mask): logit for mask, logit in zip(masks, problem.score(masks)[:, problem.target], strict=True)}
    exact = np.zeros(4)
    for order in permutations(range(4)):
        kept = np.zeros(4)
        for unit in order:
            before = worth[tuple(kept)]
            kept[unit] = 1
            exact[unit] += (worth[tuple(kept)] - before) / 24

    found = np.mean([added_in(problem, np.array(order)) for order in permutations(range(4))], axis=0)

    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(shapley(problem, samples=600).scores, exact, atol=0.1 * np.abs(exact).max())


def test_units_that_add_up_are_worth_what_they_add(zoo, load_here):
    problem = Problem(load_here(zoo.build("plain")[0]), zoo.pictures(1))
    order = np.random.default_rng(5).permutation(problem.units)

    np.testing.assert_allclose(shapley(problem).scores, added_in(problem, order), rtol=1e-3, atol=1e-4)


def test_orders_come_with_their_reverses():
    found = orders(6, 5, seed=1)

    assert found.shape == (5, 6)
    assert (np.sort(found, axis=1) == np.arange(6)).all()
    np.testing.assert_array_equal(found[1], found[0][::-1])
    np.testing.assert_array_equal(found, orders(6, 5, seed=1))


def test_no_samples_are_refused(zoo, load_here):
    with pytest.raises(OptionError, match="samples"):
        shapley(Problem(load_here(zoo.build("vit")[0]), zoo.pictures(1)), samples=0)
