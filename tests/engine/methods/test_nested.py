"""Nested answers against their definition on real small models."""

import numpy as np
import pytest

from ddcam import load, open_image
from ddcam.engine import Model
from ddcam.engine.errors import OptionError
from ddcam.engine.find import find
from ddcam.engine.methods.nested import LEVELS, as_large, at_levels, contributions, nested, over_grid
from ddcam.engine.preprocess import prepare
from ddcam.engine.problem import Problem
from ddcam.models import DEMOS, demo_path, demo_pictures


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {name: load(demo_path(name), units=None if "vit" in name else "cell") for name in DEMOS}


def pose(model: Model, **options: str) -> Problem:
    inputs, _ = prepare(open_image(demo_pictures()[1]), model.opened.preprocessing, model.opened.picture)
    return Problem(model, inputs, **options)


@pytest.mark.parametrize("demo", DEMOS)
def test_the_score_is_a_power_of_the_smoothed_share_times_the_contribution(models, demo):
    problem = pose(models[demo])
    share = np.zeros(problem.units)
    for level in LEVELS:
        share[list(find(problem.under(f"confidence:{level}")).subset)] += 1 / len(LEVELS)
    full = problem.score(np.ones((1, problem.units), np.float32))[0, problem.target]
    without = problem.score(1 - np.eye(problem.units, dtype=np.float32))[:, problem.target]
    adds = np.maximum(0, full - without)

    found, graded = nested(problem), over_grid(problem, share) * adds
    some = graded > 1e-3 * graded.max()
    logs = np.log(graded[some] / graded.max()), np.log(found.scores[some])
    power = (logs[0] @ logs[1]) / (logs[0] @ logs[0])

    np.testing.assert_allclose(logs[1], power * logs[0], rtol=1e-2, atol=1e-2)
    assert found.scores.mean() == pytest.approx((adds / adds.max()).mean(), rel=1e-3)
    assert found.scores.max() == pytest.approx(1)
    np.testing.assert_array_equal(found.grid_map.ravel(), found.scores)


@pytest.mark.parametrize("demo", DEMOS)
def test_contributions_are_what_the_logit_loses_without_a_unit(models, demo):
    problem = pose(models[demo])
    masks = 1 - np.eye(problem.units, dtype=np.float32)
    expected = problem.logits[problem.target] - problem.score(masks)[:, problem.target]

    np.testing.assert_allclose(contributions(problem), expected, rtol=1e-3, atol=1e-3)


def test_a_map_is_made_as_large_as_another_by_a_power():
    values = np.linspace(0, 1, 11)

    np.testing.assert_allclose(as_large(values, values**1.7), values**1.7, rtol=1e-5)
    np.testing.assert_array_equal(as_large(np.zeros(3), np.ones(3)), 0)
    assert as_large(np.array([0.0, 0.0, 1.0]), np.ones(3)).tolist() == [0, 0, 1]  # no power can make it larger


def test_channels_are_not_smoothed():
    problem = pose(load(demo_path("digits_cnn_additive"), units="channel"))
    shares = np.arange(problem.units, dtype=float)

    np.testing.assert_array_equal(over_grid(problem, shares), shares)
    assert nested(problem).grid_map.shape == problem.split.grid


def test_smoothing_keeps_a_constant_and_the_sum_of_what_lies_inside(models):
    problem = pose(models["digits_cnn_additive"])
    height, width = problem.split.grid
    one = np.zeros(problem.units)
    one[(height // 2) * width + width // 2] = 1

    np.testing.assert_allclose(over_grid(problem, np.ones(problem.units)), 1)
    assert over_grid(problem, one).sum() == pytest.approx(1, abs=1e-3)
    assert 0.2 < over_grid(problem, one).max() < 0.5


def test_all_levels_follow_one_order(models):
    levels = at_levels(pose(models["digits_cnn_interacting"]))

    assert [level.preserve for level in levels] == [f"confidence:{level:g}" for level in LEVELS]
    assert all(level.order is levels[0].order for level in levels)


def test_a_class_that_was_not_decided_for_can_be_asked_about(models):
    problem = pose(models["digits_cnn_additive"])
    second = int(np.argsort(problem.logits)[-2])
    asked = pose(models["digits_cnn_additive"], target=str(second), preserve="topk:2")

    assert not np.allclose(nested(asked).scores, nested(problem).scores)


# ----- Problem.under -----


def test_under_another_predicate_the_decision_is_the_same(models):
    problem = pose(models["digits_cnn_interacting"], preserve="top1")
    first = problem.order
    other = problem.under("confidence:0.75")

    assert "order" not in vars(other), f"an order for top1 is not one for confidence: {first}"
    assert (problem.preserve, other.preserve) == ("top1", "confidence:0.75")
    assert (problem.predicate.text, other.predicate.text) == ("top1", "confidence:0.75")
    assert other.target == problem.target
    assert other.logits is problem.logits
    assert find(other).subset == find(pose(models["digits_cnn_interacting"], preserve="confidence:0.75")).subset


def test_a_predicate_that_does_not_exist_is_refused(models):
    with pytest.raises(OptionError):
        pose(models["digits_cnn_additive"]).under("nonsense")
