"""A case is what the model really sees: its colours, its blur, its probabilities."""

import numpy as np
import pytest

from ddcam import load, open_image
from ddcam.engine.metrics import Case, case_of
from ddcam.engine.preprocess import prepare
from ddcam.engine.problem import Problem
from ddcam.models import demo_path, demo_pictures


def test_rise_blurs_with_eleven_nearly_equal_taps():
    inputs = np.zeros((1, 1, 31, 31), np.float32)
    inputs[0, 0, 15, 15] = 1
    nothing = np.zeros_like(inputs)
    blurred = Case(inputs, "NCHW", 0, lambda x: x, nothing, nothing).blurred()[0, 0]

    assert blurred.sum() == pytest.approx(1)
    assert np.count_nonzero(blurred) == 11 * 11
    assert blurred[15, 15] == blurred.max() < 1.5 / 121


def test_beyond_the_border_lies_the_mean_colour():
    ones = np.ones((1, 15, 15, 1), np.float32)
    same = Case(ones, "NHWC", 0, lambda x: x, ones, 0 * ones).blurred()
    dark = Case(ones, "NHWC", 0, lambda x: x, 0 * ones, 0 * ones).blurred()

    np.testing.assert_allclose(same, 1)
    assert dark[0, 0, 0, 0] < 0.5 < dark[0, 7, 7, 0]


@pytest.fixture(scope="module")
def problem() -> Problem:
    model = load(demo_path("digits_cnn_additive"))
    inputs, _ = prepare(open_image(demo_pictures()[2]), model.opened.preprocessing, model.opened.picture)
    return Problem(model, inputs)


def test_the_case_of_a_problem_scores_its_picture_as_the_problem_does(problem):
    case = case_of(problem, problem.input)

    assert case.confidence(case.inputs)[0] == pytest.approx(problem.prediction(problem.target).probability, abs=1e-5)
    assert case.black.shape == case.mean.shape == case.inputs.shape


def test_black_and_the_mean_colour_are_those_of_a_picture_of_that_colour(problem):
    case, shown = case_of(problem, problem.input), problem.model.opened.preprocessing
    grey = (0.299 * 124 + 0.587 * 116 + 0.114 * 104) * shown.scale

    np.testing.assert_allclose(case.black, (0 - shown.mean[0]) / shown.std[0], rtol=1e-5)
    np.testing.assert_allclose(case.mean, (grey - shown.mean[0]) / shown.std[0], rtol=1e-2)
