"""LIME, KernelSHAP, Sobol, HSIC and SIS against functions whose answer is known."""

from itertools import product
from math import comb

import numpy as np
import pytest
from sklearn.metrics import pairwise_distances

from ddcam.engine.errors import OptionError
from ddcam.engine.methods.hsic import dependence, hsic
from ddcam.engine.methods.kernel_shap import coalitions, kernel_shap, shapley_fit
from ddcam.engine.methods.lime import in_mean_colours, lime, nearness
from ddcam.engine.methods.sis import sis
from ddcam.engine.methods.sobol import sobol
from ddcam.engine.perturb import grid_labels, perturbed, pieces
from ddcam.engine.problem import Problem
from ddcam.engine.search.predicate import probabilities
from ddcam.engine.superpixels import superpixels
from ddcam.engine.total_indices import design, total_indices


@pytest.fixture
def problem(zoo, load_here) -> Problem:
    return Problem(load_here(zoo.build("hidden")[0]), zoo.pictures(1))


# ----- LIME -----


def test_samples_are_weighed_by_cosine_distance():
    shown = np.random.default_rng(0).random((9, 6)) < 0.5
    shown[1] = False
    expected = np.sqrt(
        np.exp(-(pairwise_distances(shown.astype(float), np.ones((1, 6)), "cosine")[:, 0] ** 2) / 0.25**2)
    )

    np.testing.assert_allclose(nearness(shown), expected, rtol=1e-6)


def test_lime_finds_the_slopes_of_a_linear_score(problem):
    view = perturbed(problem)
    labels = superpixels(np.moveaxis(view.picture[0], 0, 2), 3)
    slopes = np.random.default_rng(1).normal(size=labels.max() + 1)
    problem.score_images = lambda inputs: np.stack(  # type: ignore[method-assign]
        [shares(problem, labels, inputs) @ slopes + 2] * 5, axis=1
    )
    found = lime(problem, samples=200, across=3, baseline="zero", score="logit", alpha=1e-6)

    np.testing.assert_allclose(found.scores, slopes[labels], rtol=1e-2, atol=1e-2)


