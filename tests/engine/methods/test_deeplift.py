"""DeepLIFT explains the whole difference of the logit, whatever the network is made of."""

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from ddcam.engine.autodiff.rules import VJP
from ddcam.engine.errors import GradientError, ModelError
from ddcam.engine.methods import method_named
from ddcam.engine.methods.deeplift import FORMULA, deeplift
from ddcam.engine.problem import Problem


def gap(problem: Problem, scores: np.ndarray) -> float:
    """Return what the map misses of the logit's difference from the reference, as a share of the latter."""
    nothing = problem.score_images(np.zeros_like(problem.picture))[0]
    wanted = problem.logits[problem.target] - nothing[problem.target]
    return abs(scores.sum(dtype=np.float64) - wanted) / abs(wanted)


@pytest.mark.parametrize("rank", [0, 2])
def test_the_map_sums_to_the_difference_of_the_logit(zoo, load_here, family, rank):
    model = load_here(zoo.build(family)[0])
    target = Problem(model, zoo.pictures(1)).top()[rank].index
    problem = Problem(model, zoo.pictures(1), target=str(target), preserve="topk:3")

    found = deeplift(problem)

    assert found.scores.shape == (16, 16)
    assert gap(problem, found.scores) < 1e-4
    assert "sums to" in found.weighting


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("opset", [11, 20])
@pytest.mark.parametrize("batch", ["N", 1])
def test_layouts_opsets_and_freed_batches_change_nothing_of_it(zoo, load_here, layout, opset, batch):
    model, _ = zoo.build("squeeze_excite", opset, layout=layout, batch=batch)
    problem = Problem(load_here(model), zoo.pictures(1, layout))

    assert gap(problem, deeplift(problem).scores) < 1e-4


@pytest.mark.parametrize("family", ["vit", "convnext"])
def test_attention_and_norms_written_out_are_taken_apart_too(zoo, load_here, family):
    model, _ = zoo.build(family, 13)
    problem = Problem(load_here(model), zoo.pictures(1))

    assert gap(problem, deeplift(problem).scores) < 1e-4


def test_a_picture_that_is_its_own_reference_explains_nothing(zoo, load_here):
    problem = Problem(load_here(zoo.build("residual")[0]), np.zeros((1, 3, 16, 16), np.float32))

    np.testing.assert_array_equal(deeplift(problem).scores, 0)


@pytest.mark.parametrize("baseline", ["black", "blur"])
def test_another_baseline_is_explained_as_fully(zoo, load_here, baseline):
    problem = Problem(load_here(zoo.build("squeeze_excite")[0]), zoo.pictures(1))
    nothing = problem.score_images(problem.baseline(baseline))[0, problem.target]

    found = method_named(f"deeplift:baseline={baseline}")(problem)

    assert found.scores.sum(dtype=np.float64) == pytest.approx(problem.logits[problem.target] - nothing, rel=1e-4)


def test_what_has_only_its_gradient_is_warned_of(zoo, load_here, monkeypatch):
    problem = Problem(load_here(zoo.build("squeeze_excite")[0]), zoo.pictures(1))
    monkeypatch.setattr(import_module("ddcam.engine.methods.deeplift"), "FORMULA", replace(FORMULA, rules=VJP))

    [warning] = deeplift(problem).warnings

    assert "no rule of DeepLIFT" in warning


def test_a_batch_that_cannot_be_freed_is_refused(zoo, load_here, monkeypatch):
    def fixed(*_):
        raise ModelError("no way to free the batch")

    problem = Problem(load_here(zoo.build("plain", batch=1)[0]), zoo.pictures(1))
    monkeypatch.setattr("ddcam.engine.formulas.rest_of", fixed)

    with pytest.raises(GradientError, match="batch to 1"):
        deeplift(problem)
