"""What the kin of Grad-CAM must be on heads whose answer is known."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from ddcam.engine.methods import METHODS
from ddcam.engine.problem import Problem

Pose = Callable[..., Problem]


@pytest.fixture(params=range(3))
def additive(pose: Pose, request: pytest.FixtureRequest) -> tuple[Problem, np.ndarray]:
    """Pose a problem with a pooled linear head; with the weights of the target's class."""
    problem = pose("cnn_additive", request.param)
    return problem, class_weights(problem)


def class_weights(problem: Problem) -> np.ndarray:
    """Measure the linear head: what a map of ones in one channel adds to the target's logit."""
    ones = np.zeros((problem.features.shape[0], *problem.features.shape), np.float32)
    ones[np.arange(len(ones)), np.arange(len(ones))] = 1
    session = problem.model.formula(METHODS["grad-cam"].formula)
    zero = np.zeros((1, *problem.features.shape), np.float32)
    target = np.eye(len(problem.logits), dtype=np.float32)[[problem.target]]
    logits = [session.ask(x[None], target, ["ddcam_logits"])[0][0, problem.target] for x in (*ones, *zero)]
    return np.array(logits[:-1]) - logits[-1]


def cam(problem: Problem, weights: np.ndarray) -> np.ndarray:
    return np.tensordot(weights, problem.features, 1) / np.prod(problem.split.grid)


@pytest.mark.parametrize("name", ["grad-cam", "xgrad-cam", "hirescam"])
def test_on_a_pooled_linear_head_it_is_cam_over_n(additive: tuple[Problem, np.ndarray], name: str) -> None:
    problem, weights = additive
    expected = cam(problem, weights)
    found = METHODS[name](problem)

    np.testing.assert_allclose(found.grid_map, np.maximum(expected, 0), atol=1e-5 * np.abs(expected).max())


def test_hirescam_of_a_linear_head_sums_to_the_logit_less_its_bias(additive: tuple[Problem, np.ndarray]) -> None:
    problem, _ = additive
    bias = problem.score_alone(np.zeros(problem.units, np.bool_))[problem.target]

    assert METHODS["hirescam"](problem).scores.sum() == pytest.approx(problem.logits[problem.target] - bias, rel=1e-4)


@pytest.mark.parametrize("name", ["layer-cam", "grad-cam-elementwise"])
def test_on_a_pooled_linear_head_it_drops_negative_weights_only(
    additive: tuple[Problem, np.ndarray], name: str
) -> None:
    problem, weights = additive
    expected = cam(problem, np.maximum(weights, 0))

    np.testing.assert_allclose(METHODS[name](problem).grid_map, expected, atol=1e-5 * expected.max())


def test_grad_cam_plusplus_keeps_channels_of_positive_weight_only(additive: tuple[Problem, np.ndarray]) -> None:
    """There w_k = n g / (2 + S g) with g = w / n, which no channel of negative weight has."""
    problem, weights = additive
    cells = np.prod(problem.split.grid)
    g, total = np.maximum(weights, 0) / cells, problem.features.sum((1, 2))
    expected = cam(problem, cells * cells * g / (2 + total * g))

    assert (weights < 0).any()
    np.testing.assert_allclose(METHODS["grad-cam++"](problem).grid_map, expected, atol=1e-5 * expected.max())


@pytest.mark.parametrize("demo", ["cnn_interacting", "vit"])
def test_the_kin_differ_where_the_head_is_not_linear(pose: Pose, demo: str) -> None:
    problem = pose(demo)
    names = ("grad-cam", "grad-cam++", "xgrad-cam", "hirescam", "grad-cam-elementwise")
    maps = [METHODS[name](problem).grid_map for name in names]

    assert all(m.max() > 0 for m in maps)
    assert all(not np.allclose(a / a.max(), b / b.max(), atol=1e-2) for a, b in itertools.pairwise(maps))


def test_hirescam_is_zero_where_a_layer_norm_is_the_only_way_in(pose: Pose, layer_of) -> None:
    """The head is then the same for all multiples of a token, so its gradient is at right angles to it."""
    features, gradient = layer_of(pose("vit"))

    assert np.abs((features * gradient).sum(0)).max() <= 1e-3 * np.abs(features * gradient).sum(0).max()