def shares(problem: Problem, labels: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Return which pieces of the picture are there in model inputs."""
    there = (inputs != 0).any(axis=1)
    return np.stack([there[:, labels == piece].mean(axis=1) for piece in range(labels.max() + 1)], axis=1)


def test_hidden_pieces_have_their_mean_colour(zoo, load_here):
    for layout in ("NCHW", "NHWC"):
        view = perturbed(Problem(load_here(zoo.build("plain", layout=layout)[0]), zoo.pictures(1, layout)))
        labels = grid_labels((16, 16), 3)
        picture, hidden = view.picture[0], in_mean_colours(view, labels)[0]
        if layout == "NHWC":
            picture, hidden = np.moveaxis(picture, 2, 0), np.moveaxis(hidden, 2, 0)

        for piece in range(9):
            expected = picture[:, labels == piece].mean(axis=1)
            np.testing.assert_allclose(
                hidden[:, labels == piece], expected[:, None].repeat((labels == piece).sum(), 1), rtol=1e-4, atol=1e-6
            )


def test_superpixels_follow_colours():
    image = np.zeros((32, 32, 3))
    image[:, 13:] = 5
    labels = superpixels(image, 4)

    assert labels.shape == (32, 32)
    assert set(np.unique(labels)) == set(range(labels.max() + 1))
    assert not set(np.unique(labels[:, :12])) & set(np.unique(labels[:, 14:]))  # the edge itself is smoothed
    assert 8 <= labels.max() + 1 <= 16


def test_superpixels_of_one_colour_are_squares_and_small_pictures_have_few():
    labels = superpixels(np.ones((12, 12, 1)), 3)

    assert labels.max() == 8
    assert np.bincount(labels.ravel()).min() > 8
    assert superpixels(np.random.default_rng(0).random((2, 3, 3)), 8).max() < 6


# ----- KernelSHAP -----


def exact(worth: dict[tuple[int, ...], float], count: int) -> np.ndarray:
    values = np.zeros(count)
    for mask in product((0, 1), repeat=count):
        for unit in np.flatnonzero(np.array(mask) == 0):
            more = tuple(1 if i == unit else bit for i, bit in enumerate(mask))
            size = sum(mask)
            values[unit] += (worth[more] - worth[mask]) / (count * comb(count - 1, size))
    return values


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_with_all_coalitions_the_fit_gives_shapleys_values(count):
    random = np.random.default_rng(count)
    worth = {mask: random.normal() for mask in product((0, 1), repeat=count)}
    shown, weights = coalitions(count, 2**count, 0)
    found = np.array([worth[tuple(row.astype(int))] for row in shown])
    ends = np.array([worth[(0,) * count], worth[(1,) * count]])

    assert len(np.unique(shown, axis=0)) == 2**count - 2
    np.testing.assert_allclose(shapley_fit(shown, weights, found, ends), exact(worth, count), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("samples", [1, 10, 101, 500])
def test_the_values_sum_to_the_change_of_the_score(problem, samples):
    logits = problem.score_images(np.concatenate([problem.picture, 0 * problem.picture]))
    change = np.subtract(*probabilities(logits, "softmax")[:, problem.target])
    found = kernel_shap(problem, samples=samples, cells=4).scores[2::4, 2::4]

    assert found.sum() == pytest.approx(change, rel=1e-4)


def test_coalitions_are_as_many_as_were_asked_and_start_with_the_smallest():
    shown, weights = coalitions(10, 100, 0)
    sizes = shown.sum(axis=1)

    assert shown.shape == (100, 10)
    assert sorted(sizes[:20]) == [1] * 10 + [9] * 10
    assert 2 <= sizes[20:].min() <= sizes[20:].max() <= 8
    np.testing.assert_array_equal(shown[20::2], ~shown[21::2])
    assert weights.sum() == pytest.approx(sum(9 / (size * (10 - size)) for size in range(1, 10)))
    assert coalitions(1, 100, 0)[0].shape == (0, 1)


# ----- Sobol and HSIC -----


def test_total_indices_of_a_sum_are_the_shares_of_its_variance():
    slopes = np.array([4.0, 2.0, 1.0, 0.0])
    points = design(1024, 4, 3)
    found = total_indices(points[:1024] @ slopes, (points[1024:] @ slopes).reshape(4, 1024))

    assert points.shape == (5 * 1024, 4)
    np.testing.assert_allclose(found, slopes**2 / (slopes**2).sum(), atol=0.02)


def test_total_indices_of_ishigamis_function():
    points = np.pi * (2 * design(4096, 3, 0) - 1)
    scores = np.sin(points[:, 0]) + 7 * np.sin(points[:, 1]) ** 2 + 0.1 * points[:, 2] ** 4 * np.sin(points[:, 0])

    np.testing.assert_allclose(
        total_indices(scores[:4096], scores[4096:].reshape(3, -1)), [0.558, 0.442, 0.244], atol=0.02
    )


def test_the_dependence_is_the_trace_of_the_centred_kernels():
    random = np.random.default_rng(2)
    shown, found = random.random((40, 3)) < 0.5, random.normal(size=40)
    distances = np.abs(found[:, None] - found)
    alike = np.exp(-(distances**2) / (2 * np.median(distances[np.triu_indices(40, 1)]) ** 2))
    centring = np.eye(40) - 1 / 40
    kernels = [1.5 - (column[:, None] - column) ** 2 for column in shown.T.astype(float)]
    expected = [np.trace(kernel @ centring @ alike @ centring) / 40**2 for kernel in kernels]

    np.testing.assert_allclose(dependence(shown, found), expected, rtol=1e-6)


def test_a_cell_that_decides_depends_most_and_one_that_does_nothing_least():
    shown = np.random.default_rng(0).random((400, 4)) < 0.5
    found = dependence(shown, 3.0 * shown[:, 0] + shown[:, 1] * shown[:, 2])

    assert found[0] > 5 * max(found[1:3])
    assert found[3] < 0.2 * min(found[1:3])


def test_a_score_that_does_not_vary_gives_zeros():
    assert not total_indices(np.ones(8), np.ones((3, 8))).any()
    assert not dependence(np.eye(4) > 0, np.ones(4)).any()


def test_the_maps_are_the_indices_enlarged(problem):
    for method in (sobol, hsic):
        found = method(problem, samples=16, cells=2)

        assert found.scores.shape == (16, 16)
        assert found.scores.min() >= 0
        assert found.scores.max() == pytest.approx(found.scores[[0, 0, -1, -1], [0, -1, 0, -1]].max())


# ----- SIS -----


@pytest.mark.parametrize("keep", [0.5, 0.9, 1.0])
def test_the_subset_suffices_and_no_later_end_of_the_order_does(problem, keep):
    found = sis(problem, cells=3, keep=keep)
    labels = grid_labels((16, 16), 3)
    worth = np.array([found.scores[labels == cell][0] for cell in range(9)])
    view = perturbed(problem)
    everything, subset = view.scores(np.stack([np.ones(9), worth > 0]), pieces(labels))

    assert subset >= keep * everything
    order = np.argsort(worth)
    for size in range(1, np.count_nonzero(worth)):
        later = np.isin(np.arange(9), order[-size:])
        assert view.scores(later[None], pieces(labels))[0] < keep * everything
    assert worth.max() == 1


def test_the_first_cell_to_go_is_the_one_that_is_missed_least(problem):
    found, labels, view = sis(problem, cells=2, keep=1.0), grid_labels((16, 16), 2), perturbed(problem)
    scores = view.scores(1 - np.eye(4), pieces(labels))
    worth = np.array([found.scores[labels == cell][0] for cell in range(4)])

    assert worth[np.argmax(scores)] in (0, 0.25)


@pytest.mark.parametrize(
    ("method", "options"),
    [(lime, {"samples": 1}), (lime, {"across": 0}), (kernel_shap, {"cells": 0}), (kernel_shap, {"samples": -1}),
     (sobol, {"samples": 24}), (sobol, {"cells": 0}), (hsic, {"samples": 1}), (sis, {"cells": 0}), (sis, {"keep": 0})],
)  # fmt: skip
def test_options_without_sense_are_refused(problem, method, options):
    with pytest.raises(OptionError, match="expected"):
        method(problem, **options)
