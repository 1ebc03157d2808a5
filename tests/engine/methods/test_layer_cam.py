"""LayerCAM, alone and fused over the stages of a network."""

import numpy as np
import pytest

from ddcam.engine.methods import METHODS


@pytest.mark.parametrize("demo", ["cnn_interacting", "vit"])
def test_alone_it_weighs_every_place_by_its_positive_gradient(demo: str, pose, layer_of) -> None:
    problem = pose(demo)
    features, gradient = layer_of(problem)
    expected = np.maximum(0, (np.maximum(gradient, 0) * features).sum(0))

    np.testing.assert_allclose(METHODS["layer-cam"](problem).scores, expected, atol=1e-5 * expected.max())


def test_fused_it_is_finer_and_nowhere_below_the_last_stage(pose) -> None:
    problem = pose("cnn_interacting")
    last, fused = METHODS["layer-cam"](problem).scores, METHODS["layer-cam-fused"](problem).scores
    times = fused.shape[0] // last.shape[0]
    blocks = fused.reshape(last.shape[0], times, -1, times)

    assert times > 1
    assert fused.max() == pytest.approx(np.tanh(2), abs=1e-6)
    assert (blocks.max((1, 3)) >= 0.8 * np.tanh(2 * last / last.max())).all()


def test_a_single_stage_is_only_lifted(pose) -> None:
    problem = pose("vit")
    last = METHODS["layer-cam"](problem).scores

    np.testing.assert_allclose(METHODS["layer-cam-fused"](problem).scores, np.tanh(2 * last / last.max()), atol=1e-5)
