"""Score-CAM and its smoothed forms against loops over the channels."""

import numpy as np
import pytest

from ddcam.engine.errors import OptionError
from ddcam.engine.methods.score_cam import is_cam, score_cam, ss_cam, unit_masks, varying
from ddcam.engine.problem import Problem
from ddcam.engine.saliency import enlarge
from ddcam.engine.search.predicate import probabilities


@pytest.fixture(params=["plain", "concatenated", "vit"])
def problem(request, zoo, load_here) -> Problem:
    return Problem(load_here(zoo.build(request.param)[0]), zoo.pictures(1))


def seen_through(problem: Problem, mask: np.ndarray) -> float:
    logits = problem.score_images((problem.picture * mask).astype(np.float32))
    return probabilities(logits, "softmax")[0, problem.target]


def mask_of(channel: np.ndarray) -> np.ndarray:
    mask = enlarge(channel[None], (16, 16))[0]
    return (mask - mask.min()) / (mask.max() - mask.min())


def test_a_channel_is_worth_the_score_of_what_it_shows(problem):
    expected = np.zeros(problem.split.grid)
    for channel in problem.maps:
        if np.ptp(channel) > 0:
            expected += seen_through(problem, mask_of(channel)) * channel

    np.testing.assert_allclose(score_cam(problem).scores, expected, rtol=1e-3, atol=1e-5)


def test_weights_may_be_a_softmax_over_the_channels(problem):
    live = [channel for channel in problem.maps if np.ptp(channel) > 0]
    logits = [
        problem.score_images((problem.picture * mask_of(channel)).astype(np.float32))[0, problem.target]
        for channel in live
    ]
    odds = np.exp(np.array(logits, float) - max(logits))
    expected = np.tensordot(odds / odds.sum(), np.array(live, float), axes=1)

    found = score_cam(problem, score="logit", weights="softmax").scores

    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_is_cam_averages_masks_that_grow(problem):
    expected = np.zeros(problem.split.grid)
    for channel in problem.maps:
        if np.ptp(channel) > 0:
            mask = mask_of(channel)
            expected += np.mean([seen_through(problem, mask * share) for share in (1 / 3, 2 / 3, 1)]) * channel

    np.testing.assert_allclose(is_cam(problem, samples=3).scores, expected, rtol=1e-3, atol=1e-5)


def test_without_noise_ss_cam_is_score_cam(problem):
    still, noisy = (ss_cam(problem, samples=2, sigma=sigma).scores for sigma in (0.0, 0.5))

    np.testing.assert_allclose(still, score_cam(problem).scores, rtol=1e-4, atol=1e-6)
    assert not np.allclose(noisy, still, rtol=1e-2)


def test_channels_that_are_constant_are_left_out(problem):
    problem.__dict__["maps"] = np.ones((3, 4, 4), np.float32)

    assert len(varying(problem, 0)) == 0
    for weights in ("plain", "softmax"):
        assert not score_cam(problem, weights=weights).scores.any()
        assert not is_cam(problem, weights=weights).scores.any()


def test_those_that_vary_most_can_be_tried_alone(problem):
    deviations = problem.maps.std(axis=(1, 2))
    picked = varying(problem, 3)

    assert len(picked) == 3
    assert deviations[picked].min() >= np.delete(deviations, picked).max()
    assert len(varying(problem, 999)) == np.count_nonzero(np.ptp(problem.maps, axis=(1, 2)))


def test_masks_reach_from_0_to_1():
    masks = unit_masks(np.random.default_rng(0).normal(size=(3, 4, 4)), (16, 16))

    np.testing.assert_array_equal(masks.min(axis=(1, 2)), 0)
    np.testing.assert_array_equal(masks.max(axis=(1, 2)), 1)


@pytest.mark.parametrize("options", [{"weights": "linear"}, {"channels": -1}, {"score": "margin"}])
def test_other_options_are_refused(zoo, load_here, options):
    with pytest.raises(OptionError):
        score_cam(Problem(load_here(zoo.build("plain")[0]), zoo.pictures(1)), **options)
