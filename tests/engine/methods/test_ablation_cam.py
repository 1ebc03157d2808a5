"""Ablation-CAM against its definition, one channel at a time, and the closed form of a pooled linear head."""

import numpy as np
import onnx
import pytest

from ddcam.engine.methods.ablation_cam import ablation_cam, channel_drops
from ddcam.engine.perturb import score_features
from ddcam.engine.problem import Problem


def test_of_a_pooled_linear_head_a_channel_is_worth_its_weight_and_mean(zoo, load_here):
    proto, _ = zoo.build("plain", ending="none")
    problem = Problem(load_here(proto), zoo.pictures(1))
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    last = proto.graph.node[-1]
    weights = next(tensors[name] for name in last.input if name in tensors and tensors[name].ndim == 2)
    weights = weights if weights.shape[0] == 5 else weights.T
    maps = problem.maps.astype(float)
    expected = weights[problem.target] * maps.mean(axis=(1, 2)) / abs(problem.logits[problem.target])

    np.testing.assert_allclose(ablation_cam(problem).scores, np.tensordot(expected, maps, axes=1), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("units", [None, "place"])
def test_the_drop_is_that_of_the_model_without_the_channel(zoo, load_here, family, units):
    problem = Problem(load_here(zoo.build(family)[0], units=units), zoo.pictures(1))
    found = channel_drops(problem)

    for channel in range(0, len(problem.maps), 3):
        share = np.ones((1, len(problem.maps), 1, 1), np.float32)
        share[0, channel] = 0
        without = score_features(problem, share)[0, problem.target]
        assert found[channel] == pytest.approx(problem.logits[problem.target] - without, rel=1e-3, abs=1e-4)


def test_a_negative_logit_does_not_turn_the_map_over(zoo, load_here):
    model = load_here(zoo.build("squeeze_excite", ending="none")[0])
    worst = str(int(np.argmin(Problem(model, zoo.pictures(1)).logits)))
    problem = Problem(model, zoo.pictures(1), target=worst, preserve="confidence:0.5")
    drops = channel_drops(problem)
    found = ablation_cam(problem).scores

    assert problem.logits[problem.target] < 0
    assert np.sum(found * np.tensordot(drops, problem.maps, axes=1)) > 0
