"""ShapleyCAM: without a bend it is Grad-CAM, and the bend of its own score is known at a pooled linear head."""

import numpy as np
import pytest

from ddcam.engine.errors import OptionError
from ddcam.engine.methods import METHODS, method_named


@pytest.mark.parametrize("demo", ["cnn_additive", "cnn_interacting"])
@pytest.mark.parametrize("picture", range(3))
def test_on_the_logit_of_a_relu_head_it_is_grad_cam(demo: str, picture: int, pose) -> None:
    problem = pose(demo, picture)
    expected = METHODS["grad-cam"](problem).scores

    found = method_named("shapley-cam:score=logit")(problem).scores

    np.testing.assert_allclose(found, expected, atol=2e-3 * expected.max())


@pytest.mark.parametrize("target", ["1", "7"])
def test_on_its_own_score_it_is_the_closed_form_of_a_pooled_linear_head(target: str, pose, layer_of) -> None:
    """(H F)_k = -(1/n) [sum_m p_m z~_m w_mk - (sum_m p_m w_mk) (sum_m p_m z~_m)], z~ the logits less the bias."""
    problem = pose("cnn_additive", 0, target)
    features, _ = layer_of(problem)
    slopes = np.stack([layer_of(pose("cnn_additive", 0, str(m)))[1].mean((1, 2)) for m in range(10)])
    own = problem.logits - problem.score_alone(np.zeros(problem.units, np.bool_))
    p = np.exp(problem.logits - problem.logits.max()) / np.exp(problem.logits - problem.logits.max()).sum()
    gradient = 2 * slopes[int(target)] - p @ slopes
    product = -((p * own) @ slopes - (p @ slopes) * (p @ own))
    expected = np.maximum(0, np.tensordot(gradient - product / 2, features, 1))

    found = METHODS["shapley-cam"](problem).scores

    np.testing.assert_allclose(found, expected, atol=2e-3 * expected.max())


def test_a_score_that_is_not_there_is_refused(pose) -> None:
    with pytest.raises(OptionError, match="rest, logit"):
        method_named("shapley-cam:score=probability")(pose("cnn_additive"))
