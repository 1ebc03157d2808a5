"""Opti-CAM: its gradient against differences of what it climbs, and that it climbs."""

import numpy as np
import pytest

from ddcam.engine.errors import OptionError
from ddcam.engine.methods.opti_cam import opti_cam, slope_of, softmax
from ddcam.engine.methods.score_cam import unit_masks
from ddcam.engine.perturb import perturbed
from ddcam.engine.problem import Problem


@pytest.fixture(params=[("convnext", "NCHW"), ("plain", "NHWC")])
def problem(request, zoo, load_here) -> Problem:
    family, layout = request.param
    return Problem(load_here(zoo.build(family, layout=layout)[0]), zoo.pictures(1, layout))


def logit(problem: Problem, weights: np.ndarray, baseline: str) -> float:
    shown = np.tensordot(softmax(weights), np.maximum(problem.maps, 0), axes=1)[None]
    return perturbed(problem, baseline=baseline, score="logit").scores(shown, lambda maps: unit_masks(maps, (16, 16)))[
        0
    ]


@pytest.mark.parametrize("baseline", ["black", "blur"])
def test_the_gradient_foretells_how_the_logit_changes(problem, baseline):
    random = np.random.default_rng(0)
    maps = np.maximum(problem.maps, 0).astype(float)
    weights, direction = random.normal(size=len(maps)), random.normal(size=len(maps))
    view = perturbed(problem, baseline=baseline, score="logit")
    told = slope_of(view, maps, weights) @ direction
    measured = [
        (logit(problem, weights + step * direction, baseline) - logit(problem, weights - step * direction, baseline))
        / (2 * step)
        for step in (3e-2, 1e-2, 3e-3)
    ]

    assert np.abs(np.array(measured) - told).min() <= 0.02 * abs(told) + 1e-4


def test_the_picture_seen_through_the_map_scores_better_than_with_equal_weights(problem):
    found = opti_cam(problem, steps=30)
    view = perturbed(problem, baseline="black", score="logit")
    [after] = view.scores(found.scores[None], lambda maps: unit_masks(maps, (16, 16)))

    assert found.scores.shape == problem.split.grid
    assert found.scores.min() == 0
    assert after > logit(problem, np.zeros(len(problem.maps)), "black")


def test_constant_features_give_a_map_of_zeros(problem):
    problem.__dict__["maps"] = np.ones((3, 4, 4), np.float32)

    assert not opti_cam(problem, steps=2).scores.any()


@pytest.mark.parametrize("options", [{"steps": 0}, {"rate": 0.0}])
def test_options_without_sense_are_refused(problem, options):
    with pytest.raises(OptionError, match="expected 1 step"):
        opti_cam(problem, **options)
