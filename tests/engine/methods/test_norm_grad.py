"""NormGrad's closed forms against the gradients of virtual layers written out."""

import numpy as np
import pytest

from ddcam.engine.errors import OptionError
from ddcam.engine.methods import method_named


def shares(virtual: str, features: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Write out the share of every place in the gradient of a virtual layer's weights: `[weights, h, w]`."""
    _, height, width = features.shape
    if virtual == "bias":
        return gradient
    if virtual == "scaling":
        return features * gradient
    padded = np.pad(features, ((0, 0), (1, 1), (1, 1)))
    offsets = [(1, 1)] if virtual == "conv1x1" else np.ndindex(3, 3)
    seen = np.concatenate([padded[:, i : i + height, j : j + width] for i, j in offsets])
    return np.einsum("khw,lhw->klhw", gradient, seen).reshape(-1, height, width)


@pytest.mark.parametrize("aggregate", ["norm", "selective"])
@pytest.mark.parametrize("virtual", ["bias", "scaling", "conv1x1", "conv3x3"])
@pytest.mark.parametrize("demo", ["cnn_interacting", "vit"])
def test_it_is_the_norm_of_the_shares(demo: str, virtual: str, aggregate: str, pose, layer_of) -> None:
    problem = pose(demo)
    written_out = shares(virtual, *layer_of(problem))
    expected = np.linalg.norm(np.maximum(written_out, 0) if aggregate == "selective" else written_out, axis=0)
    found = method_named(f"norm-grad:virtual={virtual}:aggregate={aggregate}")(problem).scores

    np.testing.assert_allclose(found, expected, atol=1e-5 * expected.max())


def test_at_a_pooled_linear_head_some_layers_see_no_class(pose) -> None:
    bias, conv, scaling = (
        [method_named(f"norm-grad:virtual={virtual}")(pose("cnn_additive", 0, target)).scores for target in "38"]
        for virtual in ("bias", "conv3x3", "scaling")
    )

    assert np.ptp(bias[0]) <= 1e-6 * bias[0].max()
    np.testing.assert_allclose(conv[0] / conv[0].max(), conv[1] / conv[1].max(), rtol=1e-4)
    assert np.abs(scaling[0] / scaling[0].max() - scaling[1] / scaling[1].max()).max() > 0.1


def test_the_product_is_as_fine_as_the_finest_stage_and_zero_where_a_stage_is(pose) -> None:
    problem = pose("cnn_interacting")
    found = method_named("norm-grad-product")(problem).scores
    alone = method_named("norm-grad")(problem).scores
    times = found.shape[0] // alone.shape[0]

    assert times > 1
    assert 0 < found.max() <= 1
    assert np.corrcoef(found.reshape(alone.shape[0], times, -1, times).mean((1, 3)).ravel(), alone.ravel())[0, 1] > 0.5


def test_a_constant_stage_is_left_out_of_the_product(pose) -> None:
    """The bias at a pooled linear head says the same of every place."""
    assert method_named("norm-grad-product:virtual=bias")(pose("cnn_additive")).scores.max() > 0.1


@pytest.mark.parametrize("option", ["virtual=conv5x5", "aggregate=max"])
def test_what_is_not_there_is_refused(option: str, pose) -> None:
    with pytest.raises(OptionError, match="expected"):
        method_named(f"norm-grad:{option}")(pose("cnn_additive"))
