"""FinerCAM: its seed against differences of its score, and its map at a linear head."""

import numpy as np
import pytest

from ddcam.engine.methods import METHODS


def score(z: np.ndarray, target: int) -> float:
    """Say what FinerCAM explains: the mean lead over the three nearest, weighted by their probabilities."""
    nearest = [i for i in np.argsort(np.abs(z - z[target]), kind="stable") if i != target][:3]
    p = np.exp(z[nearest] - z.max())
    return float((p * (z[target] - z[nearest])).sum() / p.sum())


@pytest.mark.parametrize("target", [None, "0", "6"])
def test_at_a_linear_head_it_is_grad_cam_of_the_slope_of_its_score(target: str | None, pose, layer_of) -> None:
    problem = pose("cnn_additive", 1, target)
    slopes = np.stack([layer_of(pose("cnn_additive", 1, str(m)))[1].mean((1, 2)) for m in range(10)])
    z, step = problem.logits.astype(np.float64), 1e-5 * np.eye(10)
    seed = np.array([(score(z + e, problem.target) - score(z - e, problem.target)) / 2e-5 for e in step])
    expected = np.maximum(0, np.tensordot(seed @ slopes, layer_of(problem)[0], 1))

    assert np.count_nonzero(np.abs(seed) > 1e-9) == 4
    assert seed.sum() == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(METHODS["finer-cam"](problem).scores, expected, atol=1e-4 * expected.max())
