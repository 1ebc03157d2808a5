"""RISE against a loop over the same masks, and the masks against what the paper says of them."""

import numpy as np
import pytest

from ddcam.engine.errors import OptionError
from ddcam.engine.methods.rise import random_grids, rise, shifted
from ddcam.engine.problem import Problem
from ddcam.engine.search.predicate import probabilities


def test_the_map_is_that_of_a_loop_over_the_same_masks(zoo, load_here):
    problem = Problem(load_here(zoo.build("residual")[0]), zoo.pictures(1))
    total = np.zeros((16, 16))
    for mask in shifted((16, 16), 5)(random_grids(40, 5, 0.3, 7)):
        logits = problem.score_images(problem.picture * mask)
        total += probabilities(logits, "softmax")[0, problem.target] * mask

    found = rise(problem, samples=40, cells=5, keep=0.3, seed=7)

    np.testing.assert_allclose(found.scores, total / (40 * 0.3), rtol=1e-4)
    np.testing.assert_allclose(found.grid_map, found.scores - found.scores.min(), atol=1e-6)


def test_a_mask_is_its_grid_enlarged_and_moved():
    bits = np.random.default_rng(0).integers(0, 2, (1, 16)).astype(np.float32)
    draw = shifted((12, 12), 4)  # cells of 3 pixels, enlarged to 15 x 15: cell centres at 2 - shift + 3.75 i
    whole = np.concatenate([draw(np.hstack([bits, [[0, 0]]]))[0], draw(np.hstack([bits, [[0.99, 0]]]))[0][-2:]])
    other = draw(np.hstack([bits, [[0.5, 0]]]).astype(np.float32))[0]

    np.testing.assert_allclose(other, whole[1:13], atol=1e-6)
    assert whole.shape == (14, 12)
    assert 0 <= whole.min() <= whole.max() <= 1


def test_a_pixel_is_shown_as_often_as_was_asked():
    masks = shifted((14, 21), 7)(random_grids(3000, 7, 0.3, 0))

    assert masks.shape == (3000, 14, 21)
    np.testing.assert_allclose(masks.mean(axis=0), 0.3, atol=0.03)


def test_the_seed_decides_and_nothing_else(zoo, load_here):
    problem = Problem(load_here(zoo.build("plain")[0]), zoo.pictures(1))
    first, same, other = (rise(problem, samples=20, seed=seed).scores for seed in (1, 1, 2))

    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)


def test_what_makes_no_masks_is_refused(zoo, load_here):
    problem = Problem(load_here(zoo.build("plain")[0]), zoo.pictures(1))

    for options in ({"samples": 0}, {"cells": 0}, {"keep": 0.0}, {"keep": 1.5}):
        with pytest.raises(OptionError, match="expected samples"):
            rise(problem, **options)
